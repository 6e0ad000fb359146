"""The first rank's side: what an engine runs looks like a model and its cache, and has all ranks do the same."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from bytemlperf.backends.torch_generation.building import Built
from bytemlperf.backends.torch_generation.cache import Rows
from bytemlperf.backends.torch_generation.group import Group, GroupLostError
from bytemlperf.backends.torch_generation.orders import Move, Order, Step, Stop, View
from bytemlperf.causal import Cache, CausalModel, CausalShape, Combine, Shard
from bytemlperf.errors import BenchmarkError


class Lead:
    """Has all ranks do what this one does, in the same order.

    Args:
        group: The ranks.
        lost: Called when one does not take part: ends the others and says what happened.
    """

    def __init__(self, group: Group, lost: Callable[[GroupLostError], BenchmarkError]) -> None:
        self._group, self._lost = group, lost
        self._error: BenchmarkError | None = None
        self._turn = threading.RLock()

    def together(self, order: Order, own: Callable[[], Tensor | None]) -> Tensor | None:
        """Have the other ranks do something while this one does its own part of it.

        Raises:
            CrashError: If a rank is gone; from then on always.
            TimeLimitError: If one did not take part in time; from then on always.
        """
        with self._turn:
            if self._error is not None:
                raise copy.copy(self._error)  # each request that fails writes its own trail into it
            try:
                self._group.tell(order)
                return own()
            except GroupLostError as error:
                self._error = self._lost(error)
                raise copy.copy(self._error) from error

    def stop(self) -> bool:
        """Send the other ranks home; return whether they heard it."""
        with self._turn:
            if self._error is not None:
                return False
            try:
                self._group.tell(Stop())
            except GroupLostError:
                return False
            return True


class _Bounded(list[tuple[Tensor, Tensor]]):
    """A view of the cache that knows its bounds."""

    bounds: View


class LedRows(Rows):
    """This rank's cache, of which the others have the same rows for their own heads; see `Rows`.

    Args:
        part: What this rank runs.
        count: Rows.
        device: Where they lie.
        lead: Of the ranks.
    """

    def __init__(self, part: Built, *, count: int, device: torch.device, lead: Lead) -> None:
        super().__init__(part.module.shape, rows=count, length=part.length, dtype=part.activations, device=device)
        self._lead = lead

    def view(self, first: int, last: int, positions: int) -> Cache:
        """Return rows as `Rows.view`."""
        found = _Bounded(super().view(first, last, positions))
        found.bounds = View(first, last, positions)
        return found

    def move(self, source: int, target: int, positions: int) -> None:
        """Copy a row on all ranks."""

        def own() -> None:
            super(LedRows, self).move(source, target, positions)

        self._lead.together(Move(source, target, positions), own)


class LedModel:
    """A `CausalModel` whose parts lie with several ranks; its logits with the first alone.

    Args:
        part: This rank's.
        lead: Of the ranks.
    """

    def __init__(self, part: CausalModel, lead: Lead) -> None:
        self._part, self._lead = part, lead
        self.combine: Combine = part.combine

    @property
    def shape(self) -> CausalShape:
        """What this rank's cache has to fit."""
        return self._part.shape

    def hidden(self, tokens: Tensor, positions: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Return the last hidden states, which all ranks together have computed; see `CausalModel`."""
        bounds = cache.bounds if isinstance(cache, _Bounded) else None
        answer = self._lead.together(
            Step(tokens, positions, bounds), lambda: self._part.hidden(tokens, positions, cache)
        )
        assert answer is not None
        return answer

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits of hidden states; no other rank knows them."""
        return self._part.logits(hidden)

    def forward(self, tokens: Tensor, positions: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Return `logits(hidden(...))`."""
        return self.logits(self.hidden(tokens, positions, cache))

    def shards(self) -> Mapping[str, Shard]:
        """Return how the whole model's weights are divided."""
        return self._part.shards()
