"""Figures over samples that lie between 0 and 1, with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.metrics.estimate import Estimate
from bytemlperf.statistics import binomial_interval, mean_interval
from bytemlperf.statistics.interval import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_SAMPLES = "no samples"
BYTEMLPERF_DIGITS: Final = 5
"""Decimals of an accuracy in ByteMLPerf's reports."""


def share_estimate(right: int, n: int, definition: str) -> Estimate:
    """Return the share of right samples with its exact binomial interval; no value where there is no sample."""
    if not n:
        return Estimate(value=None, unit="1", definition=definition, note=NO_SAMPLES)
    return Estimate(value=right / n, unit="1", n=n, definition=definition).within(binomial_interval(right, n))


def bytemlperf_share(right: int, n: int, definition: str) -> Estimate:
    """Return a share as ByteMLPerf reports it, rounded to 5 decimals, with the interval of the share itself."""
    figure = share_estimate(right, n, definition)
    return figure if figure.value is None else attrs.evolve(figure, value=round(figure.value, BYTEMLPERF_DIGITS))


def mean_score(scores: NDArray[np.float64], definition: str) -> Estimate:
    """Return the mean of scores between 0 and 1 in percent, with an interval that stays between 0 and 100.

    Where every score is 0 or 1, the interval is the exact binomial one, else Student's.

    Args:
        scores: float64[n].
        definition: Of the figure.
    """
    n = len(scores)
    if not n:
        return Estimate(value=None, unit="%", definition=definition, note=NO_SAMPLES)
    value = 100.0 * float(np.sum(scores)) / n
    return Estimate(value=value, unit="%", n=n, definition=definition).within(_percent(_interval(scores)))


def _interval(scores: NDArray[np.float64]) -> Interval:
    if np.isin(scores, (0.0, 1.0)).all():
        return binomial_interval(int(scores.sum()), len(scores))
    return mean_interval(scores)


def _percent(interval: Interval) -> Interval:
    low, high = (100.0 * min(1.0, max(0.0, end)) for end in (interval.low, interval.high))
    return Interval(low=low, high=high, level=interval.level)
