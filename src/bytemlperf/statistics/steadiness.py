"""Whether a series in order of time is one thing from beginning to end: how it starts, and whether it drifts."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.statistics._distributions import brownian_bridge_above, student_t_above
from bytemlperf.statistics._vectors import float_vector
from bytemlperf.statistics.mean import effective_sample_size

if TYPE_CHECKING:
    import numpy.typing as npt

_MSER_BATCH: Final = 5
_MSER_FEWEST: Final = 10
"""Batches below which nothing is said of a start."""
_BLOCKS: Final = 40
_FEWEST_BLOCKS: Final = 10
_FEWEST_IN_BLOCK: Final = 5
"""A drift is looked for in medians of blocks, so that one stray value does not pass for one."""
_FEWEST_WORTH: Final = 10.0
"""Residuals worth less do not tell a drift from a long memory: then none is stated."""


@attrs.frozen(kw_only=True)
class Start:
    """How much of a series' beginning is not yet its steady state.

    Attributes:
        truncated: Leading values to leave out; 0 for none.
        settled: Whether what is left is steady: false if the best cut lies at the last place that is looked at.
        mean: Of all values.
        steady_mean: Of the values that are left.
    """

    truncated: int
    settled: bool
    mean: float
    steady_mean: float


def steady_start(values: npt.ArrayLike) -> Start | None:
    """Find how many leading values to leave out, so that the mean of the rest is known best: MSER-5.

    Of the means of five neighbours each, the first d are left out for which the squared standard error of the mean of
    the others (their variance over their number) is least; d is at most half of them.

    Args:
        values: Array [n] in order of time, in any unit.

    Returns:
        None for fewer than 50 values, of which too little can be said.

    Raises:
        ValueError: if values is empty, not one-dimensional or not finite.

    Source:
        White, Cobb and Spratt, A Comparison of Five Steady-State Truncation Heuristics for Simulation, Winter
        Simulation Conference 2000, pp. 755-760.

    Example:
        >>> steady_start([9.0] * 20 + [1.0, 2.0] * 50).truncated
        20
    """
    vector = float_vector(values)
    count = vector.size // _MSER_BATCH
    if count < _MSER_FEWEST:
        return None
    batches = vector[: count * _MSER_BATCH].reshape(count, _MSER_BATCH).mean(axis=1)
    errors = _errors_of_rest(batches)[: count // 2 + 1]
    best = int(errors.argmin())
    cut = best * _MSER_BATCH
    return Start(
        truncated=cut,
        settled=best < count // 2,
        mean=float(vector.mean()),
        steady_mean=float(vector[cut:].mean()),
    )


def _errors_of_rest(batches: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return, for each d, the squared standard error of the mean of `batches[d:]`."""
    centred = batches - batches.mean()  # else the squares would lose the digits that differ
    left = np.arange(batches.size, 0, -1)
    sums = np.cumsum(centred[::-1])[::-1]
    squares = np.cumsum(centred[::-1] ** 2)[::-1]
    errors: npt.NDArray[np.float64] = (squares - sums**2 / left) / left**2
    return errors


@attrs.frozen(kw_only=True)
class Drift:
    """How a series moves from its beginning to its end.

    Attributes:
        trend: Change of the fitted line from first to last value, as a share of the series' median.
        trend_p: Against "there is no trend".
        shift: Change of the median at the most likely single step, as a share of that before it.
        shift_at: Number of values before that step.
        shift_p: Against "there is no step".
        stepwise: Whether the step fits the series better than the line.
    """

    trend: float
    trend_p: float
    shift: float
    shift_at: int
    shift_p: float
    stepwise: bool

    @property
    def p(self) -> float:
        """Against "the series stays as it is", with two tests allowed for."""
        return min(1.0, 2 * min(self.trend_p, self.shift_p))

    @property
    def size(self) -> float:
        """The change by whichever of step and line fits better."""
        return self.shift if self.stepwise else self.trend

    def shown(self, *, level: float = 0.99, least: float = 0.05) -> bool:
        """Whether there is shown to be a drift, and it is one that matters.

        Args:
            level: Confidence.
            least: Share below which a change does not matter.
        """
        return self.p <= 1 - level and abs(self.size) >= least


