"""CIFAR-100's images and names of classes, from the published pickles or from parquet."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.binary_form import binary_form, content_digest
from bytemlperf.datasets.cifar100_classes import check_shards, names_of_features
from bytemlperf.datasets.locating import refuse_record
from bytemlperf.datasets.resnet_images import decode_rgb
from bytemlperf.datasets.restricted_pickle import read_pickle
from bytemlperf.datasets.row_files import RowFile, add_array
from bytemlperf.errors import DatasetError, DatasetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import ModuleType

CLASSES: Final = 100
SIDE: Final = 32
LAYOUT: Final = (
    "a folder cifar-100-python with the files test and meta (train too, for calibration), or a folder of parquet files "
    "test-*.parquet with the columns img and fine_label"
)
_PIXELS: Final = 3 * SIDE * SIDE
_VERSION: Final = "cifar100/v1"
_META: Final = "meta"
_ROWS, _LABELS, _TOLD = "rows", "labels", "told.json"
_AT_ONCE: Final = 1000
"""Rows of a parquet file that are decoded at a time."""


@attrs.frozen(kw_only=True, eq=False)
class Cifar:
    """Images with labels.

    Attributes:
        rows: uint8[3072] for each image: 32 x 32 of red, of green, of blue; in a file.
        labels: uint8[n], 0 to 99.
        names: Of the classes, in order of the labels; empty where the files do not tell.
    """

    rows: RowFile
    labels: NDArray[np.uint8]
    names: tuple[str, ...] = ()

    def pixels(self, numbers: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Read some images, uint8[n, 32, 32, 3].

        Raises:
            DatasetError: If the file cannot be read any more.
        """
        planes = self.rows[numbers].reshape(-1, 3, SIDE, SIDE)
        images: NDArray[np.uint8] = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        return images


def read_part(folder: Path, part: str, *, cache: str | None = None) -> Cifar | None:
    """Read the labels of `test` or `train`, and find where its images are; None where the folder has no such part.

    Labels and names are kept in the cache. The pixels of the published pickles are read where they are; those of
    parquet files, and of pickles that hold them in another way, are written into the cache once.

    Args:
        folder: Of the files.
        part: `test` or `train`.
        cache: Folder of the cache; None for the usual one.

    Raises:
        DatasetError: If a file is damaged.
        DatasetUnavailableError: If parquet files cannot be read without another package.
    """
    if (folder / part).is_file():
        files = [each for each in (folder / part, folder / _META) if each.is_file()]
        return _kept(lambda made: _write_pickled(made, folder, part), files, cache)
    files = sorted(folder.glob(f"{part}-*.parquet")) or sorted(folder.glob(f"**/{part}-*.parquet"))
    check_shards(files)
    return _kept(lambda made: _write_parquet(made, files), files, cache) if files else None


def _kept(write: Callable[[Path], object], files: Sequence[Path], cache: str | None) -> Cifar:
    """Return what is kept of some files in the cache, written first where it is not."""
    key = (_VERSION, *(f"{path.name} {content_digest(path, cache=cache)}" for path in files))
    folder = binary_form("cifar100", write, key=key, cache=cache).path
    labels = RowFile(folder / _LABELS, np.uint8)[:]
    told = json.loads((folder / _TOLD).read_text(encoding="utf-8"))
    path, offset = (files[0], told["offset"]) if told["offset"] is not None else (folder / _ROWS, 0)
    rows = RowFile(path, np.uint8, (_PIXELS,), offset=offset, length=len(labels))
    return Cifar(rows=rows, labels=labels, names=tuple(told["names"]))


def _write_pickled(folder: Path, source: Path, part: str) -> None:
    found = read_pickle(source / part)
    data, labels = found.get("data"), _array(found.get("fine_labels", []))
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _PIXELS:  # noqa: PLR2004 - images, pixels
        got = getattr(data, "shape", type(data).__name__)
        raise DatasetError(
            "a file is none of CIFAR-100", where=str(source / part), got=got, expected=f"data [n, {_PIXELS}]"
        )
    _check(labels, len(data), source / part)
    names = _names(source / _META) if (source / _META).is_file() else ()
    if not isinstance(data, np.memmap):
        add_array(folder / _ROWS, data)
    add_array(folder / _LABELS, labels.astype(np.uint8))
    _tell(folder, names, offset=data.offset if isinstance(data, np.memmap) else None)


