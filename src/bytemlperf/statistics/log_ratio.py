"""The logarithm of how many times as great a figure of one run is as that of another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
import numpy.typing as npt

from bytemlperf.statistics._distributions import binomial_masses
from bytemlperf.statistics._vectors import float_vector
from bytemlperf.statistics.contrasts import (
    Contrast,
    StandardError,
    StudentContrast,
    error_of_interval,
    student_contrast,
)
from bytemlperf.statistics.interval import Interval, check_level
from bytemlperf.statistics.mean import effective_sample_size, mean_error
from bytemlperf.statistics.quantiles import percentile

if TYPE_CHECKING:
    from collections.abc import Callable

_TAILS: Final = 10.0
"""Standard deviations beyond which a binomial's masses are below 1e-20."""
_HALVINGS: Final = 60


def mean_log_ratio(a: npt.ArrayLike, b: npt.ArrayLike) -> StudentContrast:
    """Compare the means of two series in order of time, such as latencies of two runs.

    The error of each mean allows for neighbours being alike (`effective_sample_size`).

    Args:
        a: Array [n] in order of time, in any unit; its mean must be above 0.
        b: The other run's, in the same unit.

    Returns:
        log(mean of b / mean of a), unbounded where a series is worth no more than one value.

    Raises:
        ValueError: if an array is empty, not one-dimensional or not finite, or its mean not above 0.
    """
    return student_contrast(mean_error(a).logarithm(), mean_error(b).logarithm())


def repeats_log_ratio(a: npt.ArrayLike, b: npt.ArrayLike) -> StudentContrast:
    """Compare one figure over independent repeats, each worth one value: Welch's t on logarithms.

    Of a side with a single repeat nothing tells its spread: then that of the other side stands for both (Student's
    two-sample t), which is an assumption.

    Args:
        a: Array [n], a figure above 0 of each repeat.
        b: The other side's, in the same unit.

    Returns:
        The mean of log b less the mean of log a: the logarithm of the ratio of geometric means.

    Raises:
        ValueError: if an array is empty, not one-dimensional or not finite, holds a value not above 0, or if both
            have one value only.
    """
    logs = [_logarithms(values, name=name) for values, name in ((a, "a"), (b, "b"))]
    sizes = [each.size for each in logs]
    if max(sizes) == 1:
        raise ValueError("one repeat on each side tells nothing of how repeats differ")
    spreads = [float(each.var(ddof=1)) if each.size > 1 else None for each in logs]
    known = next(spread for spread in spreads if spread is not None)
    sides = [
        _repeated(float(each.mean()), variance=known if spread is None else spread, n=each.size, degrees=max(sizes) - 1)
        for each, spread in zip(logs, spreads, strict=True)
    ]
    if min(sizes) == 1:
        # One estimate of the variance, not two: its degrees are not added up.
        return attrs.evolve(student_contrast(*sides), degrees=max(sizes) - 1)
    return student_contrast(*sides)


def _logarithms(values: npt.ArrayLike, *, name: str) -> npt.NDArray[np.float64]:
    vector = float_vector(values, name=name)
    if vector.min() <= 0:
        raise ValueError(f"only figures above 0 have a ratio, but {name} holds {vector.min()!r}")
    return np.log(vector)


def _repeated(value: float, *, variance: float, n: int, degrees: int) -> StandardError:
    error = math.sqrt(variance / n)
    return StandardError(value=value, below=error, above=error, degrees=n - 1 if n > 1 else degrees)


def interval_log_ratio(
    a: float, a_interval: Interval, b: float, b_interval: Interval, *, a_degrees: float, b_degrees: float
) -> StudentContrast:
    """Compare two figures of which only the interval was kept.

    An interval's ends are read as standard errors of the logarithm (`error_of_interval`), each end for itself, so that
    skew is kept. It adds no information: neighbours that were alike, or too few samples, stay as they were.

    Args:
        a: A figure above 0.
        a_interval: Its interval; an end that is infinite, or not above 0, bounds nothing.
        b: The other figure, in the same unit.
        b_interval: Its interval.
        a_degrees: Degrees of freedom that the interval was made with; infinite for a normal.
        b_degrees: The same of the other.

    Raises:
        ValueError: if a figure is not above 0, or outside its interval.

    Source:
        Zou and Donner, Construction of Confidence Limits about Effect Measures: A General Approach, Statistics in
        Medicine 27, 2008, pp. 1693-1702 (limits recovered from separate intervals).
    """
    return student_contrast(_recovered(a, a_interval, degrees=a_degrees), _recovered(b, b_interval, degrees=b_degrees))


def _recovered(value: float, interval: Interval, *, degrees: float) -> StandardError:
    if value <= 0:
        raise ValueError(f"only a figure above 0 has a ratio, got {value!r}")
    logarithms = Interval(
        low=math.log(interval.low) if interval.low > 0 else -math.inf,
        high=math.log(interval.high) if interval.high < math.inf else math.inf,
        level=interval.level,
    )
    return error_of_interval(math.log(value), logarithms, degrees=degrees)


@attrs.frozen(kw_only=True, eq=False)
class _Quantile:
    """Where the true quantile of one run may lie: values that bound it on either side, and how likely each pair is.

    Of n independent values the number K below the quantile is binomial(n, p), and the quantile then lies between the
    K-th and the next. A series worth fewer values gives wider steps of rank.
    """

    value: float
    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]
    masses: npt.NDArray[np.float64]


