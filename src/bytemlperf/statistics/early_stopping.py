"""MLPerf's early stopping: how many queries it takes to claim a percentile, and what may be claimed of those there are.

It is the exact one-sided bound of a quantile at 99 % confidence, the same mathematics as `quantile_interval`.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.statistics._distributions import binomial_at_least
from bytemlperf.statistics._vectors import real_vector
from bytemlperf.statistics.interval import check_level

if TYPE_CHECKING:
    import numpy.typing as npt

MLPERF_CONFIDENCE: Final = 0.99
"""Confidence of MLPerf's early stopping.

Source: inference_rules.adoc, appendix on early stopping (mlcommons/inference at b66003e); its tolerance d is 0.
"""


def passing_queries_needed(over: int, p: float, *, level: float = MLPERF_CONFIDENCE, tolerance: float = 0.0) -> int:
    """Count the queries within the bound that outweigh those over it: h(t).

    It is the least h with I_{p - d}(h, t + 1) < 1 - c: were the true share of queries within the bound only p - d, at
    least h of h + t would keep it with a probability below 1 - c.

    Args:
        over: Queries over the bound, t.
        p: Share that has to keep the bound: 0.99 for p99.
        level: Confidence, c.
        tolerance: By how much the true share may fall short of p, d.

    Raises:
        ValueError: if over < 0, or unless 0 <= tolerance < p < 1 and 0 < level < 1.

    Source:
        MLPerf early_stopping.cc and inference_rules.adoc, appendix on early stopping (mlcommons/inference at b66003e).

    Example:
        >>> passing_queries_needed(0, 0.99), passing_queries_needed(10, 0.99)
        (459, 2000)
    """
    check_level(level)
    if over < 0 or not 0 <= tolerance < p < 1:
        raise ValueError(f"need over >= 0 and 0 <= tolerance < p < 1, got {over!r}, {tolerance!r}, {p!r}")
    share, chance = p - tolerance, 1 - level

    def likely(passing: int) -> float:
        return -binomial_at_least(passing, trials=passing + over, p=share)

    high = 1
    while likely(high) <= -chance:
        high *= 2
    return 1 + bisect_right(range(1, high + 1), -chance, key=likely)


def queries_needed(over: int, p: float, *, level: float = MLPERF_CONFIDENCE, tolerance: float = 0.0) -> int:
    """Count the queries that a run needs of which `over` are over the bound: h(t) + t.

    Args:
        over: As `passing_queries_needed`.
        p: As `passing_queries_needed`.
        level: As `passing_queries_needed`.
        tolerance: As `passing_queries_needed`.

    Raises:
        ValueError: as `passing_queries_needed`.

    Source:
        As `passing_queries_needed`; 662 is the `min_query_count` of MultiStream in mlperf.conf.

    Example:
        >>> queries_needed(1, 0.99)
        662
    """
    return passing_queries_needed(over, p, level=level, tolerance=tolerance) + over


def most_over_bound(n: int, p: float, *, level: float = MLPERF_CONFIDENCE, tolerance: float = 0.0) -> int | None:
    """Find the most queries of n that may be over the bound: the greatest t with h(t) + t <= n; None if not even 0.

    Args:
        n: Queries.
        p: As `passing_queries_needed`.
        level: As `passing_queries_needed`.
        tolerance: As `passing_queries_needed`.

    Raises:
        ValueError: as `passing_queries_needed`.

    Source:
        As `passing_queries_needed`.

    Example:
        >>> most_over_bound(662, 0.99), most_over_bound(661, 0.99), most_over_bound(458, 0.99)
        (1, 0, None)
    """
    found = bisect_right(range(n + 1), n, key=lambda over: queries_needed(over, p, level=level, tolerance=tolerance))
    return found - 1 if found else None


@attrs.frozen(kw_only=True)
class EarlyEstimate:
    """State a percentile that holds with MLPerf's confidence.

    Attributes:
        value: The estimate in the values' unit; None if there are too few.
        needed: Values without which there is none.
        discarded: Values that lie above it, which do not count.
    """

    value: float | None
    needed: int
    discarded: int

    @property
    def met(self) -> bool:
        """Whether there are enough values for an estimate."""
        return self.value is not None


def early_estimate(values: npt.ArrayLike, p: float, *, level: float = MLPERF_CONFIDENCE) -> EarlyEstimate:
    """Estimate a percentile from above: SingleStream and MultiStream.

    Of n values, with t the most that may be over a bound, it is `sorted[n - t]`. LoadGen gives none unless t is at
    least 1.

    Args:
        values: Latencies, array [n] in any order and unit; not changed.
        p: As `passing_queries_needed`.
        level: As `passing_queries_needed`.

    Raises:
        ValueError: if values is empty, not one-dimensional or not finite; as `passing_queries_needed`.

    Source:
        As `passing_queries_needed`.

    Example:
        >>> early_estimate(range(1001), 0.9)
        EarlyEstimate(value=923, needed=64, discarded=77)
    """
    vector = real_vector(values)
    needed = queries_needed(1, p, level=level)
    over = most_over_bound(vector.size, p, level=level)
    if not over:
        return EarlyEstimate(value=None, needed=needed, discarded=0)
    index = vector.size - over
    return EarlyEstimate(value=np.partition(vector, index)[index].item(), needed=needed, discarded=over - 1)


@attrs.frozen(kw_only=True)
class EarlyDecision:
    """Say whether a bound was kept with MLPerf's confidence.

    Attributes:
        n: Values.
        over: Of these, values over the bound.
        needed: Values that so many over the bound take.
    """

    n: int
    over: int
    needed: int

    @property
    def met(self) -> bool:
        """Whether there are enough values."""
        return self.n >= self.needed

    @property
    def missing(self) -> int:
        """Further values, each within the bound, that would be enough."""
        return max(self.needed - self.n, 0)


def early_decision(values: npt.ArrayLike, p: float, *, bound: float, level: float = MLPERF_CONFIDENCE) -> EarlyDecision:
    """Decide whether a share p of queries keeps a bound: Server.

    Args:
        values: Latencies, array [n] in any order and unit; not changed.
        p: As `passing_queries_needed`.
        bound: In the values' unit; a value equal to it keeps it.
        level: As `passing_queries_needed`.

    Raises:
        ValueError: as `early_estimate`.

    Source:
        As `passing_queries_needed`.

    Example:
        >>> early_decision([1] * 1000, 0.99, bound=5).met, early_decision([9] + [1] * 600, 0.99, bound=5).missing
        (True, 61)
    """
    vector = real_vector(values)
    over = int(np.count_nonzero(vector > bound))
    return EarlyDecision(n=vector.size, over=over, needed=queries_needed(over, p, level=level))