def _tell(folder: Path, names: Sequence[str] = (), offset: int | None = None) -> None:
    """Write the names of classes, and where in the file itself the pixels are, if they are read there."""
    (folder / _TOLD).write_text(json.dumps({"names": list(names), "offset": offset}), encoding="utf-8")


def _names(path: Path) -> tuple[str, ...]:
    """Read the names of classes; those that Python 2 wrote may be bytes."""
    found = read_pickle(path).get("fine_label_names")
    listed = found if isinstance(found, list) else []
    names = tuple(each.decode("latin1") if isinstance(each, bytes) else each for each in listed)
    if len(names) != CLASSES or not all(isinstance(name, str) for name in names):
        expected = f"{CLASSES} names of classes"
        raise DatasetError("a file is none of CIFAR-100", where=str(path), got=names[:3], expected=expected)
    return names


def _array(values: Any) -> NDArray[Any]:  # noqa: ANN401 - what the file holds
    """Return values as an array; lists that are no rectangle as one of objects, which is refused as no labels."""
    try:
        return np.atleast_1d(np.asarray(values))
    except ValueError:
        return np.array([None])


def _write_parquet(folder: Path, files: Sequence[Path]) -> None:
    pl = _polars(files[0])
    for path in files:
        for first, images, labels in _parquet(pl, path):
            rows = np.empty((len(images), 3, SIDE, SIDE), np.uint8)
            for number, content in enumerate(images):
                rows[number] = _decoded(content, path, first + number).transpose(2, 0, 1)
            add_array(folder / _ROWS, rows)
            add_array(folder / _LABELS, labels.astype(np.uint8))
    _tell(folder, names_of_features(pl.read_parquet_metadata(files[0]), files[0]))


def _polars(path: Path) -> ModuleType:
    try:
        import polars as pl
    except ImportError as error:
        remedy = "install bytemlperf[parquet], or use the published pickles"
        raise DatasetUnavailableError("parquet files need polars", where=str(path), remedy=remedy) from error
    return pl


def _parquet(pl: ModuleType, path: Path) -> Iterator[tuple[int, list[bytes | None], NDArray[np.integer]]]:
    """Yield the number of the first of some rows, their images and their labels."""
    try:
        table = pl.scan_parquet(path).select(pl.col("img").struct.field("bytes"), pl.col("fine_label"))
        total = int(table.select(pl.len()).collect().item())
        for first in range(0, max(total, 1), _AT_ONCE):
            rows: Any = table.slice(first, _AT_ONCE).collect()
            images, labels = rows["bytes"].to_list(), rows["fine_label"].to_numpy()
            _check(labels, len(images), path, first)
            yield first, images, labels
    except DatasetError:
        raise
    except Exception as error:  # polars raises its own exceptions, without a common root
        raise DatasetError("a parquet file cannot be read", where=str(path), got=str(error), expected=LAYOUT) from error


def _decoded(content: bytes | None, path: Path, row: int) -> NDArray[np.uint8]:
    image = decode_rgb(io.BytesIO(content or b""), path.with_name(f"{path.name}:{row}"))
    if image.size != (SIDE, SIDE):
        refuse_record(path, row, "an image has another size", got=image.size, expected=f"{SIDE} x {SIDE}")
    return np.asarray(image)


def _check(labels: NDArray[Any], images: int, path: Path, first: int = 0) -> None:
    if not images or labels.shape != (images,) or labels.dtype.kind not in "iu":
        raise DatasetError("not every image has a label", where=str(path), got=f"{images} images, {len(labels)} labels")
    wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if wrong.size:
        row = int(wrong[0])
        refuse_record(path, first + row, "a label is no class", got=int(labels[row]), expected=f"0 to {CLASSES - 1}")
