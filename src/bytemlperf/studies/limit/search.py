"""The highest rate at which a percentile of latency keeps a bound: a search that only knows a probe."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import SpecError
from bytemlperf.spec.fields import as_float, at_least, positive, share
from bytemlperf.statistics import autocorrelated_quantile_interval, percentile, share_above, share_worth

Probe: TypeAlias = Callable[[float, float], "NDArray[np.float64]"]
"""Offers a mean rate per second for some seconds; gives the latencies in ns, in the order in which the queries were
due, infinite where no answer came. Each call begins with an idle system."""

SETTLING: Final = 0.1
"""Share of each probe, from its beginning, that is not counted: a system that was idle is faster."""
SCAN: Final = (0.25, 0.4, 0.55, 0.7, 0.85)
"""Shares of the capacity at which the curve is drawn, before the limit is narrowed down."""
MOST_OF_TIME: Final = 1 / 3
"""Share of the time that is left, beyond which a rate of the curve is left out: low rates take long."""
LEAST_S: Final = 0.5
LEAST_BOUNDS: Final = 20
"""No probe is shorter than half a second, or twenty times the bound: what disturbs a machine lasts about as long."""
LOOKS: Final = 4
"""A rate that is not decided is offered again, each time for twice as long."""
LONGER: Final = 2.0
MOST_RATES: Final = 16
FEWEST_OVER: Final = 20
"""Greatest values of a stretch by which its memory is judged, where fewer are over the bound."""
LOWEST: Final = 1e-3
"""Share of the capacity below which no rate is tried."""


class Held(StrEnum):
    """What a probe shows of its rate."""

    HOLDS = "holds"
    """The bound is kept, at the search's confidence."""
    BROKEN = "broken"
    """The bound is not kept, at the search's confidence."""
    UNDECIDED = "undecided"
    """Too near to the limit for as long as was looked."""


@attrs.frozen(kw_only=True)
class Target:
    """What is looked for.

    Attributes:
        bound_ms: Bound of the percentile of latency.
        percentile: As a share.
        level: Probability with which the limit is to lie in the interval that is found.
        tolerance: Relative width of the interval at which the search is content.
        seconds: How long the probes may take together.
    """

    bound_ms: float = attrs.field(converter=as_float, validator=positive())
    percentile: float = attrs.field(default=0.99, converter=as_float, validator=share())
    level: float = attrs.field(default=0.95, converter=as_float, validator=share())
    tolerance: float = attrs.field(default=0.05, converter=as_float, validator=positive())
    seconds: float = attrs.field(default=600.0, converter=as_float, validator=positive())

    @property
    def alpha(self) -> float:
        """Chance of an error that each look at each probe may have, so that all together keep the level."""
        return (1 - self.level) / (MOST_RATES * LOOKS)

    @property
    def queries(self) -> int:
        """Queries of the first look: half as many again as are enough if all keep the bound."""
        return math.ceil(1.5 * math.log(self.alpha) / math.log(self.percentile) / (1 - SETTLING))

    def first_look_s(self, rate_qps: float) -> float:
        """Seconds for which a rate is offered at first."""
        return max(self.queries / rate_qps, LEAST_S, LEAST_BOUNDS * self.bound_ms / 1e3)


@attrs.frozen(kw_only=True)
class Point:
    """One rate that was tried.

    Attributes:
        rate_qps: Mean rate that was offered.
        held: What it shows.
        queries: That count, with what went before it left out.
        worth: Independent queries that they are worth.
        over: Of the queries, how many were over the bound.
        seconds: How long it was offered.
        mean_ms: Mean latency; None where a query got no answer.
        p50_ms: Median latency.
        tail_ms: The percentile of latency that the bound is of; None where it is one without an answer.
        tail_low_ms: Lower end of its interval.
        tail_high_ms: Upper end.
    """

    rate_qps: float
    held: Held = attrs.field(converter=Held)
    queries: int = attrs.field(validator=at_least(0))
    worth: float
    over: int
    seconds: float
    mean_ms: float | None = None
    p50_ms: float | None = None
    tail_ms: float | None = None
    tail_low_ms: float | None = None
    tail_high_ms: float | None = None


