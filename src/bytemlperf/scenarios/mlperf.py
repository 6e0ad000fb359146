"""MLPerf's four scenarios, planned as LoadGen plans them."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import SpecError
from bytemlperf.scenarios import loadgen
from bytemlperf.scenarios.base import (
    NS_PER_MS,
    NS_PER_S,
    Plan,
    Scenario,
    Seeds,
    Stop,
    Warmup,
    check_samples,
    check_size,
    key_of,
)
from bytemlperf.spec.fields import as_float, at_least, not_negative, positive, share

_OFFLINE_SLACK = 1.1


@attrs.frozen(kw_only=True)
class MLPerfScenario(Scenario):
    """What the four scenarios of MLPerf Inference have in common.

    The defaults are those of LoadGen's library, for trying out; a submission takes 600 s.

    Attributes:
        min_duration_s: A run that took less is invalid.
        min_queries: A run of fewer queries is invalid.
        performance_samples: Samples kept in memory, the first of the data set; None for all.
        warmup: Untimed queries before the run. LoadGen has none.

    Source: test_settings.h l.113-201 and inference_rules.adoc l.138-162, mlcommons/inference at b66003e.
    """

    by_sample: ClassVar[bool] = True

    min_duration_s: float = attrs.field(default=10.0, converter=as_float, validator=not_negative())
    min_queries: int = attrs.field(default=100, validator=at_least(1))
    performance_samples: int | None = attrs.field(default=None, validator=at_least(1, optional=True))
    warmup: Warmup = attrs.field(factory=Warmup)

    @property
    def min_duration_ns(self) -> int:
        """`min_duration_s` in whole ns."""
        return round(self.min_duration_s * NS_PER_S)

    @property
    def least_duration_s(self) -> float:
        """Seconds that a run takes at least."""
        return self.min_duration_s

    @property
    @abstractmethod
    def percentile(self) -> float | None:
        """Percentile that the result or the bound speaks of, as a share; None where there is none."""

    def required_queries(self, loaded: int) -> int:  # noqa: ARG002 - where whole copies of the set are asked for, it counts
        """Return how many queries a valid run has, where `loaded` samples are in memory."""
        return self.min_queries

    def required_samples(self, loaded: int) -> int:
        """Return how many samples a valid run has, where `loaded` samples are in memory."""
        return self.required_queries(loaded)

    def _loaded(self, samples: int, seeds: Seeds) -> NDArray[np.int64]:
        check_samples(samples)
        return loadgen.loaded_samples(samples, performance_samples=self.performance_samples, seed=seeds.loaded)


@attrs.frozen(kw_only=True)
class ManyQueries(MLPerfScenario):
    """What the scenarios of many queries have in common: they can be cut short.

    Attributes:
        max_duration_s: No query is issued after it; None for no bound.
        max_queries: No more are issued; None for no bound.

    Source: as `MLPerfScenario`.
    """

    max_duration_s: float | None = attrs.field(default=None, converter=as_float, validator=positive(optional=True))
    max_queries: int | None = attrs.field(default=None, validator=at_least(1, optional=True))

    def _stop(self, loaded: int, *, when_enough: bool, max_outstanding: int | None = None) -> Stop:
        return Stop(
            when_enough=when_enough,
            min_queries=self.required_queries(loaded),
            min_duration_ns=self.min_duration_ns,
            max_duration_ns=None if self.max_duration_s is None else round(self.max_duration_s * NS_PER_S),
            max_outstanding=max_outstanding,
        )

    def _cut(self, queries: int) -> int:
        return queries if self.max_queries is None else min(queries, self.max_queries)


@attrs.frozen(kw_only=True)
class SingleStream(ManyQueries):
    """One query of one sample after another: the latency that a lone user sees.

    Attributes:
        expected_latency_ms: About how long a query takes: twice as many queries are planned as then fit the duration.
        percentile: Of latency, which is the result.
        whole_permutations: Ask for whole shuffled copies of the loaded set instead of drawing with replacement.

    Source: as `MLPerfScenario`; `whole_permutations` is LoadGen's `sample_concatenate_permutation`.

    Example:
        >>> plan = SingleStream(min_queries=5, min_duration_s=0).plan(8, Seeds())
        >>> len(plan), plan.clients, plan.scheduled_ns is None
        (5, 1, True)
    """

    kind_name: ClassVar[str] = "single_stream"

    expected_latency_ms: float = attrs.field(default=1.0, converter=as_float, validator=positive())
    percentile: float = attrs.field(default=0.9, validator=share())
    whole_permutations: bool = False

    @property
    def key(self) -> str:
        """Short stable text for row keys."""
        return key_of(self)

    def required_queries(self, loaded: int) -> int:
        """Return how many queries a valid run has: with whole permutations a multiple of the loaded set."""
        if not self.whole_permutations:
            return self.min_queries
        expected = self.min_duration_s * loadgen.stream_qps(_whole_ns(self.expected_latency_ms)) * 2
        check_size(expected)
        unit = self.performance_samples or loaded  # LoadGen counts by what fits in memory, even if there is less
        return (int(max(expected, self.min_queries)) // unit + 1) * unit

    def plan(self, samples: int, seeds: Seeds) -> Plan:
        """Return queries in store for twice the duration; the stop rule ends the run when it has enough.

        Raises:
            SpecError: If there is no sample to ask for, or the queries would be too many to hold.
        """
        loaded = self._loaded(samples, seeds)
        needed = self.required_queries(len(loaded))
        queries = loadgen.queries_ahead(
            _whole_ns(self.expected_latency_ms), min_queries=needed, min_duration_ns=self.min_duration_ns
        )
        if self.whole_permutations:
            queries = -(-queries // len(loaded)) * len(loaded)
        order = loadgen.permuted_samples if self.whole_permutations else loadgen.drawn_samples
        batch = order(loaded, queries=self._cut(queries), min_queries=needed, seed=seeds.samples)
        stop = self._stop(len(loaded), when_enough=True)
        return Plan(batch=batch, warmup=self.warmup, loaded=loaded, stop=stop)


@attrs.frozen(kw_only=True)
class MultiStream(ManyQueries):
    """One query of several samples after another: several sensors read at once.

    Attributes:
        samples_per_query: Samples in each query, which follow one another in the order of loading.
        expected_latency_ms: About how long a query takes: twice as many queries are planned as then fit the duration.
        percentile: Of the latency of queries, which is the result.

    Source: as `MLPerfScenario`. A submission takes `min_queries=662`.

    Example:
        >>> plan = MultiStream(samples_per_query=4, min_queries=2, min_duration_s=0).plan(8, Seeds())
        >>> plan.queries.shape
        (2, 4)
    """

    kind_name: ClassVar[str] = "multi_stream"

    samples_per_query: int = attrs.field(default=8, validator=at_least(1))
    expected_latency_ms: float = attrs.field(default=8.0, converter=as_float, validator=positive())
    percentile: float = attrs.field(default=0.99, validator=share())

    @property
    def key(self) -> str:
        """Short stable text for row keys."""
        return key_of(self, "samples_per_query")

    def required_samples(self, loaded: int) -> int:
        """Return how many samples a valid run has."""
        return self.required_queries(loaded) * self.samples_per_query

    def plan(self, samples: int, seeds: Seeds) -> Plan:
        """Return queries in store for twice the duration; the stop rule ends the run when it has enough.

        Raises:
            SpecError: If there is no sample to ask for, or the queries would be too many to hold.
        """
        loaded = self._loaded(samples, seeds)
        queries = loadgen.queries_ahead(
            _whole_ns(self.expected_latency_ms), min_queries=self.min_queries, min_duration_ns=self.min_duration_ns
        )
        check_size(self._cut(queries) * self.samples_per_query)
        batch = loadgen.contiguous_samples(
            loaded,
            queries=self._cut(queries),
            samples_per_query=self.samples_per_query,
            min_queries=self.min_queries,
            seed=seeds.samples,
        )
        return Plan(
            batch=batch,
            samples_per_query=self.samples_per_query,
            warmup=self.warmup,
            loaded=loaded,
            stop=self._stop(len(loaded), when_enough=True),
        )


@attrs.frozen(kw_only=True)
class Server(ManyQueries):
    """Queries of one sample that arrive by chance at a mean rate, whether or not the last ones are answered.

    Attributes:
        target_qps: Mean rate of the Poisson process per second.
        bound_ms: Bound of the percentile of latency; not looked at where the token bounds are given.
        percentile: Share of queries that have to keep the bounds.
        ttft_bound_ms: Bound of the time to first token; None where the answers are no tokens.
        tpot_bound_ms: Bound of the time per further token; given together with `ttft_bound_ms`.
        max_outstanding: End the run when more queries than this await their answer; None for no bound.
        whole_permutations: Ask for whole shuffled copies of the loaded set instead of drawing with replacement.
        batch_delay_ms: How long a query waits for others to fill a call, where the engine's batch size is above 1.
        senders: Threads that send to a backend that blocks; None for as many as it takes at once.

    Source: as `MLPerfScenario`; LoadGen's `server_*`, `ttft_latency`, `tpot_latency`, `sample_concatenate_permutation`.

    Example:
        >>> plan = Server(target_qps=1000, min_queries=3, min_duration_s=0).plan(8, Seeds(schedule=3))
        >>> plan.scheduled_ns.tolist()
        [0, 73350, 1905613]
    """

    kind_name: ClassVar[str] = "server"

    target_qps: float = attrs.field(default=1.0, converter=as_float, validator=positive())
    bound_ms: float = attrs.field(default=100.0, converter=as_float, validator=positive())
    percentile: float = attrs.field(default=0.99, validator=share())
    ttft_bound_ms: float | None = attrs.field(default=None, converter=as_float, validator=positive(optional=True))
    tpot_bound_ms: float | None = attrs.field(default=None, converter=as_float, validator=positive(optional=True))
    max_outstanding: int | None = attrs.field(default=None, validator=at_least(1, optional=True))
    whole_permutations: bool = False
    batch_delay_ms: float = attrs.field(default=0.0, converter=as_float, validator=not_negative())
    senders: int | None = attrs.field(default=None, validator=at_least(1, optional=True))

    def __attrs_post_init__(self) -> None:
        """Refuse one token bound without the other."""
        if (self.ttft_bound_ms is None) != (self.tpot_bound_ms is None):
            raise SpecError(
                "one token bound is given without the other",
                where="$.tpot_bound_ms" if self.tpot_bound_ms is None else "$.ttft_bound_ms",
                expected="a number above 0",
            )

    @property
    def key(self) -> str:
        """Short stable text for row keys."""
        return key_of(self, "target_qps")

    def plan(self, samples: int, seeds: Seeds) -> Plan:
        """Return every query with the time when it is due.

        Raises:
            SpecError: If there is no sample to ask for, or the queries would be too many to hold.
        """
        loaded = self._loaded(samples, seeds)
        due = loadgen.poisson_arrivals_ns(
            self.target_qps,
            min_queries=self.min_queries,
            min_duration_ns=self.min_duration_ns,
            seed=seeds.schedule,
            multiple_of=len(loaded) if self.whole_permutations else 1,
        )
        queries = self._cut(len(due))
        order = loadgen.permuted_samples if self.whole_permutations else loadgen.drawn_samples
        return Plan(
            batch=order(loaded, queries=queries, min_queries=self.min_queries, seed=seeds.samples),
            scheduled_ns=due[:queries],
            warmup=self.warmup,
            senders=self.senders,
            loaded=loaded,
            stop=self._stop(len(loaded), when_enough=False, max_outstanding=self.max_outstanding),
        )


@attrs.frozen(kw_only=True)
class Offline(MLPerfScenario):
    """All samples at once, in one query: how many a second can be worked through.

    Attributes:
        expected_qps: About how many samples a second: 1.1 times as many are asked for as then fit the duration.
        whole_permutations: Ask for whole shuffled copies of the loaded set instead of going round it.
        senders: Threads that send to a backend that blocks; None for as many as it takes at once.

    Source: as `MLPerfScenario`. LoadGen counts `min_queries` as samples here.

    Example:
        >>> plan = Offline(expected_qps=100, min_duration_s=2).plan(8, Seeds())
        >>> len(plan), plan.samples_per_query, plan.scheduled_ns.tolist()
        (1, 220, [0])
    """

    kind_name: ClassVar[str] = "offline"

    expected_qps: float = attrs.field(default=1.0, converter=as_float, validator=positive())
    whole_permutations: bool = False
    senders: int | None = attrs.field(default=None, validator=at_least(1, optional=True))

    @property
    def key(self) -> str:
        """Short stable text for row keys."""
        return key_of(self)

    @property
    def percentile(self) -> None:
        """None: the result is a rate."""

    def required_queries(self, loaded: int) -> int:  # noqa: ARG002 - as in the base class
        """Return 1: all samples are one query."""
        return 1

    def required_samples(self, loaded: int) -> int:  # noqa: ARG002 - as in the base class
        """Return how many samples a valid run has."""
        expected = _OFFLINE_SLACK * self.min_duration_s * self.expected_qps
        check_size(expected)
        return max(self.min_queries, int(expected))

    def plan(self, samples: int, seeds: Seeds) -> Plan:
        """Return the one query.

        Raises:
            SpecError: If there is no sample to ask for, or the samples would be too many to hold.
        """
        loaded = self._loaded(samples, seeds)
        count = self.required_samples(len(loaded))
        if self.whole_permutations:
            count = -(-count // len(loaded)) * len(loaded)
            batch = loadgen.offline_permuted_samples(loaded, samples=count, seed=seeds.samples)
        else:
            batch = loadgen.offline_samples(loaded, samples=count)
        return Plan(
            batch=batch,
            samples_per_query=count,
            scheduled_ns=np.zeros(1, np.int64),
            warmup=self.warmup,
            senders=self.senders,
            loaded=loaded,
            stop=Stop(min_queries=1, min_duration_ns=self.min_duration_ns),
        )


def _whole_ns(milliseconds: float) -> int:
    return max(round(milliseconds * NS_PER_MS), 1)
