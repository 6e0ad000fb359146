"""Area under the ROC curve of a click predictor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from bytemlperf.metrics.click_scores import ClickScores, ScoresState, click_scores
from bytemlperf.metrics.estimate import Estimate, Metrics
from bytemlperf.metrics.moments import Moments
from bytemlperf.metrics.units import MOST_UNITS, Units
from bytemlperf.statistics.interval import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bytemlperf.metrics.units import Figure, Weighed
    from bytemlperf.sample import Array

_AT_ONCE: Final = 2**16
_SIDES: Final = ("left", "right")
_NORMAL_95: Final = 1.959963984540054
_DEFINITION: Final = (
    "probability that a click has a larger score than what was not clicked, equal scores counting half; "
    "DeLong's interval"
)


def area(values: NDArray[np.float64]) -> Weighed:
    """Return how the area follows from how often each sample counts; NaN without a click, or without any other.

    Args:
        values: float64[n, 2], score (may be infinite) and whether there was a click, 1 or 0.
    """
    order = np.argsort(values[:, 0], kind="stable")
    scores, clicked = values[order, 0], values[order, 1]
    of_equals = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))[: len(scores)]

    def areas(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        drawn = weights[:, order]
        clicks, others = (np.add.reduceat(drawn * side, of_equals, axis=1) for side in (clicked, 1.0 - clicked))
        below = np.cumsum(others, axis=1) - others / 2  # of equal scores half lies below
        found: NDArray[np.float64] = (clicks * below).sum(axis=1) / (clicks.sum(axis=1) * others.sum(axis=1))
        return found

    return areas


class Auc:
    """Area under the receiver operating characteristic, from every sample's probability.

    A NaN ranks on the wrong side of everything: below for a click, above for none.

    Attributes:
        name: `auc`.
        higher_is_better: True.
        figures: It is computed anew from the samples that are drawn.

    Source: E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, Comparing the Areas under Two or More Correlated
        Receiver Operating Characteristic Curves, Biometrics 44(3), 1988; X. Sun and W. Xu, Fast Implementation of
        DeLong's Algorithm, IEEE Signal Processing Letters 21(11), 2014.

    Example:
        >>> metric = Auc()
        >>> state = metric.update(metric.initial(), {"p": np.array([0.1, 0.4, 0.35, 0.8])}, np.array([0, 0, 1, 1]))
        >>> metric.compute(state)["accuracy/auc"].value
        0.75
    """

    figures: ClassVar[Mapping[str, Figure]] = {"accuracy/auc": area}

    def __init__(self) -> None:
        """Take no options."""
        self.name = "auc"
        self.higher_is_better = True

    def initial(self) -> ScoresState:
        """Return the state before the first sample."""
        return ScoresState()

    def update(self, state: ScoresState, outputs: Mapping[str, Array], labels: Array) -> ScoresState:
        """Return the state after more samples; see `click_scores` for what is taken.

        Raises:
            MalformedOutputError: If there are no probabilities.
            DatasetError: If a label is neither 0 nor 1.
        """
        return state.with_more(click_scores(outputs, labels))

    def compute(self, state: ScoresState) -> Metrics:
        """Return `accuracy/auc`; without a value where all labels are equal."""
        scores = state.joined()
        clicks, others = _sides(scores)
        n, nan = len(scores.clicked), int(np.isnan(scores.probability).sum())
        if not len(clicks) or not len(others):
            note = "all labels are equal" if n else "no samples"
            return Metrics({"accuracy/auc": Estimate(value=None, unit="1", definition=_DEFINITION, note=note)})
        value, error = _delong(clicks, others)
        low, high = max(0.0, value - _NORMAL_95 * error), min(1.0, value + _NORMAL_95 * error)
        interval = Interval(low=low, high=high, level=0.95)
        figure = Estimate(value=value, unit="1", n=n, definition=_DEFINITION).within(interval)
        return Metrics({"accuracy/auc": figure.noted(f"{nan} scores are NaN and rank as wrong" if nan else "")})

    def units(self, state: ScoresState) -> Units:
        """Return each sample's score, infinitely wrong where it is NaN, and whether there was a click."""
        scores = state.joined(most=MOST_UNITS)
        values = np.stack([scores.probability, scores.clicked], axis=1).astype(np.float64)
        values[np.isnan(values[:, 0]) & scores.clicked, 0] = -np.inf
        values[np.isnan(values[:, 0]), 0] = np.inf
        return Units(ids=np.arange(len(values)), values=values)


def _sides(scores: ClickScores) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the scores of clicks and of others, each in ascending order."""
    sides = (scores.probability[scores.clicked], scores.probability[~scores.clicked])
    for side, wrong_end in zip(sides, (-np.inf, np.inf), strict=True):
        side[np.isnan(side)] = wrong_end
        side.sort()
    return sides


def _delong(clicks: NDArray[np.floating], others: NDArray[np.floating]) -> tuple[float, float]:
    """Return the area and its standard error."""
    below = _placements(clicks, others)  # of each click: the share of others below it
    above = _placements(others, clicks)  # of each other: the share of clicks below it, which varies as that above it
    variance = sum(part.squares / (part.n - 1) / part.n for part in (below, above) if part.n > 1)
    return below.mean, math.sqrt(variance)


def _placements(values: NDArray[np.floating], among: NDArray[np.floating]) -> Moments:
    """Return the moments of the share of `among` below each value, equal ones counting half; both are sorted."""
    found = Moments()
    for start in range(0, len(values), _AT_ONCE):
        below, up_to = (np.searchsorted(among, values[start : start + _AT_ONCE], side=side) for side in _SIDES)
        found = found.plus(Moments.of((below + up_to) / (2.0 * len(among))))
    return found
