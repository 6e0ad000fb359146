"""What every scenario gives: a plan made of arrays, from which any issuer can work."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, cast

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import SpecError
from bytemlperf.scenarios.certainty import Certainty, Look
from bytemlperf.spec.fields import as_tuple, at_least, positive

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
MOST_QUERIES: Final = 100_000_000
"""Bound of samples in a plan: a slip of the pen in a rate should be refused, not fill the memory."""


@attrs.frozen(kw_only=True)
class Seeds:
    """One seed for each random stream, so that changing one leaves the others alone.

    Attributes:
        samples: Order in which loaded samples are asked for.
        schedule: Arrival times.
        weights: Random weights, where a job asks for them.
        loaded: Order in which samples are loaded.
    """

    samples: int = 0
    schedule: int = 0
    weights: int = 0
    loaded: int = 0

    @classmethod
    def derived(cls, seed: int) -> Seeds:
        """Derive the streams of a load from one seed, so that none repeats another; weights keep the seed itself.

        Source: the first 32 bits, which is what MT19937 takes, of sha256 over `<stream>:<seed>`.

        Example:
            >>> Seeds.derived(0).weights, Seeds.derived(0).schedule
            (0, 1205221610)
        """

        def stream(name: str) -> int:
            return int.from_bytes(hashlib.sha256(f"{name}:{seed}".encode()).digest()[:4], "little")

        return cls(samples=stream("samples"), schedule=stream("schedule"), loaded=stream("loaded"), weights=seed)


@attrs.frozen(kw_only=True)
class Warmup:
    """How long to run before the clock counts.

    Windows of `window` queries by each client are run until the medians of two windows in a row differ by
    no more than `tolerance`, and at most `max_queries` in all.

    Attributes:
        max_queries: Upper bound of untimed queries; 0 for none at all.
        window: Queries of each client in a window.
        tolerance: Relative difference of medians at which the latency counts as stable.
        max_seconds: Upper bound of the time it takes, looked at between windows.
    """

    max_queries: int = attrs.field(default=30, validator=at_least(0))
    window: int = attrs.field(default=5, validator=at_least(1))
    tolerance: float = attrs.field(default=0.05, validator=positive())
    max_seconds: float = attrs.field(default=60.0, validator=positive())


@attrs.frozen(kw_only=True)
class Batching:
    """How the harness joins queries of one sample into calls, for engines that take batches.

    Samples are copied side by side when they are sent, and that time counts. A full call is sent at once, another
    when its first query has waited for `max_delay_ns`, or no more come.

    Attributes:
        size: Samples in a call, at most; an engine of one batch size gets what is missing as padding.
        max_delay_ns: How long a query waits for others; 0 takes what waits already.
    """

    size: int = attrs.field(validator=at_least(1))
    max_delay_ns: int = attrs.field(default=0, validator=at_least(0))


@attrs.frozen(kw_only=True)
class Stop:
    """When to end before the queries of a plan have run out; looked at after each query that was issued.

    Attributes:
        when_enough: End as soon as `min_queries` were issued and `min_duration_ns` have passed.
        min_queries: Queries that are enough.
        min_duration_ns: Time since the start that is enough.
        max_duration_ns: End when more time than this has passed; None for no bound.
        max_outstanding: End when more queries than this await their answer; None for no bound.
        looks: End when one of these looks at the latencies finds the ends of its interval within `within`.
        within: A share of the percentile.

    Source: MLPerf LoadGen, issue_query_controller.cc l.436-533 (mlcommons/inference at b66003e).
    """

    when_enough: bool = False
    min_queries: int = attrs.field(default=0, validator=at_least(0))
    min_duration_ns: int = attrs.field(default=0, validator=at_least(0))
    max_duration_ns: int | None = attrs.field(default=None, validator=at_least(1, optional=True))
    max_outstanding: int | None = attrs.field(default=None, validator=at_least(1, optional=True))
    looks: tuple[Look, ...] = attrs.field(default=(), converter=as_tuple)
    within: float = 0.0

    @property
    def early(self) -> bool:
        """Whether the run may end before every query was issued."""
        bounded = self.max_duration_ns is not None or self.max_outstanding is not None
        return self.when_enough or bounded or bool(self.looks)


def _fits_times(plan: Plan, _: object, times: NDArray[np.int64] | None) -> None:
    if times is None:
        return
    if times.shape != (len(plan),) or (len(plan) and (times[0] < 0 or bool((np.diff(times) < 0).any()))):
        raise SpecError(
            "a plan's times do not fit its queries",
            where="$.scheduled_ns",
            got=times.shape,
            expected=f"{len(plan)} times from 0 up, none before the one in front of it",
        )


def _fits_queries(plan: Plan, _: object, samples_per_query: int) -> None:
    if samples_per_query < 1 or len(plan.batch) % samples_per_query:
        raise SpecError(
            "a plan's samples do not make whole queries",
            where="$.samples_per_query",
            got=samples_per_query,
            expected=f"a divisor of {len(plan.batch)}",
        )


@attrs.frozen(kw_only=True, eq=False)
class Plan:
    """Queries to issue, in order.

    Attributes:
        batch: int64[n * samples_per_query], which prepared batch each query asks for; where a query asks for
            several, they lie side by side.
        clients: Threads that send in a closed loop; each takes an equal share, one query after another, and
            sends its next when the last one is answered.
        warmup: What runs before the clock counts.
        samples_per_query: Prepared batches that one query asks for at once.
        scheduled_ns: int64[n], when each query is due after the start, in order; None for a closed loop.
        senders: Threads that send at these times to a backend that blocks; None for as many as it takes at once.
        loaded: int64[m], which prepared batches have to be in memory, in the order of loading; None for all.
        stop: When to end before the queries have run out.
    """

    batch: NDArray[np.int64]
    clients: int = attrs.field(default=1, validator=at_least(1))
    warmup: Warmup = attrs.field(factory=Warmup)
    samples_per_query: int = attrs.field(default=1, validator=_fits_queries)
    scheduled_ns: NDArray[np.int64] | None = attrs.field(default=None, validator=_fits_times)
    senders: int | None = attrs.field(default=None, validator=at_least(1, optional=True))
    loaded: NDArray[np.int64] | None = None
    stop: Stop = attrs.field(factory=Stop)

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.batch) // self.samples_per_query

    @property
    def queries(self) -> NDArray[np.int64]:
        """int64[n, samples_per_query], which prepared batches each query asks for; not copied."""
        return self.batch.reshape(len(self), self.samples_per_query)


class Scenario(ABC):
    """A load pattern. Subclasses are frozen attrs classes with only their own fields.

    Attributes:
        kind_name: Name in JSON and keys.
        by_sample: Whether a query asks for single samples, which are joined into calls for an engine that takes
            batches; otherwise every query is a batch of the engine's size.
    """

    kind_name: ClassVar[str]
    by_sample: ClassVar[bool] = False

    @property
    def batch_delay_ms(self) -> float:
        """How long a query waits for others to fill a call."""
        return 0.0

    @property
    def least_duration_s(self) -> float:
        """Seconds that a run takes at least, warm-up left out; 0 where only the backend decides."""
        return 0.0

    def batching(self, batch_size: int) -> Batching | None:
        """Return how queries are joined for an engine of a batch size; None where each goes by itself."""
        if not self.by_sample or batch_size == 1:
            return None
        return Batching(size=batch_size, max_delay_ns=round(self.batch_delay_ms * NS_PER_MS))

    @abstractmethod
    def plan(self, samples: int, seeds: Seeds) -> Plan:
        """Return the queries over `samples` prepared batches; pure, the same every time."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Short stable text for row keys, such as `fixed_batch/clients=2`."""