@attrs.frozen(kw_only=True)
class Found:
    """What a search found.

    Attributes:
        low_qps: Highest rate that is shown to keep the bound; None if none is.
        high_qps: Lowest rate that is shown not to; None if none is.
        points: Every rate that was tried, in ascending order.
        ended: Why the search ended.
    """

    low_qps: float | None
    high_qps: float | None
    points: tuple[Point, ...]
    ended: str

    @property
    def consistent(self) -> bool:
        """Whether no rate that holds lies above one that does not: else the system changed meanwhile."""
        return self.low_qps is None or self.high_qps is None or self.low_qps < self.high_qps


def search(probe: Probe, target: Target, *, capacity_qps: float) -> Found:
    """Narrow down the highest rate at which the bound is kept.

    First rates from a quarter of the capacity up are tried, for the curve; then rates between the highest that holds
    and the lowest that does not. A probe counts the queries over the bound, less the beginning; it holds or is broken
    if the exact binomial test says so for as many independent queries as the series is worth, and is made longer where
    it says neither. The chance of any wrong statement among all looks together is at most `1 - level` (Bonferroni), as
    far as the worth is well estimated; so is the chance that the limit is outside `low_qps` to `high_qps`.

    Args:
        probe: Offers a rate.
        target: What is looked for.
        capacity_qps: About how many queries a second can be worked through; only where the search begins.

    Raises:
        SpecError: If the capacity is not above 0.

    Source:
        Exact test: Clopper and Pearson, Biometrika 26(4), 1934, as in MLPerf's early stopping
        (inference_rules.adoc, appendix, mlcommons/inference at b66003e); the worth: see `quantile_worth`.
    """
    if not 0 < capacity_qps < math.inf:
        raise SpecError("a capacity is none", where="$.capacity_qps", got=capacity_qps, expected="a number above 0")
    return _Search(probe, target, capacity_qps).run()


