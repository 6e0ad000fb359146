"""Percentiles by named rules, and exact intervals of a quantile that assume no distribution."""

from __future__ import annotations

import enum
import math
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Literal, overload

import attrs
import numpy as np

from bytemlperf.statistics._distributions import binomial_at_least, binomial_at_most
from bytemlperf.statistics._vectors import real_vector
from bytemlperf.statistics.interval import Interval, check_level

if TYPE_CHECKING:
    import numpy.typing as npt


class PercentileRule(enum.Enum):
    """Say which of the conventions in use turns n measured values into a percentile.

    With few values they differ by a whole rank, so a percentile is never published without its rule. `n * p` is
    computed in double precision, as the tools do: 0.29 of 100 gives index 28, not 29.

    Source:
        `LOADGEN`: MLPerf LoadGen, results.cc l.33-42 (mlcommons/inference at b66003e), and ByteMLPerf's own.
        `NEAREST_RANK`: Hyndman and Fan, Sample Quantiles in Statistical Packages, The American Statistician 50(4),
        1996, definition 1. `LINEAR`: the same, definition 7, the default of `numpy.percentile` (vLLM, ByteMLPerf's
        language models).
    """

    LOADGEN = "loadgen"
    NEAREST_RANK = "nearest_rank"
    LINEAR = "linear"

    @property
    def definition(self) -> str:
        """The rule as a formula on the values in ascending order, counted from 0; for reports."""
        return _DEFINITIONS[self]


_DEFINITIONS = {
    PercentileRule.LOADGEN: "sorted[min(int(n * p), n - 1)]",
    PercentileRule.NEAREST_RANK: "sorted[max(ceil(n * p) - 1, 0)]",
    PercentileRule.LINEAR: "sorted at (n - 1) * p, interpolated linearly between neighbours",
}


@overload
def percentile(
    values: npt.NDArray[np.integer],
    p: float,
    *,
    rule: Literal[PercentileRule.LOADGEN, PercentileRule.NEAREST_RANK] = ...,
) -> int: ...
@overload
def percentile(values: npt.ArrayLike, p: float, *, rule: PercentileRule = ...) -> float: ...
def percentile(values: npt.ArrayLike, p: float, *, rule: PercentileRule = PercentileRule.LOADGEN) -> float:
    """Pick the p-quantile of measured values by a named rule, by default MLPerf's `sorted[int(n * p)]`.

    Args:
        values: Array [n] in any order and unit; not changed.
        p: Share between 0 and 1: 0.99 for p99.
        rule: The convention; only `LINEAR` interpolates.

    Returns:
        One of the values, an int if they are integers; under `LINEAR` always a float.

    Raises:
        ValueError: if values is empty, not one-dimensional or not finite, or unless 0 <= p <= 1.

    Source:
        See `PercentileRule`.

    Example:
        >>> percentile([30, 10, 20, 40], 0.5)
        30
        >>> percentile([30, 10, 20, 40], 0.5, rule=PercentileRule.LINEAR)
        25.0
    """
    vector = real_vector(values)
    if not 0 <= p <= 1:
        raise ValueError(f"p must lie between 0 and 1, got {p!r}")
    if rule is PercentileRule.LINEAR:
        return float(np.quantile(vector, p, method="linear"))
    return _order_statistic(vector, _index(vector.size, p, rule=rule))


def _index(n: int, p: float, *, rule: PercentileRule) -> int:
    if rule is PercentileRule.LOADGEN:
        return min(int(n * p), n - 1)
    return max(math.ceil(n * p) - 1, 0)


def _order_statistic(vector: npt.NDArray[np.integer] | npt.NDArray[np.floating], index: int) -> float:
    value: float = np.partition(vector, index)[index].item()
    return value


@attrs.frozen(kw_only=True)
class QuantileRanks:
    """Name the order statistics that enclose a quantile.

    Attributes:
        lower: Rank, 1 to n, of the value that bounds it from below; None if n is too small for one.
        upper: Rank, 1 to n, of the value that bounds it from above; None if n is too small for one.
        coverage: Exact probability that a continuous distribution's quantile lies between them; at least the level.
    """

    lower: int | None
    upper: int | None
    coverage: float


