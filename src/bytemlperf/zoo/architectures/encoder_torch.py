"""Hold what the encoders of BERT's kind share: the layer around an attention, masks, the answer's logits."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Callable[[Tensor], Tensor]


def gelu_tanh(hidden: Tensor) -> Tensor:
    """Apply the Gaussian error linear unit in its tanh form."""
    return functional.gelu(hidden, approximate="tanh")


_ACTIVATIONS: dict[str, Activation] = {
    "gelu": functional.gelu,
    "gelu_new": gelu_tanh,
    "relu": functional.relu,
    "silu": functional.silu,
}


def activation_of(name: str) -> Activation:
    """Return an activation by the name that the hub's ``config.json`` gives it.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in _ACTIVATIONS:
        raise ValueError(f"hidden_act must be one of {', '.join(_ACTIVATIONS)}, got {name!r}")
    return _ACTIVATIONS[name]


class ResidualNorm(nn.Module):
    """Project, add the input and normalise."""

    def __init__(self, inner: int, width: int, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, eps)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """Map [rows, length, inner] and [rows, length, width] to the latter."""
        answer: Tensor = self.LayerNorm(self.dense(hidden) + residual)
        return answer


class Intermediate(nn.Module):
    """Project to the inner width and apply the activation."""

    def __init__(self, width: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.dense = nn.Linear(width, inner)
        self._activation = activation

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [rows, length, width] to [rows, length, inner]."""
        return self._activation(self.dense(hidden))


class Attention(nn.Module):
    """An attention of any kind with its residual; `self` is the checkpoints' name of it."""

    def __init__(self, attention: nn.Module, width: int, eps: float) -> None:
        super().__init__()
        self.self = attention
        self.output = ResidualNorm(width, width, eps)

    def forward(self, hidden: Tensor, *context: Tensor) -> Tensor:
        """Map [rows, length, width] to the same shape."""
        answer: Tensor = self.output(self.self(hidden, *context), hidden)
        return answer


class Layer(nn.Module):
    """Attention, then a feed-forward network, each normalised after its residual is added.

    Args:
        attention: Called with the hidden states and whatever the layer is given beside them.
        width: Of the hidden states.
        inner: Of the feed-forward network.
        eps: Added to the variance by the norms.
        activation: Of the feed-forward network.
    """

    def __init__(self, attention: nn.Module, *, width: int, inner: int, eps: float, activation: Activation) -> None:
        super().__init__()
        self.attention = Attention(attention, width, eps)
        self.intermediate = Intermediate(width, inner, activation)
        self.output = ResidualNorm(inner, width, eps)

    def forward(self, hidden: Tensor, *context: Tensor) -> Tensor:
        """Map [rows, length, width] to the same shape."""
        attended = self.attention(hidden, *context)
        answer: Tensor = self.output(self.intermediate(attended), attended)
        return answer


class SelfAttention(nn.Module):
    """Attend to all positions that the mask leaves."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self._heads = heads

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Map [rows, length, width] to the same shape, under an additive mask [rows, 1, 1, length]."""
        query, key, value = (
            split_heads(project(hidden), self._heads) for project in (self.query, self.key, self.value)
        )  # [rows, heads, length, width / heads] each
        return attended(query, key, value, mask)


def split_heads(projected: Tensor, heads: int) -> Tensor:
    """Turn [rows, length, heads * dim] into [rows, heads, length, dim]."""
    rows, length, width = projected.shape
    return projected.view(rows, length, heads, width // heads).transpose(1, 2)


def attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Attend by [rows, heads, length, dim] under an additive mask, and join the heads."""
    rows, heads, length, dim = query.shape
    answer = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return answer.transpose(1, 2).reshape(rows, length, heads * dim)


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a mask [rows, length] that is 0 where nothing is into what is added to scores, [rows, 1, 1, length].

    Half of the lowest number: no share is left to such a position, a row of nothing else stays
    finite, and no sum overflows in float16.
    """
    return (mask[:, None, None, :] == 0).to(dtype) * (torch.finfo(dtype).min / 2)


def answer_logits(spans: Tensor, *, split: bool) -> Tensor | tuple[Tensor, Tensor]:
    """Return [rows, length, 2] as it is, or as the logits of an answer's start and of its end."""
    if not split:
        return spans
    start, end = spans.unbind(-1)  # [rows, length] each
    return start.contiguous(), end.contiguous()


def positive(**values: int) -> None:
    """Refuse sizes that are none.

    Raises:
        ValueError: A value is below 1 or no whole number.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def whole_heads(width: int, heads: int) -> None:
    """Refuse a width that is no multiple of the heads.

    Raises:
        ValueError: It is none.
    """
    if width % heads:
        raise ValueError(f"hidden_size must be a multiple of num_attention_heads, got {width} and {heads}")
