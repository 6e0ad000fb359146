"""Intervals of a mean, of independent values and of values that follow each other in time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bytemlperf.statistics._distributions import student_t_two_sided
from bytemlperf.statistics._vectors import float_vector
from bytemlperf.statistics.contrasts import StandardError
from bytemlperf.statistics.interval import Interval, check_level

if TYPE_CHECKING:
    import numpy.typing as npt


def mean_interval(values: npt.ArrayLike, *, level: float = 0.95) -> Interval:
    """Bound the expected value of independent values, such as one figure of each of several repeats.

    mean +- t(n - 1) * s / sqrt(n), exact if they are normal. Values of one run, one after another, are seldom
    independent: use `autocorrelated_mean_interval`.

    Args:
        values: Array [n] in any unit.
        level: Confidence.

    Returns:
        Bounds in the values' unit; infinite if there is one value only.

    Raises:
        ValueError: if values is empty, not one-dimensional or not finite, or unless 0 < level < 1.

    Source:
        Student, The Probable Error of a Mean, Biometrika 6(1), 1908, pp. 1-25.

    Example:
        >>> interval = mean_interval([9.0, 10.0, 11.0])
        >>> round(interval.low, 3), round(interval.high, 3)
        (7.516, 12.484)
    """
    vector = float_vector(values)
    return _student_interval(vector, count=vector.size, level=level)


def mean_interval_of_moments(n: int, mean: float, variance: float, *, level: float = 0.95) -> Interval:
    """Bound the expected value of independent values as `mean_interval` does, of which only moments are known.

    Args:
        n: How many values there are, at least 1.
        mean: Their arithmetic mean.
        variance: Mean of their squared deviations from it, divided by n.
        level: Confidence.

    Returns:
        Bounds in the values' unit; infinite if there is one value only.

    Raises:
        ValueError: If there is no value, a moment is not finite, or unless 0 < level < 1.

    Example:
        >>> interval = mean_interval_of_moments(3, 10.0, 2 / 3)
        >>> round(interval.low, 3), round(interval.high, 3)
        (7.516, 12.484)
    """
    if n < 1 or not math.isfinite(mean) or not math.isfinite(variance) or variance < 0:
        raise ValueError(f"there must be values with finite moments, got n={n!r}, mean={mean!r}, variance={variance!r}")
    return _student(mean, variance, count=n, level=level)


def autocorrelated_mean_interval(values: npt.ArrayLike, *, level: float = 0.95) -> Interval:
    """Bound the expected value of a stationary series, whose neighbours may be alike.

    As `mean_interval` with `effective_sample_size` in the place of n, in the degrees of freedom too, and so equal to it
    where no autocorrelation is found. It speaks of this run: what differs from process to process only repeats show.

    Args:
        values: Array [n] in order of time, in any unit.
        level: Confidence; nearly reached once the series is many times longer than its memory.

    Returns:
        Bounds in the values' unit; infinite if the series is worth no more than one value.

    Raises:
        ValueError: if values is empty, not one-dimensional or not finite, or unless 0 < level < 1.

    Source:
        Law, Simulation Modeling and Analysis, 5th edition, McGraw-Hill 2015, section 9.5 (intervals from an
        estimated autocorrelation); for the estimate see `effective_sample_size`.
    """
    vector = float_vector(values)
    return _student_interval(vector, count=effective_sample_size(vector), level=level)


def _student_interval(vector: npt.NDArray[np.float64], *, count: float, level: float) -> Interval:
    return _student(float(vector.mean()), float(vector.var()), count=count, level=level)


def _student(mean: float, variance: float, *, count: float, level: float) -> Interval:
    check_level(level)
    if count <= 1:
        return Interval(low=-math.inf, high=math.inf, level=level)
    # The variance over n, divided by count - 1, is s^2 / n for count = n; else it also mends the bias of s^2.
    half_width = student_t_two_sided(level, degrees=count - 1) * math.sqrt(variance / (count - 1))
    return Interval(low=mean - half_width, high=mean + half_width, level=level)


def mean_error(values: npt.ArrayLike) -> StandardError:
    """Return the mean of a series in order of time, and its standard error.

    The same error and degrees of freedom as in `autocorrelated_mean_interval`; infinite if the series is worth no more
    than one value.

    Raises:
        ValueError: if values is empty, not one-dimensional or not finite.
    """
    vector = float_vector(values)
    count = effective_sample_size(vector)
    error = math.sqrt(float(vector.var()) / (count - 1)) if count > 1 else math.inf
    return StandardError(
        value=float(vector.mean()), below=error, above=error, degrees=count - 1 if count > 1 else math.inf
    )


def effective_sample_size(values: npt.ArrayLike) -> float:
    """Estimate how many independent values a series in order of time is worth, for its mean.

    n / (1 + 2 * sum of autocorrelations), the sum taken over pairs of neighbouring lags, while a pair is positive, and
    none counted above the one before it. Never more than n, so that oscillation (bursts of completions) is not
    rewarded, and never less than 1. Costs O(n log n).

    Args:
        values: Array [n] in order of time.

    Raises:
        ValueError: if values is empty, not one-dimensional or not finite.

    Source:
        Geyer, Practical Markov Chain Monte Carlo, Statistical Science 7(4), 1992, pp. 473-483, section 3.3: initial
        monotone sequence estimator.
    """
    vector = float_vector(values)
    n = vector.size
    if np.ptp(vector) == 0:
        return float(n)  # else the rounding of the mean would look like values that are all alike
    covariances = _autocovariances(vector)
    pairs = covariances[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    positive = np.cumprod(pairs > 0).astype(np.bool_)
    total = 2 * float(np.minimum.accumulate(pairs[positive]).sum()) - float(covariances[0])
    return float(n) if total <= covariances[0] else max(1.0, n * float(covariances[0]) / total)


def _autocovariances(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Covariances of the series with itself, [n], divided by n at every lag; by FFT, padded so as not to wrap round."""
    n = vector.size
    padded_size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(vector - vector.mean(), padded_size)
    return np.fft.irfft(np.abs(spectrum) ** 2, padded_size)[:n] / n