def _quantile(values: npt.ArrayLike, p: float) -> _Quantile:
    vector = float_vector(values)
    if vector.min() <= 0:
        raise ValueError(f"only values above 0 have a ratio, got {vector.min()!r}")
    value = percentile(vector, p)
    worth = max(1, int(effective_sample_size((vector > value).astype(np.float64))))
    counts, masses = _binomial(worth, p)
    n = vector.size
    # Exact for worth == n: floor(K) and ceil(K + 1). Integer arithmetic, so that no rank is lost to rounding.
    below, above = counts * n // worth, -(-(counts + 1) * n // worth)
    padded = np.concatenate([[0.0], np.sort(vector), [math.inf]])
    return _Quantile(value=value, lower=padded[below], upper=padded[np.minimum(above, n + 1)], masses=masses)


def _binomial(trials: int, p: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    reach = _TAILS * math.sqrt(trials * p * (1 - p)) + _TAILS**2
    counts = np.arange(max(0, int(trials * p - reach)), min(trials, int(trials * p + reach)) + 1)
    masses = binomial_masses(counts, trials=trials, p=p)
    return counts, masses / masses.sum()


@attrs.frozen(kw_only=True, eq=False)
class _QuantileContrast(Contrast):
    """The ratio of two quantiles, from the exact distributions of the ranks between which each lies."""

    a: _Quantile
    b: _Quantile

    @property
    def estimate(self) -> float:
        return math.log(self.b.value / self.a.value)

    def p_above(self, bound: float) -> float:
        return _at_most(self.b.lower, self.b.masses, _times(self.a.upper, math.exp(bound)), self.a.masses)

    def p_below(self, bound: float) -> float:
        return _at_most(self.a.lower, self.a.masses, _times(self.b.upper, math.exp(-bound)), self.b.masses)

    def interval(self, *, level: float = 0.95) -> Interval:
        check_level(level)
        tail = (1 - level) / 2
        low = _last_refused(self.p_above, start=self.estimate, tail=tail, sign=-1)
        high = _last_refused(self.p_below, start=self.estimate, tail=tail, sign=1)
        return Interval(low=low, high=high, level=level)


def quantile_log_ratio(a: npt.ArrayLike, b: npt.ArrayLike, p: float) -> Contrast:
    """Compare a quantile of two series in order of time, assuming no distribution.

    Of n values the number below the true p-quantile is binomial(n, p); that says how likely the quantile lies between
    any two neighbours in the order of size. These two exact distributions are independent, so their ratio's follows.
    Every pair of values is counted so that it speaks against a difference: with few samples the test is cautious, and
    with fewer than a percentile takes (`samples_needed`) it stays open. Where neighbours in time are alike, their
    effective number stands for n.

    Args:
        a: Array [n] of values above 0, in order of time.
        b: The other run's, in the same unit.
        p: Share strictly between 0 and 1: 0.99 for p99.

    Returns:
        The logarithm of b's p-quantile over a's, each by `sorted[int(n * p)]`.

    Raises:
        ValueError: if an array is empty, not one-dimensional or not finite, holds a value not above 0, or unless
            0 < p < 1.

    Source:
        Ranks: David and Nagaraja, Order Statistics, 3rd edition, Wiley 2003, section 7.1. Distributions in place of
        intervals, combined: Singh, Xie and Strawderman, Combining Information from Independent Sources through
        Confidence Distributions, Annals of Statistics 33(1), 2005, pp. 159-183.

    Example:
        >>> a = [100 + 37 * i % 101 for i in range(101)]
        >>> contrast = quantile_log_ratio(a, [2 * each for each in a], 0.5)
        >>> round(math.exp(contrast.estimate), 3), contrast.p_difference() < 0.001
        (2.0, True)
    """
    if not 0 < p < 1:
        raise ValueError(f"p must lie strictly between 0 and 1, got {p!r}")
    return _QuantileContrast(a=_quantile(a, p), b=_quantile(b, p))


def _times(upper: npt.NDArray[np.float64], factor: float) -> npt.NDArray[np.float64]:
    """Multiply values of which some may be infinite, and stay so even times 0."""
    finite = np.isfinite(upper)
    return np.where(finite, np.where(finite, upper, 1.0) * factor, math.inf)


def _at_most(
    x: npt.NDArray[np.float64],
    x_masses: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    y_masses: npt.NDArray[np.float64],
) -> float:
    """P(X <= Y) of two independent discrete variables, each in ascending order."""
    from_here_up = np.append(np.cumsum(y_masses[::-1])[::-1], 0.0)
    return float(min(1.0, x_masses @ from_here_up[np.searchsorted(y, x, side="left")]))


def _last_refused(p_value: Callable[[float], float], *, start: float, tail: float, sign: int) -> float:
    """Find the end of an interval: going out from the estimate, where the test first refuses a bound."""
    if p_value(sign * math.inf) > tail:
        return sign * math.inf
    step = 0.01
    while p_value(start + sign * step) > tail:
        step *= 2
    inner, outer = 0.0, step
    for _ in range(_HALVINGS):
        middle = (inner + outer) / 2
        inner, outer = (inner, middle) if p_value(start + sign * middle) <= tail else (middle, outer)
    return start + sign * outer
