"""Define the Swin transformer for image classification in PyTorch.

Parameters have the names and shapes of the published checkpoints of Microsoft on the
hub (``microsoft/swin-large-patch4-window12-384`` and its sisters), so that those load as they are.

Source: Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", 2021
(arXiv:2103.14030).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bytemlperf.zoo.architectures.initialise_torch import Draw, normal
from bytemlperf.zoo.architectures.published_torch import leave_out

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file changes."""

NORM_EPSILON = 1e-5

TABLE_STD = 0.02
"""Standard deviation of random relative position biases. Source: Swin's own code and paper."""

OFFSETS = (r".*\.relative_position_index",)
"""Where each pair of positions finds its bias, which older files carry and the definition computes."""

_MASKED = -100.0
"""What is added to the score of two positions that the shift brought into one window."""


class _SelfAttention(nn.Module):
    """Attend within windows, with a learned bias for each offset between two positions."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", _offsets(window), persistent=False)

    def forward(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """Map [batch * windows, positions, channels] to the same shape."""
        N, P, C = features.shape
        query, key, value = (  # each [N, heads, P, C / heads]
            layer(features).view(N, P, self.heads, C // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(2, 3) * (C // self.heads) ** -0.5  # [N, heads, P, P]
        index = self.get_buffer("relative_position_index").flatten()
        bias = self.relative_position_bias_table[index].view(P, P, self.heads)
        scores = scores + bias.permute(2, 0, 1)
        if mask is not None:  # [windows, P, P]
            windows = mask.shape[0]
            scores = scores.view(N // windows, windows, self.heads, P, P) + mask[:, None]
            scores = scores.view(N, self.heads, P, P)
        mixed: Tensor = scores.softmax(dim=-1) @ value  # [N, heads, P, C / heads]
        return mixed.transpose(1, 2).reshape(N, P, C)

    def draws(self) -> dict[str, Draw]:
        """Draw the biases of random weights."""
        return {"relative_position_bias_table": normal(TABLE_STD)}


class _Dense(nn.Module):
    """A linear layer under the name that the checkpoints give it."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.dense = nn.Linear(in_features, out_features)

    def forward(self, features: Tensor) -> Tensor:
        """Map [..., in_features] to [..., out_features]."""
        projected: Tensor = self.dense(features)
        return projected


