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

    def __init__(self, metrics: Mapping[str, SampleMetric], *, paired: int | None = None) -> None:
        """Begin with no sample.

        Args:
            metrics: By name.
            paired: Of how many samples, the first ones, `scores` is asked; None for all. A score takes 8 bytes a
                sample, whether one is right only 1.
        """
        self._metrics = {name: metric for name, metric in metrics.items() if isinstance(metric, RightOrWrong)}
        self._numbers: list[range | NDArray[np.int64]] = []
        self._right: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in self._metrics}
        self._scored = {name: metric for name, metric in metrics.items() if isinstance(metric, Scored)}
        self._scores: dict[str, list[NDArray[np.float64]]] = {name: [] for name in self._scored}
        self._paired, self._count = paired, 0

    def add(self, numbers: list[int], outputs: Mapping[str, Array], labels: Array) -> None:
        """Take the answers to the samples of these numbers."""
        follow = range(numbers[0], numbers[0] + len(numbers)) if numbers else range(0)
        self._numbers.append(follow if numbers == list(follow) else np.array(numbers, np.int64))
        for name, metric in self._metrics.items():
            self._right[name].append(metric.right(outputs, labels))
        wanted = len(numbers) if self._paired is None else max(0, self._paired - self._count)
        for name, scored in self._scored.items() if wanted else ():
            self._scores[name].append(scored.scores(outputs, labels)[:wanted])
        self._count += len(numbers)

    @property
    def scores(self) -> dict[str, NDArray[np.float64]]:
        """What each metric says of each sample so far, [n], in the order they were taken; right is 1, wrong 0.

        Where not all are paired, of the first samples only.
        """
        right = {name: np.concatenate(parts)[: self._paired] for name, parts in self._right.items() if parts}
        scores = {name: np.concatenate(parts) for name, parts in self._scores.items() if parts}
        return {**scores, **{name: each.astype(np.float64) for name, each in right.items()}}

    def save(self, folder: Path | None, key: str) -> tuple[str, ...]:
        """Write what was gathered for a row below a report's folder and return the file's path in it.

        Raises:
            HarnessError: If it cannot be written.
        """
        if folder is None or not self._metrics or not self._numbers:
            return ()
        right = {name: np.concatenate(parts) for name, parts in self._right.items()}
        sample = np.concatenate([np.asarray(numbers, np.int64) for numbers in self._numbers])
        write_samples(folder / samples_path(key), RightSamples(sample=sample, right=right))
        return (samples_path(key),)
