"""What every data set gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from bytemlperf.sample import Array, BatchSet
    from bytemlperf.spec import ModelSpec


@attrs.frozen(kw_only=True)
class DatasetOptions:
    """How a data set is opened; a loader's own options subclass it with plain, documented fields."""


class DatasetLoader(ABC):
    """Labelled samples in a fixed order, preprocessed for one model.

    `name` and `metrics` are set on the class, or on an instance where they differ between instances.

    Attributes:
        name: Name in reports.
        options_type: Frozen attrs class of what `open` can be asked (a folder's path).
        metrics: The metrics that its labels are for: names, references (`package.module:Class`) or metrics
            themselves. On its own data set a model's own choice goes before.
    """

    name: str
    options_type: ClassVar[type[DatasetOptions]] = DatasetOptions
    metrics: tuple[str | object, ...] = ()

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
        """Return inputs by canonical name, preprocessed, in the model's own axes.

        Each has the shape `tensor.sized(len(indices))`: mostly [len(indices), ...]; where an axis is
        `26*batch`, the 26 rows of a sample stay together; an unbatched input comes once.

        Raises:
            DatasetError: If there is no such sample, or it cannot be read.
        """

    @abstractmethod
    def labels(self, indices: Sequence[int]) -> Array | None:
        """Return what the metrics compare with, [len(indices), ...]; None without labels."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a sha256 over samples, order, labels and preprocessing: what would change a figure changes it.

        Reference answers are kept under it, so names and sizes of files are not enough. What files hold may be
        remembered while nothing has touched them (`datasets.contents`), and data that a seed makes may be told by what
        makes them. Equal data in another layout may have another fingerprint.
        """

    def fit(self, spec: ModelSpec) -> DatasetLoader:  # noqa: ARG002 - a loader that `open` made fits already
        """Return these data as the model takes them; what `run` asks of a loader that it is given.

        Raises:
            SpecError: If they cannot fit the model.
        """
        return self

    def queries(self, most: int) -> BatchSet | None:  # noqa: ARG002 - for loaders with a form of their own
        """Return up to `most` prepared queries, where samples are queries of a form of their own, such as prompts.

        The default is None: samples are batched by the model's inputs.
        """
        return None

    def scored(self, indices: Sequence[int]) -> BatchSet | None:  # noqa: ARG002 - for data that are texts
        """Return the samples as texts whose likelihood is asked (`Score`), one query each.

        Each has the same number of spans and continuations. The metrics get `log_likelihood` and `greedy`,
        [len(indices), n], in the place of logits, with the same labels. The default is None: these are no such data.

        Raises:
            DatasetError: If there is no such sample.
        """
        return None

    def texts(self, indices: Sequence[int]) -> Sequence[Array] | None:  # noqa: ARG002 - for data that are texts
        """Return the tokens of each sample as a prompt, int64 [length] each; None where these are no texts.

        Raises:
            DatasetError: If there is no such sample.
        """
        return None

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

    @property
    def skipped(self) -> Sequence[str]:
        """Records that were left out because they cannot be used.

        Of samples to evaluate that only happens where it was asked for; of a file for calibration, which is beside
        them, always. Each says which record it is and what is wrong with it. They are counted in no figure.
        """
        return ()
