"""What makes figures: pure functions of answers and labels, or of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from bytemlperf.metrics.units import Mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from bytemlperf.metrics.estimate import Estimate
    from bytemlperf.metrics.units import Figure, Units
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
        """Return bool[n], which samples are right; their share is the figure `accuracy/<name>`.

        Args:
            outputs: As for `SampleMetric.update`.
            labels: As for `SampleMetric.update`.
        """


@runtime_checkable
class Scored(Protocol):
    """What a metric adds whose figure is the mean of a score of each sample, such as the log loss."""

    name: str

    def scores(self, outputs: Mapping[str, Array], labels: Array) -> NDArray[np.float64]:
        """Return float64[n], each sample's score; their mean is the figure `accuracy/<name>`.

        Args:
            outputs: As for `SampleMetric.update`.
            labels: As for `SampleMetric.update`.
        """


@runtime_checkable
class InUnits(Protocol):
    """What any other metric adds so that two runs can be paired: what each unit brings, and what is made of it.

    Units need not be samples, figures no means, and there may be several of them.
    """

    name: str

    @property
    def figures(self) -> Mapping[str, Figure]:
        """How figures are made of units, by their names (`accuracy/f1`)."""

    def units(self, state: Any) -> Units:  # noqa: ANN401 - each metric's own state
        """Return what each unit brings; those of which the answers are not all there are left out.

        Args:
            state: From `initial` or `update`.
        """


def figures_in_pairs(metric: SampleMetric) -> Mapping[str, Figure]:
    """Return the figures of a metric that can be paired, by name, and how they are made of units; none if it has none.

    Example:
        >>> from bytemlperf.metrics import Top1
        >>> figures_in_pairs(Top1())
        {'accuracy/top1': Mean(column=0, scale=1.0, ends=(0.0, 1.0))}
    """
    if isinstance(metric, InUnits):
        return metric.figures
    if isinstance(metric, RightOrWrong):
        return {f"accuracy/{metric.name}": Mean(ends=(0.0, 1.0))}
    return {f"accuracy/{metric.name}": Mean()} if isinstance(metric, Scored) else {}


class TraceMetric(Protocol):
    """A figure over the events of a run."""

    def __call__(self, trace: Trace) -> Mapping[str, Estimate]:
        """Return the figures by name."""
