"""How far one figure lies from another over the same units, by drawing the units again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from bytemlperf.statistics._distributions import normal_probability, student_t_two_sided
from bytemlperf.statistics._inverting import p_value_of
from bytemlperf.statistics._vectors import float_vector
from bytemlperf.statistics.contrasts import Contrast
from bytemlperf.statistics.interval import Interval, check_level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CountStatistic: TypeAlias = "Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]"
"""Computes one figure of each data set that is drawn, [draws], from how often each unit is in it, [draws, n]."""

_CHUNK_ELEMENTS = 4_000_000
_FEWEST_RESAMPLES = 100
_ROUNDING = 1e-9


@attrs.frozen(kw_only=True, eq=False)
class _DrawnContrast(Contrast):
    """A distance bounded by quantiles of what was drawn.

    Attributes:
        measured: The distance itself.
        lower: float64[draws], ascending, what bounds it below.
        upper: float64[draws], ascending, what bounds it above.
        degrees: Of freedom of the spread of what was drawn; infinite where it counts as known.
        wider: Standard errors of the distance in one of what was drawn, which is less by sqrt((n - 1) / n).
    """

    measured: float
    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]
    degrees: float = math.inf
    wider: float = 1.0

    @property
    def estimate(self) -> float:
        return self.measured

    def p_above(self, bound: float) -> float:
        return p_value_of(lambda tail: self._bounds(tail)[0] > bound, least=1 / len(self.lower))

    def p_below(self, bound: float) -> float:
        return p_value_of(lambda tail: self._bounds(tail)[1] < bound, least=1 / len(self.upper))

    def interval(self, *, level: float = 0.95) -> Interval:
        check_level(level)
        low, high = self._bounds((1 - level) / 2)
        return Interval(low=low, high=high, level=level)

    def _bounds(self, tail: float) -> tuple[float, float]:
        """Return the draws beyond which lie as many as the tail says, made wider; no bounds where that is not one."""
        share = normal_probability(-self.wider * student_t_two_sided(1 - 2 * tail, degrees=self.degrees))
        drawn = share * len(self.lower)
        if drawn < 1 - _ROUNDING:
            return -math.inf, math.inf
        beyond = math.ceil(drawn) - 1
        return float(self.lower[beyond]), float(self.upper[-1 - beyond])


def bootstrap_contrast(
    distance: CountStatistic, n: int, *, seed: int, resamples: int = 2_000, width: int | None = None
) -> Contrast:
    """Bound any distance of two figures over the same independent units, such as that of two perplexities.

    Units are drawn with replacement, each with all that both sides have of it, and the distance is computed from how
    often each was drawn. Bounds are quantiles of what was drawn, moved out as Student's t lies outside a normal. Where
    few of many units make the distance, such as the clicks of an area under a curve, the spread is known no better than
    by so few: its degrees of freedom are 2 n / (kurtosis - 1), of the units' influence, and never more than n - 1. What
    none of the units shows is not allowed for: of figures that are means of bounded values `bounded_mean_contrast`
    does so.

    A data set for which the distance has no finite value counts as infinitely far on both sides, so that the interval
    is not `bounded` where these are many, nor at a level for which too few were drawn. P-values are no smaller than
    1 / resamples.

    Args:
        distance: Of data sets in which each unit occurs so often; must not change its argument.
        n: Units, at least 2.
        seed: Of the generator that draws.
        resamples: How many data sets are drawn, at least 100.
        width: Numbers that `distance` has in memory for each data set; n if not given. So many are drawn at a time.

    Raises:
        ValueError: if the distance of the units as they are is not finite, or there are too few units or resamples.

    Source:
        Expanded percentile interval: Hesterberg, What Teachers Should Know About the Bootstrap, The American
        Statistician 69(4), 2015, pp. 371-386. Degrees of freedom of a variance: Satterthwaite, An Approximate
        Distribution of Estimates of Variance Components, Biometrics Bulletin 2(6), 1946, pp. 110-114, with the variance
        of a variance, (kurtosis - 1) / n of its square (Cramer, Mathematical Methods of Statistics, 1946, 27.4).

    Example:
        >>> errors, words = np.array([[1, 0, 2, 0] * 25, [1, 1, 2, 0] * 25]), np.array([10, 12, 8, 9] * 25)
        >>> rates = lambda counts: (counts @ (errors[0] - errors[1])) / (counts @ words)
        >>> bootstrap_contrast(rates, 100, seed=1).interval().contains(-1 / 39)
        True
    """
    if n < 2 or resamples < _FEWEST_RESAMPLES:  # noqa: PLR2004 - one unit says nothing of others
        raise ValueError(f"need 2 units and {_FEWEST_RESAMPLES} resamples at least, got {n!r} and {resamples!r}")
    measured = float(distance(np.ones((1, n)))[0])
    if not math.isfinite(measured):
        raise ValueError(f"the distance must be finite, got {measured!r}")
    rng, step = np.random.default_rng(seed), max(1, _CHUNK_ELEMENTS // max(n, width or n))
    draws = np.concatenate([distance(each) for each in _drawn(n, resamples, step, rng)])
    left_out = np.sort(rng.permutation(n)[:resamples])
    jackknife = np.concatenate([distance(each) for each in _without(n, left_out, step)])
    finite = np.isfinite(draws)
    return _DrawnContrast(
        measured=measured,
        lower=np.sort(np.where(finite, draws, -np.inf)),
        upper=np.sort(np.where(finite, draws, np.inf)),
        degrees=_degrees(jackknife[np.isfinite(jackknife)], n),
        wider=math.sqrt(n / (n - 1)),
    )


def bounded_mean_contrast(
    values: npt.ArrayLike, *, lowest: float, highest: float, seed: int, resamples: int = 2_000
) -> Contrast:
    """Bound the mean of values that cannot lie beyond two known ends, such as differences of F1, however rare they are.

    Where two runs differ in few units, those that do not occur among these units matter, and a plain bootstrap does not
    know of them: where one unit in 100 is lost, none of 100 is in 37 of 100 tries, and it claims that none ever is. So
    each bound is that quantile of drawn means which is found if one more unit had been seen, the worst possible one.
    With no difference among n units that is 3 / n times the worst one, as the exact interval of a share has it
    (the rule of three).

    Args:
        values: [n], independent.
        lowest: No value can be less.
        highest: No value can be more.
        seed: Of the generator that draws.
        resamples: How many data sets are drawn, at least 100.

    Raises:
        ValueError: if values are none or not finite, or lie beyond the ends, or there are too few resamples.

    Source:
        The percentile interval of Efron and Tibshirani, An Introduction to the Bootstrap, Chapman and Hall 1993,
        chapter 13; that one more unit makes it hold for rare differences is shown by simulation
        (`benchmarks/paired_coverage.py`), and for values that are 0 or 1 by comparison with Clopper and Pearson's
        interval.

    Example:
        >>> same = bounded_mean_contrast(np.zeros(500), lowest=-1, highest=1, seed=1).interval(level=0.9)
        >>> round(500 * same.low), round(500 * same.high)
        (-3, 3)
    """
    vector = float_vector(values)
    if not lowest <= vector.min() <= vector.max() <= highest:
        raise ValueError(f"values must lie between {lowest!r} and {highest!r}, got {vector.min()} to {vector.max()}")
    if resamples < _FEWEST_RESAMPLES:
        raise ValueError(f"resamples must be at least {_FEWEST_RESAMPLES}, got {resamples!r}")
    n, rng = vector.size + 1, np.random.default_rng(seed)
    sides = np.stack([np.append(vector, lowest), np.append(vector, highest)], axis=1)
    drawn = _drawn(n, resamples, max(1, _CHUNK_ELEMENTS // n), rng)
    means = np.sort(np.concatenate([counts @ sides / n for counts in drawn]), axis=0)
    return _DrawnContrast(measured=float(vector.mean()), lower=means[:, 0], upper=means[:, 1])


def grown_mean_contrast(
    values: npt.ArrayLike, *, n: int, lowest: float, highest: float, seed: int, resamples: int = 20_000
) -> Contrast:
    """Tell about what `bounded_mean_contrast` will say of n units that are like these, without drawing n units.

    The mean of those that are drawn is taken for a normal, and how often the unseen unit is among them for Poisson's.

    Args:
        values: [any number], independent.
        n: How many units there will be.
        lowest: No value can be less.
        highest: No value can be more.
        seed: Of the generator that draws.
        resamples: How many means are drawn.

    Example:
        >>> same = grown_mean_contrast(np.zeros(9), n=500, lowest=-1, highest=1, seed=1).interval(level=0.9)
        >>> round(500 * same.low), round(500 * same.high)
        (-3, 3)
    """
    vector, rng = float_vector(values), np.random.default_rng(seed)
    mean, error = float(vector.mean()), float(vector.std()) / math.sqrt(n)
    drawn, unseen = mean + error * rng.standard_normal(resamples), rng.poisson(1.0, resamples) / (n + 1)
    lower, upper = (np.sort(drawn + unseen * (end - drawn)) for end in (lowest, highest))
    return _DrawnContrast(measured=mean, lower=lower, upper=upper)


def _drawn(n: int, resamples: int, step: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.float64]]:
    """Yield how often each of n units is in each of some data sets, float64[draws, n]."""
    for first in range(0, resamples, step):
        rows = min(step, resamples - first)
        places = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, np.newaxis]
        yield np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _without(n: int, left_out: npt.NDArray[np.intp], step: int) -> Iterator[npt.NDArray[np.float64]]:
    """Yield data sets in which one of n units is left out, float64[draws, n]."""
    for first in range(0, len(left_out), step):
        chosen = left_out[first : first + step]
        counts = np.ones((len(chosen), n))
        counts[np.arange(len(chosen)), chosen] = 0.0
        yield counts


def _degrees(jackknife: npt.NDArray[np.float64], n: int) -> float:
    """Degrees of freedom of the spread, from the kurtosis of the units' influence; some of many units tell it."""
    influence = jackknife - jackknife.mean() if jackknife.size else jackknife
    square = float((influence**2).mean()) if influence.size else 0.0
    if square**2 <= 0:
        return float(n - 1)
    kurtosis = float((influence**4).mean()) / square**2
    return min(n - 1.0, 2 * n / max(kurtosis - 1, 1.0))
