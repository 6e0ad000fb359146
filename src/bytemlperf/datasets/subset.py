"""The first samples of another data set."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NoReturn

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.errors import DatasetError, SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bytemlperf.sample import Array, BatchSet
    from bytemlperf.spec import ModelSpec


class Subset(DatasetLoader):
    """The first `count` samples of a loader, under its name; indices stay what they are.

    Args:
        loader: The whole; its calibration samples are kept.
        count: How many samples to evaluate.

    Raises:
        SpecError: If there are not that many.
    """

    def __init__(self, loader: DatasetLoader, count: int) -> None:
        """Hold the loader; nothing is loaded."""
        if not 1 <= count <= len(loader):
            expected = f"1 to {len(loader)}, which is all that data set {loader.name!r} has"
            raise SpecError("so many samples cannot be had", where="$.dataset.samples", got=count, expected=expected)
        self._loader = loader
        self._count = count
        self.name = loader.name
        self.metrics = loader.metrics

    @classmethod
    def open(cls, spec: ModelSpec, options: object) -> NoReturn:  # noqa: ARG003 - there is nothing to open
        """Refuse: a part is made from a loader.

        Raises:
            SpecError: Always.
        """
        raise SpecError("a part of a data set is not opened by name", remedy="make one: Subset(loader, count)")

    def fit(self, spec: ModelSpec) -> Subset:
        """Return the same part of the fitted loader.

        Raises:
            SpecError: If the data cannot fit the model.
        """
        return Subset(self._loader.fit(spec), self._count)

    def __len__(self) -> int:
        """Return how many samples are evaluated."""
        return self._count

    def load(self, indices: Sequence[int]) -> Mapping[str, Array]:
        """Return inputs as the whole loader does.

        Raises:
            DatasetError: If a sample is outside this part and is none for calibration.
        """
        return self._loader.load(self._within(indices))

    def labels(self, indices: Sequence[int]) -> Array | None:
        """Return labels as the whole loader does."""
        return self._loader.labels(self._within(indices))

    def scored(self, indices: Sequence[int]) -> BatchSet | None:
        """Return what the whole loader does."""
        return self._loader.scored(self._within(indices))

    def texts(self, indices: Sequence[int]) -> Sequence[Array] | None:
        """Return what the whole loader does."""
        return self._loader.texts(self._within(indices))

    def ids(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return the samples' names in the whole data set."""
        return self._loader.ids(self._within(indices))

    def calibration(self) -> Sequence[int]:
        """Return the whole data set's indices for calibration."""
        return self._loader.calibration()

    def fingerprint(self) -> str:
        """Return a sha256 over the whole's fingerprint and how many samples are taken; the whole's own for all."""
        whole = self._loader.fingerprint()
        if self._count == len(self._loader):
            return whole
        return hashlib.sha256(f"first {self._count} of {whole}".encode()).hexdigest()

    @property
    def preprocessing(self) -> str:
        """That of the whole data set."""
        return self._loader.preprocessing

    @property
    def skipped(self) -> Sequence[str]:
        """Those of the whole data set."""
        return self._loader.skipped

    def _within(self, indices: Sequence[int]) -> Sequence[int]:
        left_out = next((index for index in indices if self._count <= index < len(self._loader)), None)
        if left_out is not None:
            message = f"the first {self._count} samples of data set {self.name!r} hold no such sample"
            raise DatasetError(message, got=left_out)
        return indices