def drift(values: npt.ArrayLike) -> Drift | None:
    """Look for a trend and for a single step in a series in order of time.

    Both are looked for in the medians of up to 40 blocks of neighbours. The trend is a line fitted by least squares,
    with Student's t; the step is where the cumulated deviations from the mean go farthest, against the supremum of a
    Brownian bridge. In both the residuals' effective number stands for their number, so that a series with a memory
    does not pass for one that drifts.

    Args:
        values: Array [n] in order of time, above 0, in any unit.

    Returns:
        None for fewer than 50 values, or a median that is not above 0.

    Raises:
        ValueError: if values is empty, not one-dimensional or not finite.

    Source:
        Trend: Draper and Smith, Applied Regression Analysis, 3rd edition, Wiley 1998, chapter 1. Step: Ploberger and
        Kraemer, The CUSUM Test with OLS Residuals, Econometrica 60(2), 1992, pp. 271-285. Effective number: see
        `effective_sample_size`.
    """
    vector = float_vector(values)
    count = min(_BLOCKS, vector.size // _FEWEST_IN_BLOCK)
    middle = float(np.median(vector))
    if count < _FEWEST_BLOCKS or middle <= 0:
        return None
    firsts = np.arange(count + 1) * vector.size // count
    medians = np.array([np.median(vector[low:high]) for low, high in itertools.pairwise(firsts)])
    if np.ptp(medians) == 0:  # else rounding would look like a change
        return Drift(trend=0.0, trend_p=1.0, shift=0.0, shift_at=vector.size // 2, shift_p=1.0, stepwise=False)
    line, step = _line(medians), _step(medians)
    before, after = float(np.median(medians[: step.at])), float(np.median(medians[step.at :]))
    return Drift(
        trend=line.change / middle,
        trend_p=line.p,
        shift=after / before - 1 if before > 0 else math.inf,
        shift_at=int(firsts[step.at]),
        shift_p=step.p,
        stepwise=step.rest < line.rest,
    )


@attrs.frozen(kw_only=True)
class _Line:
    """A fitted line: change over all blocks, p-value, and the sum of squares that it leaves."""

    change: float
    p: float
    rest: float


@attrs.frozen(kw_only=True)
class _Step:
    """A fitted step: blocks before it, p-value, and the sum of squares that it leaves."""

    at: int
    p: float
    rest: float


def _line(blocks: npt.NDArray[np.float64]) -> _Line:
    x = (np.arange(blocks.size) - (blocks.size - 1) / 2) / blocks.size
    spread = float(x @ x)
    slope = float(x @ blocks) / spread
    residuals = blocks - blocks.mean() - slope * x
    rest, worth = float(residuals @ residuals), effective_sample_size(residuals)
    if worth < _FEWEST_WORTH:
        return _Line(change=slope, p=1.0, rest=rest)
    error = math.sqrt(rest / (worth - 2) / spread)
    return _Line(change=slope, p=_two_sided(slope, error, degrees=worth - 2), rest=rest)


def _two_sided(value: float, error: float, *, degrees: float) -> float:
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return 2 * student_t_above(abs(value) / error, degrees=degrees)


def _step(blocks: npt.NDArray[np.float64]) -> _Step:
    n = blocks.size
    walk = np.abs(np.cumsum(blocks - blocks.mean())[:-1])
    at = int(walk.argmax()) + 1
    residuals = np.concatenate([blocks[:at] - blocks[:at].mean(), blocks[at:] - blocks[at:].mean()])
    rest, worth = float(residuals @ residuals), effective_sample_size(residuals)
    if worth < _FEWEST_WORTH:
        return _Step(at=at, p=1.0, rest=rest)
    scale = math.sqrt(rest / (n - 2) * n / worth * n)
    return _Step(at=at, p=brownian_bridge_above(float(walk.max()) / scale) if scale else 0.0, rest=rest)