class _Attention(nn.Module):
    """Self-attention and the projection behind it, under the names that the checkpoints give them."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.self = _SelfAttention(channels, heads, window)
        self.output = _Dense(channels, channels)

    def forward(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """Map [batch * windows, positions, channels] to the same shape."""
        projected: Tensor = self.output(self.self(features, mask))
        return projected


class SwinBlock(nn.Module):
    """Mix positions within windows, then channels; every second block shifts the windows by half.

    Args:
        channels: Of input and output.
        heads: Of the attention.
        resolution: Side of the square of positions.
        window: Side of a window; divides the resolution.
        shift: How far the windows are shifted.
        mlp_ratio: Inner channels over outer ones.
    """

    def __init__(
        self, channels: int, heads: int, *, resolution: int, window: int, shift: int, mlp_ratio: float
    ) -> None:
        super().__init__()
        self.resolution, self.window, self.shift = resolution, window, shift
        self.layernorm_before = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.attention = _Attention(channels, heads, window)
        self.layernorm_after = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.intermediate = _Dense(channels, int(mlp_ratio * channels))
        self.output = _Dense(int(mlp_ratio * channels), channels)
        mask = _shift_mask(resolution, window, shift) if shift else None
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, positions, channels] to the same shape."""
        B, L, C = features.shape
        R, W = self.resolution, self.window
        grid = self.layernorm_before(features).view(B, R, R, C)
        if self.shift:
            grid = grid.roll((-self.shift, -self.shift), dims=(1, 2))
        windows = grid.view(B, R // W, W, R // W, W, C).transpose(2, 3).reshape(-1, W * W, C)
        windows = self.attention(windows, self.mask)  # [batch * windows, W * W, C]
        grid = windows.view(B, R // W, R // W, W, W, C).transpose(2, 3).reshape(B, R, R, C)
        if self.shift:
            grid = grid.roll((self.shift, self.shift), dims=(1, 2))
        features = features + grid.reshape(B, L, C)
        output: Tensor = features + self.output(F.gelu(self.intermediate(self.layernorm_after(features))))
        return output


class _Merging(nn.Module):
    """Join four neighbouring positions into one of twice as many channels."""

    def __init__(self, channels: int, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)
        self.norm = nn.LayerNorm(4 * channels, eps=NORM_EPSILON)

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, positions, channels] to [batch, positions / 4, 2 * channels]."""
        B, L, C = features.shape
        R = self.resolution // 2
        # The order of the four: down the column first, then along the row.
        grid = features.view(B, R, 2, R, 2, C).permute(0, 1, 3, 4, 2, 5)  # [B, R, R, x, y, C]
        merged: Tensor = self.reduction(self.norm(grid.reshape(B, L // 4, 4 * C)))
        return merged


class _Stage(nn.Module):
    """Blocks of one resolution, and the merging after them where there is one."""

    def __init__(self, blocks: Sequence[SwinBlock], downsample: _Merging | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, positions, channels] to [batch, positions / 4, 2 * channels], or the same shape at last."""
        for block in self.blocks:
            features = block(features)
        return features if self.downsample is None else self.downsample(features)


class _PatchEmbeddings(nn.Module):
    def __init__(self, channels: int, patch_size: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, channels, patch_size, patch_size)


class _Embeddings(nn.Module):
    """Cut the image into patches, one position each."""

    def __init__(self, channels: int, patch_size: int) -> None:
        super().__init__()
        self.patch_embeddings = _PatchEmbeddings(channels, patch_size)
        self.norm = nn.LayerNorm(channels, eps=NORM_EPSILON)

    def forward(self, image: Tensor) -> Tensor:
        """Map [batch, 3, height, width] to [batch, positions, channels]."""
        patches = self.patch_embeddings.projection(image).flatten(2).transpose(1, 2)
        embedded: Tensor = self.norm(patches)
        return embedded


class _Encoder(nn.Module):
    def __init__(self, stages: Sequence[_Stage]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(stages)


class _Body(nn.Module):
    """Everything but the classifier."""

    def __init__(self, embeddings: _Embeddings, stages: Sequence[_Stage], channels: int) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.encoder = _Encoder(stages)
        self.layernorm = nn.LayerNorm(channels, eps=NORM_EPSILON)

    def forward(self, image: Tensor) -> Tensor:
        """Map [batch, 3, height, width] to [batch, channels]."""
        features = self.embeddings(image)  # [batch, 9216, 192] in Swin-L at 384
        for stage in self.encoder.layers:
            features = stage(features)  # [batch, 2304, 384], [batch, 576, 768], [batch, 144, 1536] twice
        pooled: Tensor = self.layernorm(features).mean(dim=1)
        return pooled


class SwinTransformer(nn.Module):
    """Classify images by windows of attention over ever fewer and wider positions."""

    def __init__(self, body: _Body, channels: int, num_classes: int) -> None:
        super().__init__()
        self.swin = body
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of a batch of images.

        Args:
            image: float32 [batch, 3, image_size, image_size], normalised.

        Returns:
            logits: float32 [batch, num_classes].
        """
        logits: Tensor = self.classifier(self.swin(image))
        return logits


def build(
    *,
    image_size: int = 384,
    patch_size: int = 4,
    embed_dim: int = 192,
    depths: Sequence[int] = (2, 2, 18, 2),
    num_heads: Sequence[int] = (6, 12, 24, 48),
    window_size: int = 12,
    mlp_ratio: float = 4.0,
    num_classes: int = 1000,
) -> SwinTransformer:
    """Return the network in evaluation mode; the defaults are Swin-L at 384 x 384.

    Args:
        image_size: Side of the image.
        patch_size: Side of a patch.
        embed_dim: Channels of the first stage; each further stage has twice as many.
        depths: Blocks of each stage.
        num_heads: Heads of each stage.
        window_size: Side of a window.
        mlp_ratio: Inner channels over outer ones.
        num_classes: Length of the logits.

    Raises:
        ValueError: The depths and heads are of different stages, or a window does not divide a stage's side.
    """
    if len(depths) != len(num_heads):
        raise ValueError(f"depths {tuple(depths)} and num_heads {tuple(num_heads)} are not of the same stages")
    stages = []
    for index, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
        resolution, channels = image_size // patch_size >> index, embed_dim << index
        last = index == len(depths) - 1
        if resolution % window_size or (not last and resolution % 2):
            raise ValueError(f"windows of {window_size} do not divide the {resolution} positions of stage {index}")
        blocks = [
            SwinBlock(
                channels,
                heads,
                resolution=resolution,
                window=window_size,
                shift=window_size // 2 if number % 2 and resolution > window_size else 0,
                mlp_ratio=mlp_ratio,
            )
            for number in range(depth)
        ]
        stages.append(_Stage(blocks, None if last else _Merging(channels, resolution)))
    width = embed_dim << (len(depths) - 1)
    network = SwinTransformer(_Body(_Embeddings(embed_dim, patch_size), stages, width), width, num_classes)
    leave_out(network, OFFSETS)
    return network.eval()


def _offsets(window: int) -> Tensor:
    """Return the row of the bias table for each pair of positions in a window, int64 [positions, positions]."""
    place = torch.arange(window)
    difference = place[:, None] - place + window - 1  # [window, window], 0 to 2 * window - 2
    rows = difference[:, None, :, None] * (2 * window - 1)
    return (rows + difference[None, :, None, :]).reshape(window**2, window**2)


def _shift_mask(resolution: int, window: int, shift: int) -> Tensor:
    """Return what is added to scores of shifted windows, float32 [windows, positions, positions]."""
    place = torch.arange(resolution)
    region = (place >= resolution - window).long() + (place >= resolution - shift).long()
    regions = region[:, None] * 3 + region  # [resolution, resolution]
    count = resolution // window
    windows = regions.view(count, window, count, window).transpose(1, 2).reshape(-1, window**2)
    return (windows[:, :, None] != windows[:, None, :]) * _MASKED
