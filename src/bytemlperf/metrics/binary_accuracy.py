"""Accuracy of a click predictor at the threshold 0.5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.metrics.click_scores import ClickScores, both_probabilities, click_scores
from bytemlperf.metrics.estimate import Metrics
from bytemlperf.metrics.shares import bytemlperf_share, share_estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bytemlperf.sample import Array

_THRESHOLD: Final = 0.5
_DEFINITION: Final = (
    "share of samples for which a probability above 0.5 means a click and else none; exact binomial interval"
)
_BYTEMLPERF: Final = (
    "ByteMLPerf's formula, for comparison only: which of both probabilities is the larger if they are rounded (0.5 to "
    "0; of equals the first; where the model gives one, the other is 1 less it); the share rounded to 5 decimals; "
    "exact binomial interval"
)


@attrs.frozen(kw_only=True)
class BinaryAccuracyState:
    """Counts so far.

    Attributes:
        n: Samples.
        right: Those on the right side of 0.5.
        right_bytemlperf: Those that are right by ByteMLPerf's formula.
        clicked: Those that were clicked.
    """

    n: int = 0
    right: int = 0
    right_bytemlperf: int = 0
    clicked: int = 0


class BinaryAccuracy:
    """Share of samples on the right side of 0.5.

    Where clicks are rare, a model that never expects one already has a high share: the figure's note says which.
    A NaN is wrong.

    Attributes:
        name: `binary_accuracy`.
        higher_is_better: True.
    """

    def __init__(self) -> None:
        """Take no options."""
        self.name = "binary_accuracy"
        self.higher_is_better = True

    def initial(self) -> BinaryAccuracyState:
        """Return the state before the first sample."""
        return BinaryAccuracyState()

    def update(self, state: BinaryAccuracyState, outputs: Mapping[str, Array], labels: Array) -> BinaryAccuracyState:
        """Return the state after more samples; see `click_scores` for what is taken.

        Raises:
            MalformedOutputError: If there are no probabilities.
            DatasetError: If a label is neither 0 nor 1.
        """
        scores = click_scores(outputs, labels)
        return BinaryAccuracyState(
            n=state.n + len(scores.clicked),
            right=state.right + int(_is_right(scores).sum()),
            right_bytemlperf=state.right_bytemlperf + int((_by_rounding(outputs, scores) == scores.clicked).sum()),
            clicked=state.clicked + int(scores.clicked.sum()),
        )

    def right(self, outputs: Mapping[str, Array], labels: Array) -> NDArray[np.bool_]:
        """Return bool[n], which samples are right.

        Raises:
            MalformedOutputError: As `update`.
            DatasetError: As `update`.
        """
        return _is_right(click_scores(outputs, labels))

    def compute(self, state: BinaryAccuracyState) -> Metrics:
        """Return `accuracy/binary_accuracy` and, as ByteMLPerf rounds it, `accuracy/binary_accuracy.bytemlperf`."""
        figure = share_estimate(state.right, state.n, _DEFINITION)
        if state.n:
            constant = max(state.clicked, state.n - state.clicked) / state.n
            figure = figure.noted(f"one answer for every sample would have {constant:.4f}")
        theirs = bytemlperf_share(state.right_bytemlperf, state.n, _BYTEMLPERF).noted(figure.note)
        return Metrics({"accuracy/binary_accuracy": figure, "accuracy/binary_accuracy.bytemlperf": theirs})


def _by_rounding(outputs: Mapping[str, Array], scores: ClickScores) -> NDArray[np.int64]:
    """Return int64[n], 1 where ByteMLPerf's formula says that there is a click."""
    found: NDArray[np.int64] = np.round(both_probabilities(outputs, len(scores.clicked))).argmax(axis=1)
    return found


def _is_right(scores: ClickScores) -> NDArray[np.bool_]:
    is_right: NDArray[np.bool_] = ((scores.probability > _THRESHOLD) == scores.clicked) & ~np.isnan(scores.probability)
    return is_right
