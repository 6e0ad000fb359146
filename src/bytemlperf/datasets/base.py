"""What every data set gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec


@attrs.frozen(kw_only=True)
class DatasetOptions:
    """How a data set is opened; a loader's own options subclass it with plain, documented fields."""


class DatasetLoader(ABC):
    """Labelled samples in a fixed order, preprocessed for one model.

    Attributes:
        name: Name in reports.
        options_type: Frozen attrs class of what `open` can be asked (a folder's path).
        metrics: Names of the metrics that its labels are for, where the model names none.
    """

    name: ClassVar[str]
    options_type: ClassVar[type[DatasetOptions]] = DatasetOptions
    metrics: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def open(cls, spec: ModelSpec, options: Any) -> Self:  # noqa: ANN401 - an instance of options_type
        """Open the data for one model.

        Raises:
            DatasetUnavailableError: If files are missing; says where they were looked for and
                what the layout is.
            SpecError: If the data cannot fit the model.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of evaluation samples."""

    @abstractmethod
    def load(self, indices: Sequence[int]) -> Mapping[str, Array]:
        """Return inputs by canonical name, [len(indices), ...] each, preprocessed.

        An unbatched input of the model comes without the first axis.
        """

    @abstractmethod
    def labels(self, indices: Sequence[int]) -> Array | None:
        """Return what the metrics compare with, [len(indices), ...]; None without labels."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a sha256 over ids, content and preprocessing: equal exactly for equal data."""

    def ids(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return the samples' own names, stable between runs."""
        return tuple(str(index) for index in indices)

    def calibration(self) -> Sequence[int]:
        """Return indices of samples for quantisation; `load` takes them, and none is below `len(self)`.

        The default is no split.
        """
        return ()

    @property
    def preprocessing(self) -> str:
        """Name and version of what was done to the raw data."""
        return "none"
