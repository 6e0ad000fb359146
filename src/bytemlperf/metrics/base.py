"""What makes figures: pure functions of answers and labels, or of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from bytemlperf.metrics.estimate import Estimate
    from bytemlperf.sample import Array
    from bytemlperf.trace import Trace


class SampleMetric(Protocol):
    """A figure over answers and labels, built up batch by batch.

    Attributes:
        name: Name in reports, such as `top1`.
        higher_is_better: Which way is good.
    """

    name: str
    higher_is_better: bool

    def initial(self) -> Any:  # noqa: ANN401 - each metric's own state
        """Return the state before the first sample."""

    def update(self, state: Any, outputs: Mapping[str, Array], labels: Array) -> Any:  # noqa: ANN401 - as above
        """Return the state after more samples; the given state is not changed.

        Args:
            state: From `initial` or `update`.
            outputs: Answers by canonical name, padding taken off.
            labels: What they should be, one for each sample.
        """

    def compute(self, state: Any) -> Mapping[str, Estimate]:  # noqa: ANN401 - as above
        """Return the figures by name (`accuracy/top1`), with their intervals."""


@runtime_checkable
class RightOrWrong(Protocol):
    """What a metric adds whose figure is a share of samples: which ones, so that two runs can be paired."""

    name: str

    def right(self, outputs: Mapping[str, Array], labels: Array) -> NDArray[np.bool_]:
        """Return bool[n], which samples are right; their share is the metric's first figure.

        Args:
            outputs: As for `SampleMetric.update`.
            labels: As for `SampleMetric.update`.
        """


@runtime_checkable
class Scored(Protocol):
    """What a metric adds whose figure is the mean of a score of each sample, such as F1 or the log loss."""

    name: str

    def scores(self, outputs: Mapping[str, Array], labels: Array) -> NDArray[np.float64]:
        """Return float64[n], each sample's score; their mean is the metric's first figure.

        Args:
            outputs: As for `SampleMetric.update`.
            labels: As for `SampleMetric.update`.
        """


def sample_scores(metric: SampleMetric, outputs: Mapping[str, Array], labels: Array) -> NDArray[np.float64] | None:
    """Return what a metric says of each sample, [n]; None where its figure is no mean over samples.

    Args:
        metric: One that is `RightOrWrong` gives 1 where a sample is right and 0 where it is wrong.
        outputs: As for `SampleMetric.update`.
        labels: As for `SampleMetric.update`.
    """
    if isinstance(metric, RightOrWrong):
        return metric.right(outputs, labels).astype("float64")
    return metric.scores(outputs, labels) if isinstance(metric, Scored) else None


class TraceMetric(Protocol):
    """A figure over the events of a run."""

    def __call__(self, trace: Trace) -> Mapping[str, Estimate]:
        """Return the figures by name."""
