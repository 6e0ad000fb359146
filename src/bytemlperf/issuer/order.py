"""A plan as the issuer takes it: plain data, standard library only, syntax of Python 3.7."""

from __future__ import annotations

if False:
    from typing import Any, Mapping, Optional, Sequence

WHOLE, ENOUGH, MAX_DURATION, MAX_OUTSTANDING, CERTAIN = range(5)
"""Why a run issued no further query; `bytemlperf.trace.Ended` has the same numbers."""


class Stop:
    """When to end before the queries have run out; `bytemlperf.scenarios.Stop` has the same fields."""

    def __init__(
        self,
        *,
        when_enough: bool = False,
        min_queries: int = 0,
        min_duration_ns: int = 0,
        max_duration_ns: Optional[int] = None,
        max_outstanding: Optional[int] = None,
        looks: Sequence[Mapping[str, int]] = (),
        within: float = 0.0,
    ) -> None:
        self.when_enough, self.min_queries, self.min_duration_ns = when_enough, min_queries, min_duration_ns
        self.max_duration_ns, self.max_outstanding = max_duration_ns, max_outstanding
        self.looks, self.within = looks, within
        self.early = when_enough or max_duration_ns is not None or max_outstanding is not None or bool(looks)

    def ends(self, issued: int, elapsed_ns: int) -> int:
        """Return why no query is to be issued after so many in such a time; 0 to go on."""
        if self.when_enough and issued >= self.min_queries and elapsed_ns >= self.min_duration_ns:
            return ENOUGH
        if self.max_duration_ns is not None and elapsed_ns > self.max_duration_ns:
            return MAX_DURATION
        return WHOLE


class Order:
    """Which batches are asked for, when, by whom.

    Args:
        batch: Which batch each record asks for; records of one query lie side by side.
        clients: Of a closed loop.
        samples_per_query: Records that make one query.
        scheduled_ns: When each query is due after the start; None for a closed loop.
        senders: Threads that send to a blocking backend at given times; None for as many as it takes at once.
        stop: Fields of `Stop`.
    """

    def __init__(
        self,
        batch: Sequence[int],
        *,
        clients: int = 1,
        samples_per_query: int = 1,
        scheduled_ns: Optional[Any] = None,
        senders: Optional[int] = None,
        stop: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self.batch, self.clients, self.samples_per_query = batch, clients, samples_per_query
        self.scheduled_ns, self.senders = scheduled_ns, senders
        self.stop = Stop(**(stop or {}))

    def __len__(self) -> int:
        return len(self.batch)
