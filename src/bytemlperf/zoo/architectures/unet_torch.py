"""Define the UNet of Stable Diffusion 1.x in PyTorch: it estimates the noise in a latent image.

Parameters have the names and shapes of the hub's checkpoints (``CompVis/stable-diffusion-v1-4``,
folder ``unet``), so that those load as they are.

Source: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022
(arXiv:2112.10752).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bytemlperf.zoo.architectures.diffusion_blocks_torch import Downsample, ResnetBlock, Upsample

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file changes."""

NORM_EPSILON = 1e-5

ATTENTION_NORM_EPSILON = 1e-6
"""Of the norm before attention, as the checkpoints were trained."""

LONGEST_PERIOD = 10_000
"""Of the waves that stand for a time. Source: Vaswani et al., 2017 (arXiv:1706.03762)."""


class _Attention(nn.Module):
    """Attend to the positions of a context, or to one's own."""

    def __init__(self, channels: int, context_channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_channels, channels, bias=False)
        self.to_v = nn.Linear(context_channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """Map [batch, length, channels] and [batch, tokens, context_channels] to [batch, length, channels]."""
        B, L, C = features.shape
        query, key, value = (  # each [batch, heads, positions, channels / heads]
            projected.view(B, -1, self.heads, C // self.heads).transpose(1, 2)
            for projected in (self.to_q(features), self.to_k(context), self.to_v(context))
        )
        scores = query @ key.transpose(2, 3) * (C // self.heads) ** -0.5  # [batch, heads, length, tokens]
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(B, L, C)
        output: Tensor = self.to_out[0](mixed)
        return output


class _GatedGelu(nn.Module):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 2 * inner)

    def forward(self, features: Tensor) -> Tensor:
        """Map [..., channels] to [..., inner]."""
        values, gate = self.proj(features).chunk(2, dim=-1)
        gated: Tensor = values * F.gelu(gate)
        return gated


class _FeedForward(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        # The checkpoints count a dropout between the two.
        self.net = nn.Sequential(_GatedGelu(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        """Map [..., channels] to the same shape."""
        output: Tensor = self.net(features)
        return output


class _TransformerBlock(nn.Module):
    """Attend to one's own positions, then to the text, then mix channels."""

    def __init__(self, channels: int, text_width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.attn1 = _Attention(channels, channels, heads)
        self.norm2 = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.attn2 = _Attention(channels, text_width, heads)
        self.norm3 = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.ff = _FeedForward(channels)

    def forward(self, features: Tensor, text: Tensor) -> Tensor:
        """Map [batch, length, channels] and [batch, tokens, text_width] to [batch, length, channels]."""
        normed = self.norm1(features)
        features = features + self.attn1(normed, normed)
        features = features + self.attn2(self.norm2(features), text)
        output: Tensor = features + self.ff(self.norm3(features))
        return output


class SpatialTransformer(nn.Module):
    """Let each place of an image attend to all places and to the text."""

    def __init__(self, channels: int, *, text_width: int, heads: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=ATTENTION_NORM_EPSILON)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([_TransformerBlock(channels, text_width, heads)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor, text: Tensor) -> Tensor:
        """Map [batch, channels, h, w] and [batch, tokens, text_width] to [batch, channels, h, w]."""
        B, C, H, W = features.shape
        sequence = self.proj_in(self.norm(features)).flatten(2).transpose(1, 2)  # [batch, h * w, channels]
        for block in self.transformer_blocks:
            sequence = block(sequence, text)
        output: Tensor = features + self.proj_out(sequence.transpose(1, 2).reshape(B, C, H, W))
        return output


class _Level(nn.Module):
    """Blocks of one resolution, each followed by attention where the level has it."""

    def __init__(self, resnets: Sequence[ResnetBlock], attentions: Sequence[SpatialTransformer]) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        if attentions:
            self.attentions = nn.ModuleList(attentions)
        self.attends = bool(attentions)
        self.downsamplers: nn.ModuleList | None = None
        self.upsamplers: nn.ModuleList | None = None

    def step(self, index: int, features: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """Go through one block."""
        features = self.resnets[index](features, time)
        if self.attends:
            features = self.attentions[index](features, text)
        return features


class _Middle(nn.Module):
    def __init__(self, resnets: Sequence[ResnetBlock], attention: SpatialTransformer) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([attention])
        self.resnets = nn.ModuleList(resnets)

    def forward(self, features: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """Map [batch, channels, h, w] to the same shape."""
        features = self.attentions[0](self.resnets[0](features, time), text)
        output: Tensor = self.resnets[1](features, time)
        return output


class _TimeEmbedding(nn.Module):
    """Turn a time into waves of many lengths, and those into a vector."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, width)
        self.linear_2 = nn.Linear(width, width)
        exponents = torch.arange(channels // 2, dtype=torch.float32) / (channels // 2)
        self.register_buffer("frequencies", (-math.log(LONGEST_PERIOD) * exponents).exp(), persistent=False)

    def forward(self, timestep: Tensor) -> Tensor:
        """Map [1] to [1, width]."""
        # In float32 whatever the weights' type: part of the definition, as waves of a large time need it.
        angles = timestep[:, None].float() * self.get_buffer("frequencies").float()
        waves = torch.cat([angles.cos(), angles.sin()], dim=1).to(self.linear_1.weight.dtype)
        embedded: Tensor = self.linear_2(F.silu(self.linear_1(waves)))
        return embedded


class UNet(nn.Module):
    """Estimate the noise in latent images, given its time and a text.

    Args:
        channels: Of the latent image.
        block_channels: Of each level, from fine to coarse.
        attention: Whether each level attends.
        blocks: Of each level going down; one more going up.
        text_width: Of the text's encoding.
        heads: Of each attention.
        groups: Of the norms.
    """

    def __init__(
        self,
        *,
        channels: int,
        block_channels: Sequence[int],
        attention: Sequence[bool],
        blocks: int,
        text_width: int,
        heads: int,
        groups: int,
    ) -> None:
        super().__init__()
        self._text_width, self._heads, self._groups = text_width, heads, groups
        first, last = block_channels[0], block_channels[-1]
        self._time_width = 4 * first
        self.conv_in = nn.Conv2d(channels, first, 3, padding=1)
        self.time_embedding = _TimeEmbedding(first, self._time_width)
        entering = [first, *block_channels[:-1]]
        self.down_blocks = nn.ModuleList(
            self._level([before, *[width] * (blocks - 1)], width, attends)
            for before, width, attends in zip(entering, block_channels, attention, strict=True)
        )
        self.mid_block = _Middle([self._resnet(last, last), self._resnet(last, last)], self._transformer(last))
        self.up_blocks = nn.ModuleList(self._rising(block_channels, attention, blocks))
        for level, width in zip(list(self.down_blocks)[:-1], block_channels, strict=False):
            level.downsamplers = nn.ModuleList([Downsample(width, one_sided=False)])
        for level, width in zip(list(self.up_blocks)[:-1], reversed(block_channels), strict=False):
            level.upsamplers = nn.ModuleList([Upsample(width)])
        self.conv_norm_out = nn.GroupNorm(groups, first, eps=NORM_EPSILON)
        self.conv_out = nn.Conv2d(first, channels, 3, padding=1)

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        """Estimate the noise.

        Args:
            sample: float32 [batch, 4, height, width], latent images of any size that the levels can halve.
            timestep: int64 [1], the same for the whole batch.
            encoder_hidden_states: float32 [batch, tokens, text_width], encoded texts.

        Returns:
            out_sample: float32 [batch, 4, height, width].
        """
        time, text = self.time_embedding(timestep), encoder_hidden_states
        features = self.conv_in(sample)  # [batch, 320, 32, 32]
        kept = [features]
        for level in self.down_blocks:
            assert isinstance(level, _Level)
            for index in range(len(level.resnets)):
                features = level.step(index, features, time, text)
                kept.append(features)
            if level.downsamplers is not None:
                features = level.downsamplers[0](features)  # [.., 16, 16], [.., 8, 8], [.., 4, 4]
                kept.append(features)
        features = self.mid_block(features, time, text)  # [batch, 1280, 4, 4]
        for level in self.up_blocks:
            assert isinstance(level, _Level)
            for index in range(len(level.resnets)):
                features = level.step(index, torch.cat([features, kept.pop()], dim=1), time, text)
            if level.upsamplers is not None:
                features = level.upsamplers[0](features)
        noise: Tensor = self.conv_out(F.silu(self.conv_norm_out(features)))
        return noise

    def _rising(self, block_channels: Sequence[int], attention: Sequence[bool], blocks: int) -> list[_Level]:
        """Return the levels from coarse to fine; each block also takes what one on the way down gave."""
        given = [block_channels[0]]
        for index, width in enumerate(block_channels):
            given += [width] * (blocks + (index < len(block_channels) - 1))
        levels, features = [], block_channels[-1]
        for width, attends in zip(reversed(block_channels), reversed(attention), strict=True):
            entering = [features, *[width] * blocks]
            levels.append(self._level([each + given.pop() for each in entering], width, attends))
            features = width
        return levels

    def _level(self, entering: Sequence[int], width: int, attends: bool) -> _Level:  # noqa: FBT001 - read off a table
        resnets = [self._resnet(each, width) for each in entering]
        return _Level(resnets, [self._transformer(width) for _ in resnets] if attends else [])

    def _resnet(self, in_channels: int, channels: int) -> ResnetBlock:
        return ResnetBlock(
            in_channels, channels, time_width=self._time_width, groups=self._groups, epsilon=NORM_EPSILON
        )

    def _transformer(self, channels: int) -> SpatialTransformer:
        return SpatialTransformer(channels, text_width=self._text_width, heads=self._heads, groups=self._groups)


def build(
    *,
    channels: int = 4,
    block_channels: Sequence[int] = (320, 640, 1280, 1280),
    attention: Sequence[bool] = (True, True, True, False),
    blocks: int = 2,
    text_width: int = 768,
    heads: int = 8,
    groups: int = 32,
) -> UNet:
    """Return the network in evaluation mode; the defaults are Stable Diffusion 1.x.

    Args:
        channels: Of the latent image.
        block_channels: Of each level, from fine to coarse.
        attention: Whether each level attends.
        blocks: Of each level going down; one more going up.
        text_width: Of the text's encoding.
        heads: Of each attention.
        groups: Of the norms.

    Raises:
        ValueError: The levels are not as many in both lists, or groups or heads do not divide the channels.
    """
    if len(block_channels) != len(attention):
        raise ValueError(f"block_channels {tuple(block_channels)} and attention {tuple(attention)} differ in length")
    if any(width % groups or width % heads for width in block_channels):
        raise ValueError(f"groups={groups} or heads={heads} do not divide block_channels {tuple(block_channels)}")
    return UNet(
        channels=channels,
        block_channels=block_channels,
        attention=attention,
        blocks=blocks,
        text_width=text_width,
        heads=heads,
        groups=groups,
    ).eval()
