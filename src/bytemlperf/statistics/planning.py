"""How many queries, processes or pairs a statement takes, before it is measured."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.statistics._distributions import noncentral_t_above, normal_quantile, student_t_two_sided
from bytemlperf.statistics._vectors import float_vector
from bytemlperf.statistics.early_stopping import most_over_bound
from bytemlperf.statistics.interval import check_level
from bytemlperf.statistics.log_ratio import quantile_log_ratio
from bytemlperf.statistics.mean import effective_sample_size
from bytemlperf.statistics.quantiles import quantile_ranks, samples_needed
from bytemlperf.statistics.series_quantiles import quantile_worth

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

ASSURANCE: Final = 0.9
"""Probability with which a run of the planned size is to give what was planned."""
_DRAWS: Final = 400
_PAIRS: Final = 100
_MOST_DRAWN: Final = 5_000
"""Queries a side beyond which pairs of runs are not drawn: it would take minutes."""
_MOST_VALUES: Final = 4000
"""Of a longer pilot evenly spaced order statistics are taken: more would only take time."""
_FEWEST_BEYOND: Final = 10
"""Values of the pilot beyond the percentile, without which its neighbourhood is not known."""
_MOST_QUERIES: Final = 10_000_000
_STEP: Final = 1.1
"""Numbers of queries are looked at in steps of 10 %."""


@attrs.frozen(kw_only=True)
class Claim:
    """What a number of queries lets one say of a percentile.

    Attributes:
        p: The percentile as a share.
        queries: How many are asked.
        needed: Without which its interval lacks an end.
        level: Confidence of the interval.
        mlperf_over: Queries that may be over a bound so that MLPerf's early stopping passes it; None if it never does.
        width: Relative width (interval over percentile) that the interval will have with probability 0.9; None where
            no latencies are known from which it could be told.
    """

    p: float
    queries: int
    needed: int
    level: float
    mlperf_over: int | None
    width: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the percentile can be claimed with an interval."""
        return self.queries >= self.needed


def claim(queries: int, p: float, *, level: float = 0.95, pilot: npt.ArrayLike | None = None) -> Claim:
    """Say what a number of queries lets one say of a percentile.

    Args:
        queries: Planned.
        p: Share strictly between 0 and 1.
        level: Confidence.
        pilot: Latencies of a trial, in order of time: their likeness to neighbours counts, and the width is told.

    Raises:
        ValueError: unless queries >= 1, 0 < p < 1 and 0 < level < 1, or as `planned_width`.
    """
    if queries < 1:
        raise ValueError(f"queries must be at least 1, got {queries!r}")
    return Claim(
        p=p,
        queries=queries,
        needed=math.ceil(samples_needed(p, level=level) / _worth(pilot, p)),
        level=level,
        mlperf_over=most_over_bound(queries, p),
        width=None if pilot is None else planned_width(pilot, p, queries=queries, level=level),
    )


def _worth(pilot: npt.ArrayLike | None, p: float) -> float:
    """Share of a series' values that it is worth, for its p-quantile."""
    if pilot is None:
        return 1.0
    vector = float_vector(pilot)
    return quantile_worth(vector, p) / vector.size


def planned_width(
    pilot: npt.ArrayLike,
    p: float,
    *,
    queries: int,
    level: float = 0.95,
    assurance: float = ASSURANCE,
    seed: int = 0,
) -> float | None:
    """Say how wide a percentile's interval will be, as a share of the percentile.

    The order statistics between which the interval lies are drawn from their exact joint distribution, and each pair is
    read off the pilot's own values, drawn again each time, so that chance in the pilot counts too.

    Args:
        pilot: Latencies of a trial, [n] in order of time, above 0.
        p: Share strictly between 0 and 1.
        queries: Of the run to come.
        level: Confidence of the interval.
        assurance: Probability that it is no wider.
        seed: Of the drawings.

    Returns:
        None if so many queries give no interval, or the pilot has too few values near the percentile.

    Raises:
        ValueError: if the pilot is empty, not one-dimensional or not finite, or a share is out of range.

    Source:
        Joint distribution: David and Nagaraja, Order Statistics, 3rd edition, Wiley 2003, section 2.5 (ranks of
        uniform values and their gaps are betas).
    """
    return _Pilot(pilot, p, seed=seed).width(queries, level=level, assurance=assurance)


