"""Throughput and its interval, from the times of completion."""

from __future__ import annotations

import math

import attrs
import numpy as np
import numpy.typing as npt

from bytemlperf.statistics._distributions import student_t_two_sided
from bytemlperf.statistics._vectors import float_vector, real_vector
from bytemlperf.statistics.contrasts import StandardError
from bytemlperf.statistics.interval import Interval, check_level
from bytemlperf.statistics.mean import effective_sample_size

_NS_PER_S = 1e9
_BATCHES = 20
"""Schmeiser: 10 to 30 batches; more gain next to nothing, and make each too short to forget the one before."""


@attrs.frozen(kw_only=True)
class _Work:
    """What was done in consecutive spans of time that leave no gap: arrays [n] of equal length."""

    weights: npt.NDArray[np.float64]
    spans_ns: npt.NDArray[np.float64]


def rate_per_s(done_ns: npt.ArrayLike, *, weights: npt.ArrayLike | None = None, start_ns: int | None = None) -> float:
    """Divide the work done by the time that it took, never rounded.

    Args:
        done_ns: Times of completion, [n], integers in ns on one clock, in any order.
        weights: What each completion counts for, [n], such as its samples or tokens; 1 each by default.
        start_ns: When the time begins: usually when the first query was issued. By default it begins with the first
            completion, which then does not count itself (n - 1 completions in the time between first and last).

    Returns:
        sum of weights / (last completion - start), per second.

    Raises:
        ValueError: if done_ns is empty, not of integers or earlier than start_ns; if weights are negative, not finite
            or not as many; if no time passes.

    Source:
        Work over time. MLPerf LoadGen's Server figure is another: n - 1 over the time from the start of the run to the
        final completion (results.cc, mlcommons/inference at b66003e).

    Example:
        >>> rate_per_s([100, 200, 300], weights=[8, 8, 8], start_ns=0)
        80000000.0
    """
    ratio = _per_ns(_work(done_ns, weights=weights, start_ns=start_ns))
    if ratio is None:
        raise ValueError("the completions span no time: give start_ns, or completions that differ")
    return ratio * _NS_PER_S


def rate_interval(
    done_ns: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    start_ns: int | None = None,
    level: float = 0.95,
) -> Interval:
    """Bound the steady throughput behind `rate_per_s`, for a closed loop.

    The completions, in order of time, are cut into 20 consecutive batches of equal count (fewer if there are fewer).
    The rate is the ratio of the mean weight of a batch to its mean span, and the interval is Fieller's for a ratio of
    means, with Student's t. Batches may still be alike (a machine that throttles): the effective number of batches
    stands for their number, so drift widens the interval. Completions in bursts widen it too if batches are not much
    longer than a burst. It speaks of this run: what differs from process to process only repeats show. It holds
    `rate_per_s` of the same arguments.

    Args:
        done_ns: As `rate_per_s`.
        weights: As `rate_per_s`.
        start_ns: As `rate_per_s`.
        level: Confidence.

    Returns:
        Bounds per second, not below 0; 0 to infinity if there are fewer than two batches or they differ too much.

    Raises:
        ValueError: as `rate_per_s`, and unless 0 < level < 1; but not if too little was completed, or in no time.

    Source:
        Schmeiser, Batch Size Effects in the Analysis of Simulation Output, Operations Research 30(3), 1982,
        pp. 556-568; Fieller, Some Problems in Interval Estimation, Journal of the Royal Statistical Society B 16(2),
        1954, pp. 175-185; for the effective number see `effective_sample_size`.
    """
    check_level(level)
    work = _work(done_ns, weights=weights, start_ns=start_ns)
    ratio = _per_ns(work)
    if ratio is None:
        return Interval(low=0.0, high=math.inf, level=level)
    return _ratio_interval(_batched(work), ratio=ratio, level=level).scaled(_NS_PER_S)