def quantile_ranks(n: int, p: float, *, level: float = 0.95) -> QuantileRanks:
    """Find the ranks between which the true p-quantile lies, whatever the distribution.

    Of n independent values the number B below the p-quantile is binomial(n, p). The lower rank l is the greatest with
    P(B < l) <= (1 - level) / 2, the upper rank u the smallest with P(B >= u) <= (1 - level) / 2. Each side holds for
    itself at (1 + level) / 2. With ties the coverage is only greater.

    Raises:
        ValueError: if n < 1, or unless 0 < p < 1 and 0 < level < 1.

    Source:
        David and Nagaraja, Order Statistics, 3rd edition, Wiley 2003, section 7.1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n!r}")
    tail = _tail(p, level, sides=2)
    lower = bisect_right(range(n), tail, key=lambda k: binomial_at_most(k, trials=n, p=p))
    upper = 1 + bisect_left(range(1, n + 1), -tail, key=lambda k: -binomial_at_least(k, trials=n, p=p))
    missed_below = binomial_at_most(lower - 1, trials=n, p=p) if lower else 0.0
    missed_above = binomial_at_least(upper, trials=n, p=p) if upper <= n else 0.0
    return QuantileRanks(
        lower=lower or None,
        upper=upper if upper <= n else None,
        coverage=1 - missed_below - missed_above,
    )


def _tail(p: float, level: float, *, sides: int) -> float:
    check_level(level)
    if not 0 < p < 1:
        raise ValueError(f"p must lie strictly between 0 and 1, got {p!r}")
    return (1 - level) / sides


def quantile_interval(values: npt.ArrayLike, p: float, *, level: float = 0.95) -> Interval:
    """Bound the true p-quantile by two of the measured values, assuming independence but no distribution.

    It holds the percentile by `LOADGEN` and by `NEAREST_RANK`. Values of one run that depend on their neighbours (a
    machine that warms up) make it too narrow: compare repeats.

    Args:
        values: Array [n] in any order and unit; not changed.
        p: Share strictly between 0 and 1: 0.99 for p99.
        level: Confidence; the coverage is at least this.

    Returns:
        Bounds in the values' unit; infinite on a side for which n < `samples_needed(p, level=level)` leaves no rank.

    Raises:
        ValueError: if values is empty, not one-dimensional or not finite, or unless 0 < p < 1 and 0 < level < 1.

    Source:
        See `quantile_ranks`.

    Example:
        >>> quantile_interval(range(1, 101), 0.5)
        Interval(low=40.0, high=61.0, level=0.95)
        >>> quantile_interval(range(1, 101), 0.99).bounded
        False
    """
    vector = real_vector(values)
    ranks = quantile_ranks(vector.size, p, level=level)
    low = -math.inf if ranks.lower is None else _order_statistic(vector, ranks.lower - 1)
    high = math.inf if ranks.upper is None else _order_statistic(vector, ranks.upper - 1)
    return Interval(low=low, high=high, level=level)


def samples_needed(p: float, *, level: float = 0.95, sides: Literal[1, 2] = 2) -> int:
    """Count the values without which a quantile cannot be bounded at the level.

    Args:
        p: Share strictly between 0 and 1: 0.99 for p99.
        level: Confidence.
        sides: 2 for both bounds of `quantile_interval`, each allowed (1 - level) / 2; 1 for an upper bound alone,
            MLPerf's case: least n with p^n <= 1 - level.

    Raises:
        ValueError: unless 0 < p < 1 and 0 < level < 1.

    Source:
        One side: MLPerf inference_rules.adoc, appendix on early stopping, h(0); two sides: see `quantile_ranks`.

    Example:
        >>> samples_needed(0.99), samples_needed(0.99, level=0.99, sides=1)
        (368, 459)
    """
    tail = _tail(p, level, sides=sides)
    above = _least_n(p, tail)
    return above if sides == 1 else max(above, _least_n_below(p, tail))


def _least_n(p: float, tail: float) -> int:
    bound = math.ceil(math.log(tail) / math.log(p)) + 1
    return 1 + bisect_left(range(1, bound + 1), -tail, key=lambda n: -binomial_at_least(n, trials=n, p=p))


def _least_n_below(p: float, tail: float) -> int:
    bound = math.ceil(math.log(tail) / math.log1p(-p)) + 1
    return 1 + bisect_left(range(1, bound + 1), -tail, key=lambda n: -binomial_at_most(0, trials=n, p=p))
