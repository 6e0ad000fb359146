"""Which samples were right, kept beside the report so that another run's can be paired with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bytemlperf.metrics import RightOrWrong, SampleMetric
from bytemlperf.report.files import RightSamples, samples_path, write_samples
from bytemlperf.sample import Array


class RightOnes:
    """Gathers, wave by wave, which samples are right by every metric that can tell."""

    def __init__(self, metrics: Mapping[str, SampleMetric]) -> None:
        """Begin with no sample."""
        self._metrics = {name: metric for name, metric in metrics.items() if isinstance(metric, RightOrWrong)}
        self._numbers: list[int] = []
        self._right: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in self._metrics}

    def add(self, numbers: list[int], outputs: Mapping[str, Array], labels: Array) -> None:
        """Take the answers to the samples of these numbers."""
        self._numbers += numbers
        for name, metric in self._metrics.items():
            self._right[name].append(metric.right(outputs, labels))

    def save(self, folder: Path | None, key: str) -> tuple[str, ...]:
        """Write what was gathered for a row below a report's folder and return the file's path in it.

        Raises:
            HarnessError: If it cannot be written.
        """
        if folder is None or not self._metrics or not self._numbers:
            return ()
        right = {name: np.concatenate(parts) for name, parts in self._right.items()}
        write_samples(folder / samples_path(key), RightSamples(sample=np.array(self._numbers, np.int64), right=right))
        return (samples_path(key),)
