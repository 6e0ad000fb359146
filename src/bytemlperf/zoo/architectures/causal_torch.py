"""Hold what the language models here share: attention over a cache, rotary positions, RMS norms."""

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional

from bytemlperf.causal import CausalShape


class Linear(nn.Linear):
    """A linear layer that is left as it is allocated: filling billions of weights at random would take minutes."""

    def reset_parameters(self) -> None:
        """Leave the weights to whoever loads or draws them."""


class Embedding(nn.Embedding):
    """An embedding that is left as it is allocated, for the same reason."""

    def reset_parameters(self) -> None:
        """Leave the weights to whoever loads or draws them."""

    def unembed(self, hidden: Tensor) -> Tensor:
        """Map [..., width] to logits [..., vocabulary], where both ends of a model share the weights."""
        return functional.linear(hidden, self.weight)


class RMSNorm(nn.RMSNorm):
    """Divide by the root mean square, in float32 at least, then scale in the input's own type."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [..., width] to the same shape."""
        wide = hidden if hidden.dtype is torch.float64 else hidden.float()
        assert self.eps is not None
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * scaled.to(hidden.dtype)


def alone(part: Tensor) -> Tensor:
    """Return the part itself: with one rank it is the sum."""
    return part


def placed(tokens: Tensor, positions: Tensor | None) -> Tensor:
    """Return each token's position, [rows, new] or [1, new]."""
    if positions is not None:
        return positions
    return torch.arange(tokens.shape[1], device=tokens.device).unsqueeze(0)


def rotations(positions: Tensor, *, dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of rotary positions, float32 [rows, 1, new, dim / 2].

    Source: Su et al., "RoFormer", 2021 (arXiv:2104.09864), equation 15; in float32, as LLaMA is trained.
    """
    steps = torch.arange(0, dim, 2, device=positions.device, dtype=torch.float32)
    angles = positions[:, None, :, None].float() * (1.0 / theta ** (steps / dim))
    return angles.cos(), angles.sin()


def rotate_halves(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate element i with element i + dim / 2 of [rows, heads, new, dim], as the hub's LLaMA does."""
    first, second = heads.chunk(2, dim=-1)
    cos, sin = cos.to(heads.dtype), sin.to(heads.dtype)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def rotate_pairs(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate element 2 i with element 2 i + 1 of [rows, heads, new, dim], as RoFormer and ChatGLM do."""
    first, second = heads.reshape(*heads.shape[:-1], -1, 2).unbind(-1)
    cos, sin = cos.to(heads.dtype), sin.to(heads.dtype)
    return torch.stack((first * cos - second * sin, second * cos + first * sin), dim=-1).flatten(-2)


def attend(
    query: Tensor, key: Tensor, value: Tensor, positions: Tensor | None, cache: tuple[Tensor, Tensor] | None
) -> Tensor:
    """Attend to all positions up to a token's own; keys and values go into the cache first.

    Args:
        query: [rows, heads, new, head_dim].
        key: [rows, kv_heads, new, head_dim].
        value: As `key`.
        positions: [rows or 1, new]; None for tokens that are all there is, in order.
        cache: This layer's keys and values, [rows, kv_heads, length, head_dim].

    Returns:
        [rows, new, heads * head_dim].
    """
    if positions is None:
        assert cache is None
        return _attended(query, key, value, None)
    reach = positions[:, None, :]
    if cache is not None:
        key, value = _stored(key, value, positions, cache)
        reach = torch.arange(key.shape[2], device=key.device)[None, None, :]
    return _attended(query, key, value, (reach <= positions[:, :, None])[:, None])


def _stored(key: Tensor, value: Tensor, positions: Tensor, cache: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    keys, values = cache
    rows = torch.arange(key.shape[0], device=key.device)[:, None]
    places = positions.expand(key.shape[0], -1)
    keys[rows, :, places] = key.transpose(1, 2)
    values[rows, :, places] = value.transpose(1, 2)
    return keys, values


def _attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attend under a mask [rows, 1, new, length], or causally; heads that share a key lie in one row of queries."""
    rows, heads, new, dim = query.shape
    groups = heads // key.shape[1]
    if groups == 1:
        answer = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        return answer.transpose(1, 2).reshape(rows, new, heads * dim)
    if mask is None:
        mask = torch.ones(new, new, dtype=torch.bool, device=query.device).tril()[None, None]
    shared = query.reshape(rows, key.shape[1], groups * new, dim)
    answer = functional.scaled_dot_product_attention(shared, key, value, attn_mask=mask.repeat(1, 1, groups, 1))
    return answer.reshape(rows, heads, new, dim).transpose(1, 2).reshape(rows, new, heads * dim)


def split_heads(projected: Tensor, head_dim: int) -> Tensor:
    """Turn [rows, new, heads * head_dim] into [rows, heads, new, head_dim]."""
    rows, new, width = projected.shape
    return projected.reshape(rows, new, width // head_dim, head_dim).transpose(1, 2)


def part_of_shape(whole: CausalShape, ranks: int) -> CausalShape:
    """Return what one of `ranks` has of a model's heads; a key and value head may serve several ranks.

    Raises:
        ValueError: Heads cannot be divided evenly.
    """
    multiple(whole.heads, whole.kv_heads, "query heads must be a multiple of key and value heads")
    multiple(whole.heads, ranks, "query heads must be a multiple of ranks")
    if whole.kv_heads % ranks and ranks % whole.kv_heads:
        raise ValueError(f"{whole.kv_heads} key and value heads cannot be divided evenly among {ranks} ranks")
    return attrs.evolve(whole, heads=whole.heads // ranks, kv_heads=max(1, whole.kv_heads // ranks))


def positive(**values: int) -> None:
    """Refuse sizes that are none.

    Raises:
        ValueError: A value is below 1 or no whole number.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def multiple(value: int, of: int, what: str) -> None:
    """Refuse a value that is no multiple.

    Raises:
        ValueError: It is none.
    """
    if value % of:
        raise ValueError(f"{what}: {value} is no multiple of {of}")


FLOATS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64}
"""Types that weights can have."""


def float_type(name: str) -> torch.dtype:
    """Return the type of a name.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in FLOATS:
        raise ValueError(f"dtype must be one of {', '.join(FLOATS)}, got {name!r}")
    return FLOATS[name]