class _Search:
    def __init__(self, probe: Probe, target: Target, capacity_qps: float) -> None:
        self._probe, self._target, self._capacity = probe, target, capacity_qps
        self._left_s = target.seconds
        self._points: dict[float, Point] = {}
        self._parts: dict[float, list[NDArray[np.float64]]] = {}

    def run(self) -> Found:
        self._scan()
        if not self._points and not self._look(self._capacity / 2):
            return self._found("there was no time for a single rate")
        while True:
            rate = self._next()
            if rate is None:
                return self._found("the interval is as narrow as was asked for, or as this long can show")
            if rate < LOWEST * self._capacity:
                return self._found("no rate that was tried keeps the bound")
            if rate not in self._points and len(self._points) == MOST_RATES:
                return self._found("as many rates were tried as the confidence allows for")
            if not self._look(rate):
                return self._found("the time was used up")

    def _scan(self) -> None:
        for rate in (each * self._capacity for each in SCAN):
            if self._is(Held.BROKEN):
                return
            if self._target.first_look_s(rate) <= self._left_s * MOST_OF_TIME:
                self._look(rate)

    def _is(self, held: Held) -> list[float]:
        return sorted(rate for rate, point in self._points.items() if point.held is held)

    def _found(self, ended: str) -> Found:
        holds, broken = self._is(Held.HOLDS), self._is(Held.BROKEN)
        return Found(
            low_qps=holds[-1] if holds else None,
            high_qps=broken[0] if broken else None,
            points=tuple(self._points[rate] for rate in sorted(self._points)),
            ended=ended,
        )

    def _next(self) -> float | None:
        """Return the rate that is looked at next; None where the interval is narrow enough, or cannot become so."""
        holds, broken, open_ = (self._is(each) for each in (Held.HOLDS, Held.BROKEN, Held.UNDECIDED))
        low = holds[-1] if holds else 0.0
        high = broken[0] if broken else math.inf
        if high <= low * (1 + self._target.tolerance):
            return None
        between = [rate for rate in open_ if low < rate < high]
        again = [rate for rate in between if len(self._parts[rate]) < LOOKS]
        if again:
            return again[len(again) // 2]
        if not holds or not broken:
            return max(self._points) * 1.2 if holds else min(self._points) / 2
        return self._beside(low, between, high)

    def _beside(self, low: float, between: list[float], high: float) -> float | None:
        """Return a rate in the wider of the gaps that undecided rates leave; None where both are narrow."""
        if not between:
            return math.sqrt(low * high)
        below, above = between[0] / low, high / between[-1]
        if max(below, above) <= 1 + self._target.tolerance / 2:
            return None
        return math.sqrt(low * between[0]) if below >= above else math.sqrt(between[-1] * high)

    def _look(self, rate: float) -> bool:
        """Offer a rate once, for longer the more often it was; return whether there was time for it."""
        parts = self._parts.get(rate, [])
        length = self._target.first_look_s(rate) * LONGER ** len(parts)
        if length > self._left_s:
            return False
        self._left_s -= length
        self._parts[rate] = [*parts, _settled(self._probe(rate, length))]
        spent = length + (self._points[rate].seconds if rate in self._points else 0.0)
        self._points[rate] = point_of(self._parts[rate], self._target, rate_qps=rate, seconds=spent)
        return True


def _settled(latencies: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(latencies, np.float64)[int(len(latencies) * SETTLING) :]


def point_of(parts: list[NDArray[np.float64]], target: Target, *, rate_qps: float, seconds: float) -> Point:
    """Judge a rate by all that was seen at it.

    Args:
        parts: Latencies in ns of one or several stretches, each in order of time.
        target: What is looked for.
        rate_qps: The rate.
        seconds: How long it was offered.
    """
    values = np.concatenate(parts) if parts else np.zeros(0)
    over = int(np.count_nonzero(values > target.bound_ms * 1e6))
    worth = sum(_worth(part, target) for part in parts if part.size)
    return Point(
        rate_qps=rate_qps,
        held=_held(over * worth / values.size, worth, target) if values.size else Held.UNDECIDED,
        queries=values.size,
        worth=worth,
        over=over,
        seconds=seconds,
        **_figures(values, target),
    )


def _worth(part: NDArray[np.float64], target: Target) -> float:
    """Return what a stretch is worth for its share over the bound, by its greatest values where few are over."""
    bound = target.bound_ms * 1e6
    if np.count_nonzero(part > bound) < FEWEST_OVER < part.size:
        bound = min(bound, float(np.partition(part, -FEWEST_OVER - 1)[-FEWEST_OVER - 1]))
    return share_worth(part > bound)


def _held(over: float, worth: float, target: Target) -> Held:
    allowed = 1 - target.percentile
    if share_above(over, worth, allowed, side="below") <= target.alpha:
        return Held.HOLDS
    return Held.BROKEN if share_above(over, worth, allowed, side="above") <= target.alpha else Held.UNDECIDED


def _figures(values: NDArray[np.float64], target: Target) -> dict[str, float | None]:
    if not values.size:
        return {}
    finite = np.where(np.isfinite(values), values, np.finfo(np.float64).max)
    interval = autocorrelated_quantile_interval(finite, target.percentile, level=target.level)
    figures = {
        "mean_ms": float(values.mean()),
        "p50_ms": percentile(finite, 0.5),
        "tail_ms": percentile(finite, target.percentile),
        "tail_low_ms": interval.low,
        "tail_high_ms": interval.high,
    }
    longest = np.finfo(np.float64).max
    return {name: each / 1e6 if 0 <= each < longest else None for name, each in figures.items()}


def knee_of(points: tuple[Point, ...]) -> float | None:
    """Return the rate at which throughput over mean latency is greatest; None if it is the last of those tried.

    Below it more load costs little latency, above it much.

    Source:
        Kleinrock, Power and Deterministic Rules of Thumb for Probabilistic Problems in Computer Communications,
        IEEE ICC 1979; for M/D/1 it is at a load of 2 - sqrt(2).
    """
    powers = [(point.rate_qps / point.mean_ms, point.rate_qps) for point in points if point.mean_ms]
    if len(powers) < 4:  # noqa: PLR2004 - too few for a curve
        return None
    rate = max(powers)[1]
    return None if rate == max(points, key=lambda each: each.rate_qps).rate_qps else rate