class _Pilot:
    """A trial's values, drawn again many times over."""

    def __init__(self, values: npt.ArrayLike, p: float, *, seed: int) -> None:
        vector = float_vector(values)
        self._worth = _worth(vector, p)
        self._p, self._seed = p, seed
        kept = np.sort(vector)
        if kept.size > _MOST_VALUES:
            kept = kept[np.linspace(0, kept.size - 1, _MOST_VALUES).astype(np.int64)]
        self._drawn = np.sort(np.random.default_rng(seed).choice(kept, size=(_DRAWS, kept.size)), axis=1)
        self._n = kept.size

    def width(self, queries: int, *, level: float, assurance: float) -> float | None:
        check_level(assurance)
        worth = max(1, int(queries * self._worth))
        ranks = quantile_ranks(worth, self._p, level=level)
        if ranks.lower is None or ranks.upper is None or self._n * min(self._p, 1 - self._p) < _FEWEST_BEYOND:
            return None
        rng = np.random.default_rng(self._seed)
        low = rng.beta(ranks.lower, worth - ranks.lower + 1, _DRAWS)
        gap = rng.beta(ranks.upper - ranks.lower, worth - ranks.upper + 1, _DRAWS)
        ends, middle = (self._at(share) for share in (np.stack([low, low + (1 - low) * gap]), np.full(_DRAWS, self._p)))
        widths = (ends[1] - ends[0]) / middle
        return float(np.quantile(widths, assurance))

    def _at(self, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        index = np.minimum((shares * self._n).astype(np.int64), self._n - 1)
        values: npt.NDArray[np.float64] = self._drawn[np.arange(_DRAWS), index]
        return values


def queries_for_width(
    pilot: npt.ArrayLike,
    p: float,
    *,
    width: float,
    level: float = 0.95,
    assurance: float = ASSURANCE,
    seed: int = 0,
) -> int | None:
    """Count the queries for which a percentile's interval is no wider than a share of it.

    Args:
        pilot: As `planned_width`.
        p: As `planned_width`.
        width: Interval over percentile.
        level: Confidence of the interval.
        assurance: Probability that it is no wider.
        seed: Of the drawings.

    Returns:
        In steps of 10 %; None if ten million are not enough, or the pilot has too few values.

    Raises:
        ValueError: as `planned_width`, or if width is not above 0.
    """
    if not width > 0:
        raise ValueError(f"width must be above 0, got {width!r}")
    trial = _Pilot(pilot, p, seed=seed)

    def enough(queries: int) -> bool:
        found = trial.width(queries, level=level, assurance=assurance)
        return found is not None and found <= width

    return _least(enough, start=samples_needed(p, level=level))


def queries_for_difference(
    pilot: npt.ArrayLike,
    *,
    difference: float,
    p: float | None = None,
    level: float = 0.95,
    assurance: float = ASSURANCE,
    seed: int = 0,
) -> int | None:
    """Count the queries on each side that tell two runs apart, if one is slower by a share.

    For a percentile the comparison itself (`quantile_log_ratio`) is tried on 100 pairs of runs drawn from the pilot;
    for the mean the normal approximation is taken.

    Args:
        pilot: Latencies of a trial, [n] in order of time, above 0.
        difference: By how much b is slower, as a share of a.
        p: Percentile that is compared, as a share; None for the mean.
        level: 1 less the chance that equal runs are told apart.
        assurance: Probability that these are.
        seed: Of the drawings.

    Returns:
        In steps of 10 %; None if it takes more than 5,000 independent ones for a percentile, or 10 million.

    Raises:
        ValueError: if the pilot is empty, not finite or not above 0, or unless difference > 0.

    Source:
        Normal approximation: Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd edition, 1988,
        chapter 2, on logarithms (first order).
    """
    vector = float_vector(pilot)
    if not difference > 0:
        raise ValueError(f"difference must be above 0, got {difference!r}")
    if p is None:
        return _for_mean(vector, difference=difference, level=level, assurance=assurance)

    def told(independent: int) -> bool:
        rng = np.random.default_rng(seed)
        misses = 0
        for _ in range(_PAIRS):
            a, b = rng.choice(vector, size=(2, independent))
            misses += quantile_log_ratio(a, b * (1 + difference), p).p_difference() > 1 - level
            if misses > (1 - assurance) * _PAIRS:
                return False
        return True

    independent = _least(told, start=10, most=_MOST_DRAWN)
    return None if independent is None else math.ceil(independent / _worth(vector, p))


def _for_mean(vector: npt.NDArray[np.float64], *, difference: float, level: float, assurance: float) -> int | None:
    spread = float(vector.std()) / float(vector.mean())
    reach = (normal_quantile((1 + level) / 2) + normal_quantile(assurance)) * spread / math.log1p(difference)
    needed = max(2 * reach**2, _FEWEST_BEYOND) * vector.size / effective_sample_size(vector)
    return math.ceil(needed) if needed <= _MOST_QUERIES else None


def _least(enough: Callable[[int], bool], *, start: int, most: int = _MOST_QUERIES) -> int | None:
    """Find the first number of a geometric ladder that is enough: by doubling, then by halving the steps."""
    steps = math.ceil(math.log(most / start) / math.log(_STEP))
    ladder = [math.ceil(start * _STEP**each) for each in range(steps + 1)]
    high = 1
    while high < len(ladder) and not enough(ladder[high - 1]):
        high *= 2
    found = bisect_left(ladder, True, lo=high // 2, hi=min(high, len(ladder)), key=enough)  # noqa: FBT003 - a key
    return next((each for each in ladder[found : found + 5] if enough(each)), None)


def replicates_needed(
    difference: float, spread: float, *, paired: bool = False, level: float = 0.95, assurance: float = ASSURANCE
) -> int:
    """Count the processes on each side, or the pairs, that tell a difference apart: Student's t on logarithms.

    Args:
        difference: By how much b is slower, as a share of a.
        spread: Relative standard deviation of one process' figure from process to process; if paired, that of the
            ratio from pair to pair.
        paired: Whether pairs are counted.
        level: 1 less the chance that equal sides are told apart.
        assurance: Probability that these are.

    Raises:
        ValueError: unless difference > 0, spread >= 0 and the shares are between 0 and 1.

    Source:
        Power by the non-central t: Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd edition, 1988,
        chapter 2.

    Example:
        >>> replicates_needed(0.05, 0.05), replicates_needed(0.05, 0.05, paired=True)
        (24, 14)
    """
    for share in (level, assurance):
        check_level(share)
    if not (difference > 0 and 0 <= spread < math.inf):
        raise ValueError(f"need difference > 0 and spread >= 0, got {difference!r}, {spread!r}")
    if spread == 0:
        return 2

    def power(n: int) -> float:
        degrees = float(n - 1 if paired else 2 * (n - 1))
        shift = math.log1p(difference) / (spread * math.sqrt((1 if paired else 2) / n))
        return noncentral_t_above(student_t_two_sided(level, degrees=degrees), degrees=degrees, shift=shift)

    high = 4
    while power(high) < assurance:
        high *= 2
    return 2 + bisect_left(range(2, high + 1), assurance, key=power)
