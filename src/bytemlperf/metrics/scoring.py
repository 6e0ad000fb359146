"""Answers scored by several metrics at once, wave by wave: their figures, and what each unit brought to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bytemlperf.metrics.base import InUnits, RightOrWrong, Scored
from bytemlperf.metrics.units import MOST_UNITS, Units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bytemlperf.metrics.base import SampleMetric
    from bytemlperf.metrics.estimate import Estimate
    from bytemlperf.sample import Array


class Scoring:
    """Takes in answers to samples in the order of the data.

    Besides the metrics' own states it keeps a byte of each of the first 2^20 samples for a metric that is
    `RightOrWrong`, and eight for one that is `Scored`.
    """

    def __init__(self, metrics: Mapping[str, SampleMetric]) -> None:
        """Begin with no sample.

        Args:
            metrics: By name.
        """
        self._metrics = dict(metrics)
        self._states: dict[str, Any] = {name: metric.initial() for name, metric in metrics.items()}
        self._values: dict[str, list[NDArray[np.bool_] | NDArray[np.float64]]] = {}
        self._count = 0

    def add(self, outputs: Mapping[str, Array], labels: Array) -> None:
        """Take the answers to the next samples; arguments are those of `SampleMetric.update`.

        Raises:
            BenchmarkError: As the metrics do.
        """
        for name, metric in self._metrics.items():
            self._states[name] = metric.update(self._states[name], outputs, labels)
            more = self._count < MOST_UNITS and not isinstance(metric, InUnits)
            found = _values(metric, outputs, labels) if more else None
            if found is not None:
                self._values.setdefault(name, []).append(found[: MOST_UNITS - self._count])
        self._count += len(labels)

    def figures(self) -> dict[str, Mapping[str, Estimate]]:
        """Return what each metric gives so far, by the metric's name."""
        return {name: metric.compute(self._states[name]) for name, metric in self._metrics.items()}

    def units(self, *, most_bytes: int) -> dict[str, Units]:
        """Return what each unit brought so far, by the metric's name, of those metrics that can tell.

        Args:
            most_bytes: Of each metric; beyond it only the first units are returned.
        """
        found = {}
        for name, metric in self._metrics.items():
            if isinstance(metric, InUnits):
                found[name] = metric.units(self._states[name]).leading(most_bytes)
            elif name in self._values:
                values: NDArray[np.float64] = np.concatenate(self._values[name]).astype(np.float64)
                found[name] = Units.of_samples(values).leading(most_bytes)
        return found


def _values(
    metric: SampleMetric, outputs: Mapping[str, Array], labels: Array
) -> NDArray[np.bool_] | NDArray[np.float64] | None:
    if isinstance(metric, RightOrWrong):
        return metric.right(outputs, labels)
    return metric.scores(outputs, labels) if isinstance(metric, Scored) else None
