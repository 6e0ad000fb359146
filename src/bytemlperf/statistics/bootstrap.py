"""The interval of any statistic, by drawing the samples again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from bytemlperf.statistics._distributions import normal_probability, normal_quantile
from bytemlperf.statistics._vectors import check_finite
from bytemlperf.statistics.interval import Interval, check_level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

Statistic: TypeAlias = "Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]"
"""Reduces many drawn data sets at once: takes [rows, n] or [rows, n, columns], gives one figure per row, [rows]."""

_CHUNK_ELEMENTS = 1_000_000


def bootstrap_interval(
    values: npt.ArrayLike,
    statistic: Statistic,
    *,
    seed: int,
    resamples: int = 2_000,
    level: float = 0.95,
) -> Interval:
    """Bound a figure of independent samples for which no formula is known (F1, WER, a ratio of sums).

    The samples are drawn with replacement, the figure is computed from each drawing, and the interval lies between two
    of its quantiles, corrected for bias and skewness (BCa). The same seed gives the same interval. With fewer than some
    20 samples it is too narrow, and it has no width where the figure is the same for every drawing: use
    `binomial_interval` for a share and `mean_interval` for a few repeats.

    Args:
        values: [n], or [n, columns] where a sample is several numbers (errors and words of a sentence).
        statistic: Reduces [rows, n] or [rows, n, columns] to [rows]; must not change its argument.
        seed: Of the generator that draws.
        resamples: How many data sets are drawn.
        level: Confidence.

    Returns:
        Bounds in the figure's unit; infinite if there is one sample only.

    Raises:
        ValueError: if values is empty or not finite, if statistic does not give one finite figure per row, or unless
            resamples >= 100 and 0 < level < 1.

    Source:
        Efron, Better Bootstrap Confidence Intervals, Journal of the American Statistical Association 82(397), 1987,
        pp. 171-185.

    Example:
        >>> errors_and_words = [[1, 10], [0, 12], [2, 8], [0, 9]] * 25
        >>> word_error_rate = lambda rows: rows[..., 0].sum(axis=1) / rows[..., 1].sum(axis=1)
        >>> bootstrap_interval(errors_and_words, word_error_rate, seed=1).contains(3 / 39)
        True
    """
    check_level(level)
    samples = _checked_samples(values, resamples=resamples)
    if len(samples) == 1:
        return Interval(low=-math.inf, high=math.inf, level=level)
    rng = np.random.default_rng(seed)
    figures = _figures(samples, statistic, _drawn_indices(len(samples), rows=resamples, rng=rng))
    bias = _bias(figures, estimate=float(_checked(statistic(samples[np.newaxis]), rows=1)[0]))
    left_out = np.sort(rng.permutation(len(samples))[:resamples])
    jackknife = _figures(samples, statistic, _jackknife_indices(left_out, n=len(samples)))
    acceleration = _acceleration(jackknife, len(samples))
    tails = [_corrected(tail, bias=bias, acceleration=acceleration) for tail in ((1 - level) / 2, (1 + level) / 2)]
    low, high = np.quantile(figures, tails)
    return Interval(low=low, high=high, level=level)


def _checked_samples(values: npt.ArrayLike, *, resamples: int) -> npt.NDArray[np.float64]:
    samples = np.asarray(values, dtype=np.float64)
    if samples.ndim not in {1, 2} or samples.size == 0:
        raise ValueError(f"values must be [n] or [n, columns] and not empty, got shape {samples.shape}")
    check_finite(samples, name="values")
    if resamples < 100:  # noqa: PLR2004 - below it the tails of 0.025 are made of two or three figures
        raise ValueError(f"resamples must be at least 100, got {resamples!r}")
    return samples


def _figures(
    samples: npt.NDArray[np.float64], statistic: Statistic, chunks: Iterator[npt.NDArray[np.intp]]
) -> npt.NDArray[np.float64]:
    return np.concatenate([_checked(statistic(samples[chunk]), rows=len(chunk)) for chunk in chunks])


def _checked(figures: npt.ArrayLike, *, rows: int) -> npt.NDArray[np.float64]:
    result = np.asarray(figures, dtype=np.float64)
    if result.shape != (rows,):
        raise ValueError(f"statistic must give one figure per row, shape ({rows},), but gave {result.shape}")
    check_finite(result, name="the statistic's figures")
    return result


def _row_chunks(rows: int, n: int) -> Iterator[slice]:
    step = max(1, _CHUNK_ELEMENTS // n)
    return (slice(first, min(first + step, rows)) for first in range(0, rows, step))


def _drawn_indices(n: int, *, rows: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.intp]]:
    for chunk in _row_chunks(rows, n):
        yield rng.integers(n, size=(chunk.stop - chunk.start, n), dtype=np.intp)


def _jackknife_indices(left_out: npt.NDArray[np.intp], *, n: int) -> Iterator[npt.NDArray[np.intp]]:
    """Yield rows [chunk, n - 1] that count from 0 to n - 1 but leave one out."""
    kept = np.arange(n - 1)
    for chunk in _row_chunks(len(left_out), n):
        yield kept + (kept >= left_out[chunk, np.newaxis])


def _acceleration(jackknife: npt.NDArray[np.float64], n: int) -> float:
    """A sixth of the skewness of the samples' influence, over sqrt(n); some of many samples suffice to estimate it."""
    influence = jackknife.mean() - jackknife
    variance = float((influence**2).mean())
    if variance <= 0:
        return 0.0
    return float((influence**3).mean()) / (variance * math.sqrt(variance)) / (6 * math.sqrt(n))


def _bias(figures: npt.NDArray[np.float64], *, estimate: float) -> float:
    """How far the estimate lies from the middle of the drawn figures, in standard deviations of a normal."""
    below = float((figures < estimate).mean() + (figures == estimate).mean() / 2)
    edge = 0.5 / figures.size
    return normal_quantile(min(max(below, edge), 1 - edge))


def _corrected(probability: float, *, bias: float, acceleration: float) -> float:
    shifted = bias + normal_quantile(probability)
    # A denominator not above 0 means the far end of the figures.
    return normal_probability(bias + shifted / max(1 - acceleration * shifted, 1e-9))
