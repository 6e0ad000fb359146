"""Define a Conformer encoder in PyTorch: attention and convolution over the steps of a sequence.

ByteMLPerf's own definition is not public. This is the paper's encoder of the large size behind the
usual two convolutions that halve both sides; names of parameters are our own.

Source: Gulati et al., "Conformer: Convolution-augmented Transformer for Speech Recognition", 2020
(arXiv:2005.08100), table 1, Conformer (L): 17 layers of 512 channels, 8 heads, kernel of 32; relative
positions as in Dai et al., 2019 (arXiv:1901.02860).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bytemlperf.zoo.architectures.initialise_torch import Draw, uniform

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file changes."""

SUBSAMPLING = 4
"""Columns of the input for one step."""

LONGEST_PERIOD = 10_000
"""Of the waves that stand for a distance. Source: Vaswani et al., 2017 (arXiv:1706.03762)."""

_HALF = 0.5
"""What each of the two feed-forward modules adds of its output. Source: the paper, equation 1."""


class _Subsampling(nn.Module):
    """Turn an image into a sequence of a quarter of its columns."""

    def __init__(self, in_channels: int, height: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, 2, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 2, padding=1)
        self.linear = nn.Linear(channels * (height // SUBSAMPLING), channels)

    def forward(self, image: Tensor) -> Tensor:
        """Map [batch, in_channels, height, width] to [batch, width / 4, channels]."""
        maps = F.relu(self.conv2(F.relu(self.conv1(image))))  # [batch, channels, height / 4, width / 4]
        columns = maps.permute(0, 3, 1, 2).flatten(2)  # [batch, width / 4, channels * height / 4]
        sequence: Tensor = self.linear(columns)
        return sequence


class _FeedForward(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, 4 * channels)
        self.linear2 = nn.Linear(4 * channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map [..., channels] to the same shape."""
        output: Tensor = self.linear2(F.silu(self.linear1(self.norm(features))))
        return output


class _Attention(nn.Module):
    """Attend to all steps by what they hold and how far away they are."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.position = nn.Linear(channels, channels, bias=False)
        self.output = nn.Linear(channels, channels)
        self.content_bias = nn.Parameter(torch.zeros(heads, channels // heads))
        self.position_bias = nn.Parameter(torch.zeros(heads, channels // heads))

    def forward(self, features: Tensor, distances: Tensor, padded: Tensor) -> Tensor:
        """Map [batch, steps, channels] to the same shape.

        Args:
            features: [batch, steps, channels].
            distances: [2 * steps - 1, channels], the farthest behind first.
            padded: bool [batch, steps].
        """
        B, L, C = features.shape
        normed = self.norm(features)
        query, key, value = (
            layer(normed).view(B, L, self.heads, C // self.heads) for layer in (self.query, self.key, self.value)
        )
        positions = self.position(distances).view(-1, self.heads, C // self.heads).transpose(0, 1)
        by_content = (query + self.content_bias).transpose(1, 2) @ key.permute(0, 2, 3, 1)  # [B, heads, L, L]
        by_position = (query + self.position_bias).transpose(1, 2) @ positions.transpose(1, 2)
        scores = (by_content + _by_pair(by_position)) * (C // self.heads) ** -0.5
        scores = scores.masked_fill(padded[:, None, None], torch.finfo(scores.dtype).min)
        mixed = (scores.softmax(dim=-1) @ value.transpose(1, 2)).transpose(1, 2).reshape(B, L, C)
        output: Tensor = self.output(mixed)
        return output

    def draws(self) -> dict[str, Draw]:
        """Draw the biases of random weights, uniform after Glorot over both their sides."""
        draw = uniform((6 / sum(self.content_bias.shape)) ** 0.5)
        return {"content_bias": draw, "position_bias": draw}


class _Convolution(nn.Module):
    """Mix each channel over neighbouring steps, between two gates of all channels."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.norm = nn.LayerNorm(channels)
        self.pointwise1 = nn.Conv1d(channels, 2 * channels, 1, bias=False)
        self.depthwise = nn.Conv1d(channels, channels, kernel, groups=channels, bias=False)
        self.batch_norm = nn.BatchNorm1d(channels)
        self.pointwise2 = nn.Conv1d(channels, channels, 1, bias=False)

    def forward(self, features: Tensor, padded: Tensor) -> Tensor:
        """Map [batch, steps, channels] to the same shape; what is padded reaches no other step."""
        maps = F.glu(self.pointwise1(self.norm(features).transpose(1, 2)), dim=1)  # [batch, channels, steps]
        maps = maps.masked_fill(padded[:, None], 0.0)
        maps = self.depthwise(F.pad(maps, ((self.kernel - 1) // 2, self.kernel // 2)))
        output: Tensor = self.pointwise2(F.silu(self.batch_norm(maps))).transpose(1, 2)
        return output


class ConformerBlock(nn.Module):
    """Attention and convolution between two halves of a feed-forward network."""

    def __init__(self, channels: int, heads: int, kernel: int) -> None:
        super().__init__()
        self.feed_forward1 = _FeedForward(channels)
        self.attention = _Attention(channels, heads)
        self.convolution = _Convolution(channels, kernel)
        self.feed_forward2 = _FeedForward(channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: Tensor, distances: Tensor, padded: Tensor) -> Tensor:
        """Map [batch, steps, channels] to the same shape."""
        features = features + _HALF * self.feed_forward1(features)
        features = features + self.attention(features, distances, padded)
        features = features + self.convolution(features, padded)
        output: Tensor = self.norm(features + _HALF * self.feed_forward2(features))
        return output


class ConformerEncoder(nn.Module):
    """Encode an image of a sequence, such as a spectrogram, step by step."""

    def __init__(
        self, *, in_channels: int, height: int, steps: int, channels: int, heads: int, layers: int, kernel: int
    ) -> None:
        super().__init__()
        self.subsampling = _Subsampling(in_channels, height, channels)
        self.blocks = nn.ModuleList(ConformerBlock(channels, heads, kernel) for _ in range(layers))
        self.register_buffer("distances", _waves(steps, channels), persistent=False)

    def forward(self, src: Tensor, src_pad_mask: Tensor) -> Tensor:
        """Encode a batch.

        Args:
            src: float32 [batch, in_channels, height, 4 * steps].
            src_pad_mask: bool [batch, steps], true where a step is padding.

        Returns:
            memory: float32 [batch, steps, channels].
        """
        features: Tensor = self.subsampling(src)  # [batch, 128, 512]
        distances = self.get_buffer("distances")
        for block in self.blocks:
            features = block(features, distances, src_pad_mask)
        return features


def build(
    *,
    in_channels: int = 3,
    height: int = 64,
    steps: int = 128,
    channels: int = 512,
    heads: int = 8,
    layers: int = 17,
    kernel: int = 32,
) -> ConformerEncoder:
    """Return the encoder in evaluation mode; the defaults are Conformer (L) for 64 x 512 inputs of three channels.

    Args:
        in_channels: Of the input.
        height: Rows of the input; a multiple of 4.
        steps: A quarter of the input's columns.
        channels: Of each step.
        heads: Of the attention.
        layers: Number of blocks.
        kernel: Steps that the convolution covers.

    Raises:
        ValueError: The heads do not divide the channels, or the height is no multiple of 4.
    """
    if channels % heads or channels % 2 or height % SUBSAMPLING:
        raise ValueError(f"channels={channels} do not fit heads={heads}, or height={height} is no multiple of 4")
    return ConformerEncoder(
        in_channels=in_channels,
        height=height,
        steps=steps,
        channels=channels,
        heads=heads,
        layers=layers,
        kernel=kernel,
    ).eval()


def _by_pair(scores: Tensor) -> Tensor:
    """Turn scores by distance, [.., L, 2 * L - 1], into scores by pair of steps, [.., L, L]."""
    B, heads, L, D = scores.shape
    shifted = F.pad(scores, (1, 0)).view(B, heads, D + 1, L)[:, :, 1:]
    return shifted.reshape(B, heads, L, D)[..., :L]


def _waves(steps: int, channels: int) -> Tensor:
    """Return what stands for each distance from steps - 1 down to 1 - steps, float32 [2 * steps - 1, channels]."""
    distance = torch.arange(steps - 1, -steps, -1, dtype=torch.float32)[:, None]
    exponents = torch.arange(0, channels, 2, dtype=torch.float32) / channels
    angles = distance * (-math.log(LONGEST_PERIOD) * exponents).exp()
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
