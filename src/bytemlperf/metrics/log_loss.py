"""Log loss of a click predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from bytemlperf.metrics.click_scores import ClickScores, ScoresState, click_scores
from bytemlperf.metrics.estimate import Estimate, Metrics, joined
from bytemlperf.statistics import mean_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bytemlperf.sample import Array

_LEAST: Final = float(np.finfo(np.float64).eps)
_DEFINITION: Final = (
    "mean of -log of the probability given to what happened, in nats, in float64; probabilities are kept 2.2e-16 away "
    "from 0 and 1, as scikit-learn does; Student's interval"
)


class LogLoss:
    """Mean negative logarithm of the probability that was given to what happened.

    A NaN counts as the probability 0 of what happened.

    Attributes:
        name: `log_loss`.
        higher_is_better: False.

    Example:
        >>> metric = LogLoss()
        >>> state = metric.update(metric.initial(), {"p": np.array([0.9, 0.1])}, np.array([1, 0]))
        >>> round(metric.compute(state)["accuracy/log_loss"].value, 6)
        0.105361
    """

    def __init__(self) -> None:
        """Take no options."""
        self.name = "log_loss"
        self.higher_is_better = False

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
        """Return `accuracy/log_loss`, in nats."""
        scores = state.joined()
        n = len(scores.clicked)
        if not n:
            empty = Estimate(value=None, unit="nat", definition=_DEFINITION, note="no samples")
            return Metrics({"accuracy/log_loss": empty})
        nan = np.isnan(scores.probability)
        certain = ((scores.probability == 0) & scores.clicked) | ((scores.probability == 1) & ~scores.clicked)
        losses = _losses(scores)
        note = joined(_counted(nan, "scores are NaN"), _counted(certain, "samples were wrong with certainty"))
        figure = Estimate(value=float(losses.mean()), unit="nat", n=n, definition=_DEFINITION, note=note)
        return Metrics({"accuracy/log_loss": figure.within(mean_interval(losses))})

    def scores(self, outputs: Mapping[str, Array], labels: Array) -> NDArray[np.float64]:
        """Return each sample's loss in nats, float64[n]: two runs are compared by them in pairs.

        Raises:
            MalformedOutputError: If there are no probabilities.
            DatasetError: If a label is neither 0 nor 1.
        """
        return _losses(click_scores(outputs, labels))


def _losses(scores: ClickScores) -> NDArray[np.float64]:
    given = np.where(scores.clicked, scores.probability, 1.0 - scores.probability)
    given = np.where(np.isnan(given), 0.0, given)
    losses: NDArray[np.float64] = -np.log(np.clip(given, _LEAST, 1.0 - _LEAST))
    return losses


def _counted(which: Array, what: str) -> str:
    return f"{int(which.sum())} {what}" if which.any() else ""
