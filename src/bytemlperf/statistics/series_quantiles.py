"""Intervals of a quantile of values that follow each other in time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bytemlperf.statistics._vectors import float_vector, real_vector
from bytemlperf.statistics.interval import Interval
from bytemlperf.statistics.mean import effective_sample_size
from bytemlperf.statistics.quantiles import percentile, quantile_ranks

if TYPE_CHECKING:
    import numpy.typing as npt

_SUSPICION = 1.645
"""Standard errors by which the first autocorrelation must exceed 0: a one-sided test at 5 %."""


def quantile_worth(values: npt.ArrayLike, p: float) -> float:
    """Estimate how many independent values a series in order of time is worth, for its p-quantile.

    It is the effective number of the series that tells which values are above the quantile; all of them, unless
    neighbours are shown to be alike there, so that independent values keep their exact interval.

    Args:
        values: Array [n] in order of time.
        p: Share strictly between 0 and 1.

    Raises:
        ValueError: if values is empty, not one-dimensional or not finite, or unless 0 < p < 1.

    Source:
        The variance of a quantile of a dependent series is that of the share above it, over the squared density: Sen,
        On the Bahadur Representation of Sample Quantiles for Sequences of phi-mixing Random Variables, Journal of
        Multivariate Analysis 2(1), 1972, pp. 77-95. The number: see `effective_sample_size`.
    """
    vector = real_vector(values)
    if not 0 < p < 1:
        raise ValueError(f"p must lie strictly between 0 and 1, got {p!r}")
    value = percentile(vector, p)
    above = vector > value
    return share_worth(above if above.any() else vector >= value)


def share_worth(flags: npt.ArrayLike) -> float:
    """Estimate how many independent answers of yes or no a series in order of time is worth, for its share of yes.

    All of them, unless neighbours are shown to be alike; see `quantile_worth`.

    Args:
        flags: Array [n] of booleans in order of time.

    Raises:
        ValueError: if flags is empty or not one-dimensional.
    """
    series = float_vector(np.asarray(flags, np.float64), name="flags")
    return effective_sample_size(series) if _neighbours_alike(series) else float(series.size)


def _neighbours_alike(values: npt.NDArray[np.float64]) -> bool:
    centred = values - values.mean()
    power = float(centred @ centred)
    return power > 0 and float(centred[1:] @ centred[:-1]) / power > _SUSPICION / math.sqrt(values.size)


def autocorrelated_quantile_interval(values: npt.ArrayLike, p: float, *, level: float = 0.95) -> Interval:
    """Bound the true p-quantile of a stationary series, whose neighbours may be alike.

    As `quantile_interval`, and equal to it where no autocorrelation is shown; else the ranks are those of as many
    independent values as the series is worth (`quantile_worth`), stretched over the ranks that there are, and rounded
    outwards.

    Args:
        values: Array [n] in order of time, in any unit.
        p: Share strictly between 0 and 1: 0.99 for p99.
        level: Confidence; exact for independent values, and nearly reached by a series many times longer than its
            memory.

    Returns:
        Bounds in the values' unit; infinite on a side that the series is worth too few values for.

    Raises:
        ValueError: if values is empty, not one-dimensional or not finite, or unless 0 < p < 1 and 0 < level < 1.

    Source:
        See `quantile_ranks` and `quantile_worth`.
    """
    vector = real_vector(values)
    n, worth = vector.size, max(1, int(quantile_worth(vector, p)))
    ranks = quantile_ranks(worth, p, level=level)
    ordered = np.sort(vector)
    low = -math.inf if ranks.lower is None else float(ordered[max(ranks.lower * n // worth, 1) - 1])
    high = math.inf if ranks.upper is None else float(ordered[min(-(-ranks.upper * n // worth), n) - 1])
    return Interval(low=low, high=high, level=level)
