"""Clicks on advertisements: Criteo's data of the Kaggle challenge."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.axes import join_samples, sample_shape
from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.binary_form import binary_form, read_skipped, write_skipped
from bytemlperf.datasets.casting import numpy_dtype
from bytemlperf.datasets.criteo_files import BUCKETS, COUNT_ORDER, COUNTS, WORDS, Rows, parsed_blocks
from bytemlperf.datasets.indexing import positions
from bytemlperf.datasets.locating import FileOptions, located, split_off
from bytemlperf.datasets.row_files import RowFile, add_array
from bytemlperf.errors import DatasetError, SpecError
from bytemlperf.spec.fields import optional_tuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec, TensorSpec

VERSION: Final = "criteo-wide-deep/v1"
"""Any change of a number is another version."""
LAYOUT: Final = "train.txt of Kaggle's Display Advertising Challenge (tabs), or the original's eval.csv (commas)"
NAMES: Final = ("eval.csv", "train.txt", "train.csv")
_FILES: Final = {"clicked": (np.uint8, ()), "counts": (np.float32, (COUNTS,)), "buckets": (np.uint16, (WORDS,))}


@attrs.frozen(kw_only=True)
class CriteoOptions(FileOptions):
    """Where the rows are, and how counts are scaled.

    Attributes:
        minimums: Of the 13 counts I1 to I13 in the training data; None takes those of the file itself, as the original
            does, which a service could not.
        ranges: Of the 13 counts, largest less least; None as for `minimums`.
        skip_unusable: Leave out lines that cannot be used, and count them, in the place of refusing the file.
    """

    minimums: tuple[float, ...] | None = attrs.field(default=None, converter=optional_tuple)
    ranges: tuple[float, ...] | None = attrs.field(default=None, converter=optional_tuple)
    skip_unusable: bool = False

    def __attrs_post_init__(self) -> None:
        if (self.minimums is None) != (self.ranges is None):
            raise SpecError("minimums and ranges go together", got=(self.minimums, self.ranges))
        for name in ("minimums", "ranges"):
            values = getattr(self, name)
            if values is not None and len(values) != COUNTS:
                raise SpecError("wrong number of values", where=f"$.{name}", got=len(values), expected=str(COUNTS))


@attrs.frozen(kw_only=True, eq=False)
class KeptRows:
    """Rows in their binary form, each part in a file.

    Attributes:
        clicked: uint8[n], 0 or 1.
        counts: float32[n, 13], in the model's order.
        buckets: uint16[n, 26], in the model's order.
        skipped: Lines that cannot be used, and why.
    """

    clicked: RowFile
    counts: RowFile
    buckets: RowFile
    skipped: tuple[str, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class Scaling:
    """How counts become inputs: (count - minimum) / range, in the order of the model's columns.

    Attributes:
        minimum: float32[13].
        range: float32[13]; 1 where all counts are equal.
    """

    minimum: NDArray[np.float32]
    range: NDArray[np.float32]


class Criteo(DatasetLoader):
    """Rows of 13 counts and 26 words with a click or none, for Wide & Deep.

    A word becomes one of 1,000 buckets by TensorFlow's fast hash, and a pair (column, bucket); counts are scaled to 0
    to 1. Columns come in the order of their names (I1, I10, ...; C10, ..., C1, ...), as the original's model was
    trained. `labels` are 0 or 1, int64[n].

    The text is read once, block by block, and kept in a binary form of 105 bytes a row in the cache. Nothing is held in
    memory for a row, but for the message of one that was skipped; so memory is that of the rows that are asked for.

    Source: Criteo AI Lab, Display Advertising Challenge, Kaggle 2014; the scaling and the order of columns are those of
        ByteMLPerf's `preprocess_dataset.py`.
    """

    name = "criteo"
    options_type = CriteoOptions
    metrics = ("auc", "log_loss", "binary_accuracy")

    def __init__(
        self,
        rows: Rows | KeptRows,
        *,
        numbers: TensorSpec,
        words: TensorSpec,
        scaling: Scaling,
        evaluated: int | None = None,
        content: str,
    ) -> None:
        """Take parsed rows, in memory or in files.

        Args:
            rows: Those to evaluate, then those for calibration.
            numbers: The input that takes counts.
            words: The input that takes pairs of column and bucket.
            scaling: Of the counts.
            evaluated: How many rows are evaluated; None for all.
            content: Digest of the rows.
        """
        self._rows = rows
        self._numbers = numbers
        self._words = words
        self._scaling = scaling
        self._length = len(rows.clicked) if evaluated is None else evaluated
        self._content = content

    @classmethod
    def open(cls, spec: ModelSpec, options: CriteoOptions) -> Self:
        """Read the rows, from their binary form where the file was read before.

        Raises:
            DatasetUnavailableError: If the file is missing.
            DatasetError: If a line cannot be used; names it.
            SpecError: If the model takes no such inputs.
        """
        numbers, words = _inputs(spec, cls.name)
        path = located(options, dataset=cls.name, layout=LAYOUT, names=NAMES)
        rows, content = read_rows(path, skip=options.skip_unusable, cache=options.cache)
        evaluated = split_off(len(rows.clicked), options.held_out, dataset=cls.name)
        scaling = _scaling(rows, options)
        return cls(rows, numbers=numbers, words=words, scaling=scaling, evaluated=evaluated, content=content)

    def __len__(self) -> int:
        """Return the number of rows to evaluate."""
        return self._length

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Return scaled counts, and pairs of column and bucket.

        Raises:
            DatasetError: If there is no such row.
        """
        where = self._where(indices)
        counts = (self._rows.counts[where] - self._scaling.minimum) / self._scaling.range
        buckets = self._rows.buckets[where]
        pairs = np.empty((*buckets.shape, 2), numpy_dtype(self._words.dtype))
        pairs[..., 0], pairs[..., 1] = np.arange(WORDS), buckets
        return {
            self._numbers.name: join_samples(
                counts.astype(numpy_dtype(self._numbers.dtype), copy=False), self._numbers
            ),
            self._words.name: join_samples(pairs, self._words),
        }

    def labels(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """Return 1 for a click and 0 for none, int64[n]."""
        return np.asarray(self._rows.clicked[self._where(indices)]).astype(np.int64)

    def calibration(self) -> range:
        """Return the indices of the rows that are held out."""
        return range(self._length, len(self._rows.clicked))

    def fingerprint(self) -> str:
        """Return a sha256 over the preprocessing, the scaling and all rows."""
        digest = hashlib.sha256(f"{self.preprocessing};{self._length};{self._content}".encode())
        digest.update(self._scaling.minimum.tobytes() + self._scaling.range.tobytes())
        return digest.hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name and version of what is done to a row."""
        return VERSION

    @property
    def skipped(self) -> Sequence[str]:
        """Lines that cannot be used."""
        return self._rows.skipped

    def _where(self, indices: Sequence[int]) -> slice | NDArray[np.int64]:
        """Return indices; as a slice where they follow each other, which reads a file far faster."""
        if (
            isinstance(indices, range)
            and indices.step == 1
            and 0 <= indices.start <= indices.stop <= len(self._rows.clicked)
        ):
            return slice(indices.start, indices.stop)
        found = positions(indices, total=len(self._rows.clicked), dataset=self.name)
        if found.size and np.array_equal(found, np.arange(found[0], found[0] + len(found))):
            return slice(int(found[0]), int(found[0]) + len(found))
        return found


def read_rows(path: Path, *, skip: bool = False, cache: str | Path | None = None) -> tuple[KeptRows, str]:
    """Return the rows of a file in their binary form, and its digest; the form is made where it is missing.

    Raises:
        DatasetError: If a line cannot be used, or there is none.
        ArtifactError: If the cache cannot be written.
    """
    status = path.stat()
    key = (VERSION, BUCKETS, path.resolve(), status.st_size, status.st_mtime_ns, skip)
    entry = binary_form("criteo", lambda made: _write(made, path, skip=skip), key=key, cache=cache)
    files = {name: RowFile(entry.path / name, dtype, shape) for name, (dtype, shape) in _FILES.items()}
    skipped = read_skipped(entry.path)
    rows = KeptRows(clicked=files["clicked"], counts=files["counts"], buckets=files["buckets"], skipped=skipped)
    return rows, entry.sha256


def _write(folder: Path, path: Path, *, skip: bool) -> None:
    skipped: list[str] = []
    total = 0
    for rows in parsed_blocks(path, skip=skip):
        skipped += rows.skipped
        total += len(rows.clicked)
        for name in _FILES:
            add_array(folder / name, getattr(rows, name))
    if not total:
        raise DatasetError("the file has no row", where=str(path), expected=LAYOUT)
    write_skipped(folder, skipped)


def _scaling(rows: KeptRows, options: CriteoOptions) -> Scaling:
    """Return the given scaling in the model's order, else that of the rows, found block by block."""
    if options.minimums is None or options.ranges is None:
        parts = rows.counts.blocks()
        ends = np.array([(part.min(axis=0), part.max(axis=0)) for part in parts])  # one part at a time is in memory
        minimum = ends[:, 0].min(axis=0)
        span = ends[:, 1].max(axis=0) - minimum
    else:
        order = np.array(COUNT_ORDER) - 1
        minimum, span = (np.array(values, np.float32)[order] for values in (options.minimums, options.ranges))
    return Scaling(minimum=minimum.astype(np.float32), range=np.where(span == 0, 1, span).astype(np.float32))


def _inputs(spec: ModelSpec, dataset: str) -> tuple[TensorSpec, TensorSpec]:
    """Return the inputs for counts and for words, told by their types and shapes."""
    batched = [tensor for tensor in spec.inputs if tensor.batch_axis is not None]
    numbers = [each for each in batched if each.dtype.is_float and sample_shape(each) == (1, COUNTS)]
    words = [each for each in batched if not each.dtype.is_float and sample_shape(each) in ((WORDS, 2), (1, WORDS, 2))]
    if len(spec.inputs) != 2 or len(numbers) != 1 or len(words) != 1:  # noqa: PLR2004 - counts and words
        raise SpecError(
            f"data set {dataset!r} does not fit model {spec.name!r}",
            got=[f"{each.name}: {each.dtype}{[str(axis) for axis in each.shape]}" for each in spec.inputs],
            expected=f"[batch, {COUNTS}] of floating-point numbers and [{WORDS}*batch, 2] of whole numbers",
        )
    return numbers[0], words[0]
