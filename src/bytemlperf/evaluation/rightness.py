"""Which samples were right, kept beside the report so that another run's can be paired with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bytemlperf.metrics import RightOrWrong, SampleMetric, Scored
from bytemlperf.report.files import RightSamples, samples_path, write_samples
from bytemlperf.sample import Array


class RightOnes:
    """Gathers, wave by wave, which samples are right by every metric that can tell."""

    def __init__(self, metrics: Mapping[str, SampleMetric]) -> None:
        """Begin with no sample."""
        self._metrics = {name: metric for name, metric in metrics.items() if isinstance(metric, RightOrWrong)}
        self._numbers: list[NDArray[np.int64]] = []
        self._right: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in self._metrics}
        self._scored = {name: metric for name, metric in metrics.items() if isinstance(metric, Scored)}
        self._scores: dict[str, list[NDArray[np.float64]]] = {name: [] for name in self._scored}

    def add(self, numbers: list[int], outputs: Mapping[str, Array], labels: Array) -> None:
        """Take the answers to the samples of these numbers."""
        self._numbers.append(np.array(numbers, np.int64))
        for name, metric in self._metrics.items():
            self._right[name].append(metric.right(outputs, labels))
        for name, scored in self._scored.items():
            self._scores[name].append(scored.scores(outputs, labels))

    @property
    def scores(self) -> dict[str, NDArray[np.float64]]:
        """What each metric says of each sample so far, [n], in the order they were taken; right is 1, wrong 0."""
        right = {name: [np.asarray(part, np.float64) for part in parts] for name, parts in self._right.items()}
        return {name: np.concatenate(parts) for name, parts in {**self._scores, **right}.items() if parts}

    def save(self, folder: Path | None, key: str) -> tuple[str, ...]:
        """Write what was gathered for a row below a report's folder and return the file's path in it.

        Raises:
            HarnessError: If it cannot be written.
        """
        if folder is None or not self._metrics or not self._numbers:
            return ()
        right = {name: np.concatenate(parts) for name, parts in self._right.items()}
        write_samples(folder / samples_path(key), RightSamples(sample=np.concatenate(self._numbers), right=right))
        return (samples_path(key),)
