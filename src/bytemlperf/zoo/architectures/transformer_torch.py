"""Define one encoder block and one decoder block of a transformer in PyTorch: parts of models as benchmarks.

Both are post-norm blocks of BERT-base's width. Names of parameters are our own.

Source: Vaswani et al., "Attention Is All You Need", 2017 (arXiv:1706.03762); widths and GELU of
BERT-base (arXiv:1810.04805).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file changes."""

NORM_EPSILON = 1e-12


class _Attention(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)

    def forward(self, features: Tensor, context: Tensor, *, causal: bool = False) -> Tensor:
        """Map [batch, length, channels] and [batch, positions, channels] to [batch, length, channels]."""
        B, L, C = features.shape
        query, key, value = (  # each [batch, heads, positions, channels / heads]
            layer(given).view(B, -1, self.heads, C // self.heads).transpose(1, 2)
            for layer, given in ((self.query, features), (self.key, context), (self.value, context))
        )
        scores = query @ key.transpose(2, 3) * (C // self.heads) ** -0.5  # [batch, heads, length, positions]
        if causal:
            later = torch.ones(L, L, dtype=torch.bool, device=features.device).triu(1)
            scores = scores.masked_fill(later, torch.finfo(scores.dtype).min)
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(B, L, C)
        output: Tensor = self.output(mixed)
        return output


class _FeedForward(nn.Module):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.widen = nn.Linear(channels, inner)
        self.narrow = nn.Linear(inner, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map [..., channels] to the same shape."""
        output: Tensor = self.narrow(F.gelu(self.widen(features)))
        return output


class EncoderBlock(nn.Module):
    """Attend to all positions, then mix channels."""

    def __init__(self, channels: int, heads: int, inner: int) -> None:
        super().__init__()
        self.attention = _Attention(channels, heads)
        self.norm1 = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.feed_forward = _FeedForward(channels, inner)
        self.norm2 = nn.LayerNorm(channels, eps=NORM_EPSILON)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Map float32 [batch, length, channels] to the same shape."""
        features = self.norm1(hidden_states + self.attention(hidden_states, hidden_states))
        output: Tensor = self.norm2(features + self.feed_forward(features))
        return output


class DecoderBlock(nn.Module):
    """Attend to earlier positions, then to an encoded sequence, then mix channels."""

    def __init__(self, channels: int, heads: int, inner: int) -> None:
        super().__init__()
        self.attention = _Attention(channels, heads)
        self.norm1 = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.cross_attention = _Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.feed_forward = _FeedForward(channels, inner)
        self.norm3 = nn.LayerNorm(channels, eps=NORM_EPSILON)

    def forward(self, hidden_states: Tensor, memory: Tensor) -> Tensor:
        """Map float32 [batch, length, channels] and [batch, positions, channels] to [batch, length, channels]."""
        features = self.norm1(hidden_states + self.attention(hidden_states, hidden_states, causal=True))
        features = self.norm2(features + self.cross_attention(features, memory))
        output: Tensor = self.norm3(features + self.feed_forward(features))
        return output


def build_encoder(*, channels: int = 768, heads: int = 12, inner: int = 3072) -> EncoderBlock:
    """Return an encoder block in evaluation mode, for sequences of any length; the defaults are BERT-base's.

    Args:
        channels: Of each position.
        heads: Of the attention.
        inner: Channels of the feed-forward network.

    Raises:
        ValueError: The heads do not divide the channels.
    """
    _check(channels, heads)
    return EncoderBlock(channels, heads, inner).eval()


def build_decoder(*, channels: int = 768, heads: int = 12, inner: int = 3072) -> DecoderBlock:
    """Return a decoder block in evaluation mode, for sequences of any length; the defaults are BERT-base's.

    Args:
        channels: Of each position.
        heads: Of each attention.
        inner: Channels of the feed-forward network.

    Raises:
        ValueError: The heads do not divide the channels.
    """
    _check(channels, heads)
    return DecoderBlock(channels, heads, inner).eval()


def _check(channels: int, heads: int) -> None:
    if channels % heads:
        raise ValueError(f"heads={heads} do not divide channels={channels}")
