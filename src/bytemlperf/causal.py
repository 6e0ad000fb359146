"""What a generation engine knows of a language model: a forward with a cache, and how its weights divide among ranks.

A model's module has this beside its plain forward, and an engine asks for nothing else: a new
architecture needs no change of the engine, and neither knows the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.spec.fields import as_tuple, at_least

if TYPE_CHECKING:
    from torch import Tensor

Cache: TypeAlias = "Sequence[tuple[Tensor, Tensor]]"
"""Keys and values of each layer, both [rows, kv_heads, length, head_dim]; views of larger ones will do.

The caller allocates them once, in the model's own floating-point type. A forward writes at the
positions that it is given and reads from 0 up to the last axis' length, so a view of the first `n`
rows and `length` positions bounds what a step costs.
"""

Combine: TypeAlias = "Callable[[Tensor], Tensor]"
"""Adds up what each rank has of a tensor; the sum is the same on all of them."""


@attrs.frozen(kw_only=True)
class CausalShape:
    """What a cache and a prompt have to fit.

    Attributes:
        layers: Layers with a cache.
        heads: Query heads of a layer.
        kv_heads: Key and value heads of a layer; each serves `heads / kv_heads` query heads.
        head_dim: Length of a head's key and value.
        vocabulary: Exclusive upper bound of token ids, and length of the logits.
        context: Most positions that the model was made for.
    """

    layers: int = attrs.field(validator=at_least(1))
    heads: int = attrs.field(validator=at_least(1))
    kv_heads: int = attrs.field(validator=at_least(1))
    head_dim: int = attrs.field(validator=at_least(1))
    vocabulary: int = attrs.field(validator=at_least(1))
    context: int = attrs.field(validator=at_least(1))


@attrs.frozen(kw_only=True)
class Shard:
    """How one weight is divided among ranks, as data.

    Along one axis lie blocks (one; or query, key and value of a fused projection) of whole units (a
    head, or a single row). Each rank has an equal part of each block. A block of fewer units than
    ranks is repeated: neighbouring ranks share a unit.

    Attributes:
        axis: The axis that is divided.
        blocks: Units in each block, in order.
        unit: Length of a unit.

    Example:
        >>> Shard(axis=0, blocks=(8, 2, 2), unit=16).slices(1, 2)
        (slice(64, 128, None), slice(144, 160, None), slice(176, 192, None))
    """

    axis: int = attrs.field(validator=at_least(0))
    blocks: tuple[int, ...] = attrs.field(converter=as_tuple)
    unit: int = attrs.field(default=1, validator=at_least(1))

    def slices(self, rank: int, ranks: int) -> tuple[slice, ...]:
        """Return what of the axis a rank has: one slice a block, to be joined in order.

        Raises:
            SpecError: If there is no such rank, or a block cannot be divided evenly.
        """
        if not 0 <= rank < ranks:
            raise SpecError("there is no such rank", got=rank, expected=f"0 to {ranks - 1}")
        slices, start = [], 0
        for units in self.blocks:
            first, count = _part(units, rank, ranks)
            slices.append(slice(start + first * self.unit, start + (first + count) * self.unit))
            start += units * self.unit
        return tuple(slices)


def _part(units: int, rank: int, ranks: int) -> tuple[int, int]:
    if units % ranks == 0:
        return rank * (units // ranks), units // ranks
    if ranks % units == 0:
        return rank // (ranks // units), 1
    raise SpecError(
        "a weight cannot be divided evenly among the ranks", got=f"{units} units", expected=f"{ranks} ranks"
    )


@runtime_checkable
class CausalModel(Protocol):
    """A torch module that predicts the next token.

    Of a model that is divided among ranks each rank builds its own part, by the argument `ranks` of
    the architecture's function; its `shape` counts its own heads, its weights are the slices that
    `shards` tells of the whole ones, and `combine` is set to what adds up over the ranks.

    Attributes:
        combine: Applied to what each attention and each feed-forward network gives; the identity at first.
    """

    combine: Combine

    @property
    def shape(self) -> CausalShape:
        """What a cache for this module has to fit."""
        ...

    def hidden(self, tokens: Tensor, positions: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Return the normalised last hidden states.

        A shorter row is padded by its last token at its last position again: that writes the same
        keys and values once more, and nothing beyond.

        Args:
            tokens: int64 [rows, new].
            positions: int64 [rows, new], each row's own; None for 0, 1, 2 and so on.
            cache: What earlier calls left for these rows; keys and values of `tokens` are written to
                it. A token sees the positions up to its own. None: `tokens` is all there is.

        Returns:
            [rows, new, width], in the type of the weights.
        """
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits [..., vocabulary] of hidden states [..., width]; of those alone that are wanted."""
        ...

    def forward(self, tokens: Tensor, positions: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Return `logits(hidden(...))`, [rows, new, vocabulary]."""
        ...

    def shards(self) -> Mapping[str, Shard]:
        """Return how weights of the whole model are divided, by name; those not named are whole on each rank."""
        ...
