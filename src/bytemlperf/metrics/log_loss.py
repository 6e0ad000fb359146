"""Log loss of a click predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.metrics.click_scores import ClickScores, click_scores
from bytemlperf.metrics.estimate import Estimate, Metrics, joined
from bytemlperf.metrics.moments import Moments
from bytemlperf.statistics import mean_interval_of_moments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bytemlperf.sample import Array

_LEAST: Final = float(np.finfo(np.float64).eps)
_DEFINITION: Final = (
    "mean of -log of the probability given to what happened, in nats, in float64; probabilities are kept 2.2e-16 away "
    "from 0 and 1, as scikit-learn does; Student's interval"
)


@attrs.frozen(kw_only=True)
class LossState:
    """Sums so far, of the same size for any number of samples.

    Attributes:
        losses: Of all samples, in nats.
        with_nan: Samples whose probability is NaN.
        certain: Samples that were wrong with certainty.
    """

    losses: Moments = attrs.field(factory=Moments)
    with_nan: int = 0
    certain: int = 0


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

    def initial(self) -> LossState:
        """Return the state before the first sample."""
        return LossState()

    def update(self, state: LossState, outputs: Mapping[str, Array], labels: Array) -> LossState:
        """Return the state after more samples; see `click_scores` for what is taken.

        Raises:
            MalformedOutputError: If there are no probabilities.
            DatasetError: If a label is neither 0 nor 1.
        """
        scores = click_scores(outputs, labels)
        certain = ((scores.probability == 0) & scores.clicked) | ((scores.probability == 1) & ~scores.clicked)
        return LossState(
            losses=state.losses.plus(Moments.of(_losses(scores))),
            with_nan=state.with_nan + int(np.isnan(scores.probability).sum()),
            certain=state.certain + int(certain.sum()),
        )

    def compute(self, state: LossState) -> Metrics:
        """Return `accuracy/log_loss`, in nats."""
        n, mean = state.losses.n, state.losses.mean
        if not n:
            empty = Estimate(value=None, unit="nat", definition=_DEFINITION, note="no samples")
            return Metrics({"accuracy/log_loss": empty})
        note = joined(
            f"{state.with_nan} scores are NaN" if state.with_nan else "",
            f"{state.certain} samples were wrong with certainty" if state.certain else "",
        )
        figure = Estimate(value=mean, unit="nat", n=n, definition=_DEFINITION, note=note)
        interval = mean_interval_of_moments(n, mean, state.losses.squares / n)
        return Metrics({"accuracy/log_loss": figure.within(interval)})

    def scores(self, outputs: Mapping[str, Array], labels: Array) -> NDArray[np.float64]:
        """Return each sample's loss in nats, float64[n]: two runs are compared by them in pairs.

        Raises:
            MalformedOutputError: If there are no probabilities.
            DatasetError: If a label is neither 0 nor 1.
        """
        return _losses(click_scores(outputs, labels))


def _losses(scores: ClickScores) -> NDArray[np.float64]:
    probability = scores.probability.astype(np.float64)
    given = np.where(scores.clicked, probability, 1.0 - probability)
    given = np.where(np.isnan(given), 0.0, given)
    losses: NDArray[np.float64] = -np.log(np.clip(given, _LEAST, 1.0 - _LEAST))
    return losses
