"""A model that several ranks have a part of each, as the first of them runs it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import torch

from bytemlperf.backends.compiled import TP_SIZE
from bytemlperf.backends.torch_generation.building import built
from bytemlperf.backends.torch_generation.group import Group, GroupLostError
from bytemlperf.backends.torch_generation.launch import END_S, POLL_S, Loaded, start_ranks
from bytemlperf.backends.torch_generation.lead import Lead, LedModel, LedRows
from bytemlperf.errors import BenchmarkError, CrashError, TimeLimitError

if TYPE_CHECKING:
    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.backends.torch_generation.backend import GenerationOptions

LOOK_S: Final = 2.0
"""Seconds in which a rank whose connection was lost is seen to have ended."""


class Ranked:
    """The ranks of one engine, started and loaded.

    Args:
        artifact: The whole model.
        options: Of the engine; `tensor_parallel` ranks.
        device: Of the first rank.

    Attributes:
        part: The first rank's.
        model: What the engine runs.
        rows: The engine's cache.
        facts: What a report says of the ranks.

    Raises:
        BenchmarkError: If a rank cannot be started, or cannot load its part; none is left then.
    """

    def __init__(self, artifact: ModelArtifact, options: GenerationOptions, device: torch.device) -> None:
        self._count, self._timeout_s = options.tensor_parallel, options.rank_timeout_s
        self._ranks = start_ranks(artifact, options, ranks=self._count, device=device, timeout_s=options.rank_timeout_s)
        try:
            self.part = built(artifact, options, device)
            own = Loaded(weight_bytes=self.part.weight_bytes, cache_bytes=self.part.cache_bytes)
            self.facts = _facts((own, *self._ranks.loaded()))
            self.lead = Lead(self._grouped(device), self._lost)
            self.model = LedModel(self.part.module, self.lead)
            self.rows = LedRows(self.part, count=options.slots, device=device, lead=self.lead)
        except BaseException:
            self._ranks.close()
            raise

    @property
    def processes(self) -> Mapping[int, int]:
        """Process ids by rank, of those that were started here."""
        return self._ranks.processes

    def _grouped(self, device: torch.device) -> Group:
        ranks = self._ranks
        try:
            group = Group(
                ranks.store, rank=0, ranks=self._count, device=device, timeout_s=self._timeout_s,
                loopback=ranks.loopback,
            )  # fmt: skip
        except GroupLostError as error:
            raise self._lost(error) from error
        self.part.module.combine = group.sum
        return group

    def _lost(self, cause: GroupLostError) -> BenchmarkError:
        """End what is left of the ranks, and say what happened."""
        timed_out = "timed out" in str(cause).lower()
        until = time.monotonic() + (0 if timed_out else LOOK_S)
        while (ended := self._ranks.ended()) is None and time.monotonic() < until:
            time.sleep(POLL_S)
        self._ranks.close()
        if ended is not None:
            return ended.error(self._count)
        if not timed_out:
            return CrashError(f"a rank of {self._count} cannot be reached any more", got=str(cause)[:300])
        error = TimeLimitError(
            f"a rank of {self._count} did not take part within {self._timeout_s:g} s",
            remedy="raise rank_timeout_s if the ranks are that slow",
        )
        error.limit = "rank_timeout_s"
        return error

    def close(self) -> None:
        """Send the other ranks home, and end those that do not go."""
        heard = self.lead.stop()
        self._ranks.close(patience_s=END_S if heard else 0.0)


def _facts(loaded: tuple[Loaded, ...]) -> dict[str, int]:
    weights = {f"rank_{rank}_weight_bytes": each.weight_bytes for rank, each in enumerate(loaded)}
    caches = {f"rank_{rank}_cache_bytes": each.cache_bytes for rank, each in enumerate(loaded)}
    return {TP_SIZE: len(loaded), **weights, **caches}