def key_of(scenario: Scenario, *always: str, hidden: str = "") -> str:
    """Write a scenario's kind, the fields named, and every other field that is not at its default, but for one.

    The warm-up is left out: what runs before the clock counts makes no other scenario.
    """
    fields = attrs.fields(cast("type[attrs.AttrsInstance]", type(scenario)))
    further = [each.name for each in fields if getattr(scenario, each.name) != each.default]
    names = dict.fromkeys([*always, *further])
    return "/".join(
        [
            scenario.kind_name,
            *(f"{name}={_short(getattr(scenario, name))}" for name in names if name not in {"warmup", hidden}),
        ]
    )


def _short(value: Any) -> str:  # noqa: ANN401 - a field of any plain kind
    if isinstance(value, Certainty):
        return value.key
    return repr(value).lower().removesuffix(".0")


def check_samples(samples: int) -> None:
    """Refuse to plan over nothing.

    Raises:
        SpecError: If there is no batch to ask for.
    """
    if samples < 1:
        raise SpecError("no batch to ask for", got=samples, expected="at least one prepared batch")


def check_size(samples: float) -> None:
    """Refuse a plan of more than `MOST_QUERIES` samples.

    Raises:
        SpecError: If there are more.
    """
    if not samples <= MOST_QUERIES:
        raise SpecError(
            "a plan would hold too many samples",
            got=f"{samples:.4g}",
            expected=f"at most {MOST_QUERIES}",
            remedy="lower the rate, the expected rate or the duration, or raise the expected latency",
        )
