"""Load patterns of real services, beside MLPerf's: closed loop, constant rate, bursts, a ramp, a recorded trace."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import SpecError
from bytemlperf.scenarios.arrivals import until
from bytemlperf.scenarios.base import NS_PER_S, Plan, Scenario, Seeds, Stop, Warmup, check_samples, check_size, key_of
from bytemlperf.scenarios.certainty import Certainty
from bytemlperf.scenarios.random_streams import Words, exponential_ns, uniform
from bytemlperf.spec.fields import as_float, as_tuple, at_least, not_negative, positive


@attrs.frozen(kw_only=True)
class ClosedLoop(Scenario):
    """So many clients, each sending its next query when its last one is answered; samples are drawn at random.

    Attributes:
        clients: Queries under way at any time.
        queries: All together.
        max_duration_s: No query is sent after it; None for no bound.
        certainty: End when a percentile is known so well; None to go on.
        warmup: Untimed queries before the run.

    Source: a closed queueing network of k customers; Schroeder, Wierman and Harchol-Balter, Open Versus Closed: A
    Cautionary Tale, NSDI 2006. Samples are drawn with replacement, as MLPerf's SingleStream does.

    Example:
        >>> plan = ClosedLoop(clients=4, queries=10).plan(8, Seeds())
        >>> len(plan), plan.clients, plan.scheduled_ns is None
        (10, 4, True)
    """

    kind_name: ClassVar[str] = "closed_loop"

    clients: int = attrs.field(default=1, validator=at_least(1))
    queries: int = attrs.field(default=1000, validator=at_least(1))
    max_duration_s: float | None = attrs.field(default=None, converter=as_float, validator=positive(optional=True))
    certainty: Certainty | None = None
    warmup: Warmup = attrs.field(factory=Warmup)

    @property
    def key(self) -> str:
        """Short stable text for row keys."""
        return key_of(self, "clients")

    def plan(self, samples: int, seeds: Seeds) -> Plan:
        """Return the queries of all clients.

        Raises:
            SpecError: If there is no sample to ask for, or the queries would be too many to hold.
        """
        check_size(self.queries)
        longest_ns = None if self.max_duration_s is None else max(round(self.max_duration_s * NS_PER_S), 1)
        return Plan(
            batch=_drawn(samples, self.queries, seeds),
            clients=self.clients,
            warmup=self.warmup,
            stop=_stop(self.certainty, self.queries, max_duration_ns=longest_ns),
        )


@attrs.frozen(kw_only=True)
class Arriving(Scenario):
    """What patterns have in common whose queries arrive by themselves, whether or not the last ones are answered.

    Attributes:
        batch_delay_ms: How long a query waits for others to fill a call, where the engine's batch size is above 1.
        senders: Threads that send to a backend that blocks; None for as many as it takes at once.
        warmup: Untimed queries before the run.
    """

    by_sample: ClassVar[bool] = True

    batch_delay_ms: float = attrs.field(default=0.0, converter=as_float, validator=not_negative())
    senders: int | None = attrs.field(default=None, validator=at_least(1, optional=True))
    warmup: Warmup = attrs.field(factory=Warmup)

    def _open(self, due: NDArray[np.int64], samples: int, seeds: Seeds) -> Plan:
        batch = _drawn(samples, len(due), seeds)
        stop = _stop(self._certainty, len(due))
        return Plan(batch=batch, scheduled_ns=due, warmup=self.warmup, senders=self.senders, stop=stop)

    @property
    def _certainty(self) -> Certainty | None:
        return None


@attrs.frozen(kw_only=True)
class OpenLoop(Arriving):
    """What patterns have in common whose queries arrive at a mean rate.

    Attributes:
        target_qps: Mean rate per second.
        min_duration_s: Arrivals go on at least as long.
        min_queries: At least as many arrive.
        certainty: End before that when a percentile is known so well; None to go on.
    """

    target_qps: float = attrs.field(default=1.0, converter=as_float, validator=positive())
    min_duration_s: float = attrs.field(default=10.0, converter=as_float, validator=not_negative())
    min_queries: int = attrs.field(default=100, validator=at_least(1))
    certainty: Certainty | None = None

    @property
    def least_duration_s(self) -> float:
        """Seconds that a run takes at least, but for one that ends when it is certain."""
        if self.certainty is not None:
            return 0.0
        return max(self.min_duration_s, (self.min_queries - 1) / self.target_qps)

    @property
    def _certainty(self) -> Certainty | None:
        return self.certainty

    @property
    def _min_duration_ns(self) -> int:
        return round(self.min_duration_s * NS_PER_S)


@attrs.frozen(kw_only=True)
class ConstantRate(OpenLoop):
    """Queries that arrive at equal distances, the first at 0.

    Attributes:
        target_qps: Rate per second.

    Source: the i-th query is due at trunc(i * 1e9 / target_qps) ns: distances are not rounded, so that none is lost.

    Example:
        >>> ConstantRate(target_qps=3, min_queries=4, min_duration_s=1).plan(8, Seeds()).scheduled_ns.tolist()
        [0, 333333333, 666666666, 1000000000]
    """

    kind_name: ClassVar[str] = "constant_rate"

    @property
    def key(self) -> str:
        """Short stable text for row keys."""
        return key_of(self, "target_qps")

    def plan(self, samples: int, seeds: Seeds) -> Plan:
        """Return every query with the time when it is due.

        Raises:
            SpecError: If there is no sample to ask for, or the queries would be too many to hold.
        """
        period_ns = NS_PER_S / self.target_qps
        check_size(self._min_duration_ns / period_ns)
        # One more than is needed: a product that a rounding has put just below the end would be one too few.
        count = max(self.min_queries, math.ceil(self._min_duration_ns / period_ns) + 2)
        check_size(count)
        due = (np.arange(count) * period_ns).astype(np.int64)
        enough = max(self.min_queries, int(np.searchsorted(due, self._min_duration_ns)) + 1)
        return self._open(due[:enough], samples, seeds)


@attrs.frozen(kw_only=True)
class GammaArrivals(OpenLoop):
    """Queries that arrive in bursts: gaps are gamma distributed, the first query is due at 0.

    Attributes:
        burstiness: Shape of the distribution: 1 is a Poisson process, less makes bursts, more makes them even.

    Source: vLLM, vllm/benchmarks/serve.py: gaps of gamma(shape=burstiness, scale=1 / (rate * burstiness)). Here
    times are not stretched afterwards so that the last one fits the rate: the arrivals would depend on one another.

    Example:
        >>> plan = GammaArrivals(target_qps=100, burstiness=0.5, min_queries=3, min_duration_s=0).plan(8, Seeds())
        >>> len(plan), int(plan.scheduled_ns[0])
        (3, 0)
    """

    kind_name: ClassVar[str] = "gamma_arrivals"

    burstiness: float = attrs.field(default=1.0, converter=as_float, validator=positive())

    @property
    def key(self) -> str:
        """Short stable text for row keys."""
        return key_of(self, "target_qps", "burstiness")

    def plan(self, samples: int, seeds: Seeds) -> Plan:
        """Return every query with the time when it is due.

        Raises:
            SpecError: If there is no sample to ask for, or the queries would be too many to hold.
        """
        rng = np.random.default_rng(abs(seeds.schedule))
        scale_ns = NS_PER_S / (self.target_qps * self.burstiness)
        due = until(
            lambda count: rng.gamma(self.burstiness, scale_ns, count).astype(np.int64),
            rate_qps=self.target_qps,
            min_queries=self.min_queries,
            min_duration_ns=self._min_duration_ns,
        )
        return self._open(due, samples, seeds)


@attrs.frozen(kw_only=True)
class Ramp(Arriving):
    """Queries of a Poisson process whose rate rises, or falls, in a straight line.

    Attributes:
        start_qps: Mean rate per second at the start.
        end_qps: Mean rate per second at the end.
        duration_s: From start to end.

    Source: a process of rate 1 on the scale of the integrated rate; Lewis and Shedler, Simulation of Nonhomogeneous
    Poisson Processes by Thinning, Naval Research Logistics 26(3), 1979, section 1.

    Example:
        >>> plan = Ramp(start_qps=0, end_qps=100, duration_s=2).plan(8, Seeds())
        >>> bool((plan.scheduled_ns < 1e9).mean() < 0.5)
        True
    """

    kind_name: ClassVar[str] = "ramp"

    start_qps: float = attrs.field(default=1.0, converter=as_float, validator=not_negative())
    end_qps: float = attrs.field(default=10.0, converter=as_float, validator=not_negative())
    duration_s: float = attrs.field(default=10.0, converter=as_float, validator=positive())

    @property
    def least_duration_s(self) -> float:
        """Seconds that a run takes at least."""
        return self.duration_s

    @property
    def key(self) -> str:
        """Short stable text for row keys."""
        return key_of(self, "start_qps", "end_qps")

    def plan(self, samples: int, seeds: Seeds) -> Plan:
        """Return every query with the time when it is due.

        Raises:
            SpecError: If there is no sample to ask for, no query falls into the duration, or they would be too many.
        """
        expected = (self.start_qps + self.end_qps) / 2 * self.duration_s
        check_size(expected)
        steps = self._steps(expected, seeds.schedule)
        if not len(steps):
            raise SpecError("no query falls into the ramp", got=f"{expected:.3g} expected", remedy="raise a rate")
        slope = (self.end_qps - self.start_qps) / self.duration_s
        root = np.sqrt(np.maximum(self.start_qps**2 + 2 * slope * steps, 0.0))
        due = (2 * steps / (self.start_qps + root) * NS_PER_S).astype(np.int64)
        return self._open(due, samples, seeds)

    def _steps(self, expected: float, seed: int) -> NDArray[np.float64]:
        """Return arrivals of a process of rate 1 before `expected`."""
        words = Words(seed)
        steps = np.zeros(0)
        while not len(steps) or steps[-1] < expected:
            last = float(steps[-1]) if len(steps) else 0.0
            gaps = exponential_ns(words, 1.0, max(int(expected - last), 64)) / NS_PER_S
            steps = np.concatenate([steps, last + np.cumsum(gaps)])
        return steps[steps < expected]


def _as_times(value: Iterable[int]) -> tuple[int, ...]:
    return as_tuple(value.tolist() if isinstance(value, np.ndarray) else value)


def _in_order(_: object, __: object, times: tuple[object, ...]) -> None:
    whole = [each for each in times if type(each) is int and each >= 0]
    if not whole or len(whole) != len(times) or whole != sorted(whole):
        raise SpecError(
            "times of arrival are none", where="$.scheduled_ns", got=times, expected="whole numbers from 0 up, in order"
        )


@attrs.frozen(kw_only=True)
class Replay(Arriving):
    """Queries that arrive when those of a recorded trace did.

    Attributes:
        scheduled_ns: When each query is due after the start, in ns, in order; also an array, such as
            `trace.scheduled_ns - trace.started_ns`.
        stretch: Factor on the times: 0.5 is twice as fast.

    Source: none: the times are the caller's own.

    Example:
        >>> Replay(scheduled_ns=(0, 10, 40), stretch=2).plan(8, Seeds()).scheduled_ns.tolist()
        [0, 20, 80]
    """

    kind_name: ClassVar[str] = "replay"

    scheduled_ns: tuple[int, ...] = attrs.field(converter=_as_times, validator=_in_order)
    stretch: float = attrs.field(default=1.0, converter=as_float, validator=positive())

    @property
    def least_duration_s(self) -> float:
        """Seconds that a run takes at least."""
        return self.scheduled_ns[-1] * self.stretch / NS_PER_S

    @property
    def key(self) -> str:
        """Short stable text for row keys: the times appear by their hash."""
        digest = hashlib.sha256(np.array(self.scheduled_ns, "<i8").tobytes()).hexdigest()[:8]
        further = key_of(self, hidden="scheduled_ns").removeprefix(self.kind_name)
        return f"{self.kind_name}/trace={digest}{further}"

    def plan(self, samples: int, seeds: Seeds) -> Plan:
        """Return every query with the time when it is due.

        Raises:
            SpecError: If there is no sample to ask for.
        """
        due = (np.array(self.scheduled_ns, np.int64) * self.stretch).astype(np.int64)
        return self._open(due, samples, seeds)


def _drawn(samples: int, queries: int, seeds: Seeds) -> NDArray[np.int64]:
    check_samples(samples)
    return uniform(Words(seeds.samples), samples, queries)


def _stop(certainty: Certainty | None, queries: int, *, max_duration_ns: int | None = None) -> Stop:
    if certainty is None:
        return Stop(max_duration_ns=max_duration_ns)
    return Stop(max_duration_ns=max_duration_ns, looks=certainty.looks(queries), within=certainty.within)