def rate_error(
    done_ns: npt.ArrayLike, *, weights: npt.ArrayLike | None = None, start_ns: int | None = None
) -> StandardError:
    """Return `rate_per_s` and its standard error, from the same batches as `rate_interval`.

    The error is that of the mean of weight - rate * span over the batches, over the mean span (first order); infinite
    if there are fewer than two batches.

    Args:
        done_ns: As `rate_per_s`.
        weights: As `rate_per_s`.
        start_ns: As `rate_per_s`.

    Raises:
        ValueError: as `rate_per_s`.

    Source:
        See `rate_interval`; first order: Cochran, Sampling Techniques, 3rd edition, Wiley 1977, section 6.4.
    """
    rate = rate_per_s(done_ns, weights=weights, start_ns=start_ns)
    work = _batched(_work(done_ns, weights=weights, start_ns=start_ns))
    residuals = work.weights - rate / _NS_PER_S * work.spans_ns
    count = effective_sample_size(residuals)
    if count <= 1:
        return StandardError(value=rate, below=math.inf, above=math.inf)
    error = _NS_PER_S * math.sqrt(float(residuals.var()) / (count - 1)) / float(work.spans_ns.mean())
    return StandardError(value=rate, below=error, above=error, degrees=count - 1)


def _per_ns(work: _Work) -> float | None:
    span_ns = float(work.spans_ns.sum())
    return float(work.weights.sum()) / span_ns if span_ns > 0 else None


def _work(done_ns: npt.ArrayLike, *, weights: npt.ArrayLike | None, start_ns: int | None) -> _Work:
    done = real_vector(done_ns, name="done_ns")
    if done.dtype.kind == "f":
        raise ValueError(f"done_ns must be integers, got dtype {done.dtype}")
    counted = _checked_weights(weights, n=done.size)
    order = np.argsort(done, kind="stable")
    ordered, counted = done[order].astype(np.int64, copy=False), counted[order]
    if start_ns is None:
        return _Work(weights=counted[1:], spans_ns=np.diff(ordered).astype(np.float64))
    if ordered[0] < start_ns:
        raise ValueError(f"a completion at {ordered[0]} ns is earlier than start_ns={start_ns}")
    return _Work(weights=counted, spans_ns=np.diff(ordered, prepend=start_ns).astype(np.float64))


def _checked_weights(weights: npt.ArrayLike | None, *, n: int) -> npt.NDArray[np.float64]:
    if weights is None:
        return np.ones(n)
    counted = float_vector(weights, name="weights")
    if counted.size != n or counted.min() < 0:
        raise ValueError(f"weights must be {n} numbers not below 0, got {counted.size}, least {counted.min()}")
    return counted


def _batched(work: _Work) -> _Work:
    n = work.spans_ns.size
    batches = min(_BATCHES, n)
    firsts = np.arange(batches) * n // batches
    return _Work(weights=np.add.reduceat(work.weights, firsts), spans_ns=np.add.reduceat(work.spans_ns, firsts))


def _ratio_interval(work: _Work, *, ratio: float, level: float) -> Interval:
    """All ratios r for which Student's test does not refuse that mean(weights - r * spans) = 0."""
    residuals = work.weights - ratio * work.spans_ns
    count = effective_sample_size(residuals)
    if count <= 1:
        return Interval(low=0.0, high=math.inf, level=level)
    scale = student_t_two_sided(level, degrees=count - 1) ** 2 / (count - 1)
    return _fieller(residuals, work.spans_ns, ratio=ratio, scale=scale, level=level)


def _fieller(
    residuals: npt.NDArray[np.float64],
    spans_ns: npt.NDArray[np.float64],
    *,
    ratio: float,
    scale: float,
    level: float,
) -> Interval:
    """Solve for the deviation x from the ratio: mean(span)^2 * x^2 <= scale * var(residual - x * span)."""
    spread = np.cov(residuals, spans_ns, ddof=0) * scale
    noise, joint, jitter = float(spread[0, 0]), float(spread[0, 1]), float(spread[1, 1])
    steadiness = float(spans_ns.mean()) ** 2 - jitter
    if steadiness <= 0:  # a mean span of next to nothing, and so any rate however great, would not be refused
        return Interval(low=0.0, high=math.inf, level=level)
    root = math.sqrt(joint**2 + steadiness * noise)
    low, high = ratio + (-joint - root) / steadiness, ratio + (-joint + root) / steadiness
    return Interval(low=max(low, 0.0), high=high, level=level)
