"""CIFAR-100's images and names of classes, from the published pickles or from parquet."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.cifar100_classes import check_shards, names_of_features
from bytemlperf.datasets.locating import refuse_record
from bytemlperf.datasets.resnet_images import decode_rgb
from bytemlperf.datasets.restricted_pickle import read_pickle
from bytemlperf.errors import DatasetError, DatasetUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

CLASSES: Final = 100
SIDE: Final = 32
LAYOUT: Final = (
    "a folder cifar-100-python with the files test and meta (train too, for calibration), or a folder of parquet files "
    "test-*.parquet with the columns img and fine_label"
)
_PIXELS: Final = 3 * SIDE * SIDE


@attrs.frozen(kw_only=True, eq=False)
class Cifar:
    """Images with labels.

    Attributes:
        pixels: uint8[n, 32, 32, 3].
        labels: int64[n], 0 to 99.
        names: Of the classes, in order of the labels; empty where the files do not tell.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...] = ()


def read_part(folder: Path, part: str) -> Cifar | None:
    """Read `test` or `train`; None where the folder has no such part.

    Raises:
        DatasetError: If a file is damaged.
        DatasetUnavailableError: If parquet files cannot be read without another package.
    """
    if (folder / part).is_file():
        return _pickled(folder, part)
    files = sorted(folder.glob(f"{part}-*.parquet")) or sorted(folder.glob(f"**/{part}-*.parquet"))
    if not files:
        return None
    check_shards(files)
    parts = [_parquet(path) for path in files]
    return Cifar(
        pixels=np.concatenate([each.pixels for each in parts]),
        labels=np.concatenate([each.labels for each in parts]),
        names=parts[0].names,
    )


def _pickled(folder: Path, part: str) -> Cifar:
    found = read_pickle(folder / part)
    data, labels = found.get("data"), _array(found.get("fine_labels", []))
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _PIXELS:  # noqa: PLR2004 - images, pixels
        got = getattr(data, "shape", type(data).__name__)
        raise DatasetError(
            "a file is none of CIFAR-100", where=str(folder / part), got=got, expected=f"data [n, {_PIXELS}]"
        )
    _check(labels, len(data), folder / part)
    names = _names(folder / "meta") if (folder / "meta").is_file() else ()
    pixels = np.ascontiguousarray(data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))
    return Cifar(pixels=pixels, labels=labels.astype(np.int64), names=names)


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


def _parquet(path: Path) -> Cifar:
    try:
        import polars as pl
    except ImportError as error:
        remedy = "install bytemlperf[parquet], or use the published pickles"
        raise DatasetUnavailableError("parquet files need polars", where=str(path), remedy=remedy) from error
    try:
        metadata, table = pl.read_parquet_metadata(path), pl.read_parquet(path)
        images, labels = table["img"].struct.field("bytes").to_list(), table["fine_label"].to_numpy()
    except Exception as error:  # polars raises its own exceptions, without a common root
        raise DatasetError("a parquet file cannot be read", where=str(path), got=str(error), expected=LAYOUT) from error
    _check(labels, len(images), path)
    pixels = np.empty((len(images), SIDE, SIDE, 3), np.uint8)
    for row, content in enumerate(images):
        image = decode_rgb(io.BytesIO(content or b""), path.with_name(f"{path.name}:{row}"))
        if image.size != (SIDE, SIDE):
            refuse_record(path, row, "an image has another size", got=image.size, expected=f"{SIDE} x {SIDE}")
        pixels[row] = np.asarray(image)
    return Cifar(pixels=pixels, labels=labels.astype(np.int64), names=names_of_features(metadata, path))


def _check(labels: NDArray[Any], images: int, path: Path) -> None:
    if not images or labels.shape != (images,) or labels.dtype.kind not in "iu":
        raise DatasetError("not every image has a label", where=str(path), got=f"{images} images, {len(labels)} labels")
    wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if wrong.size:
        row = int(wrong[0])
        refuse_record(path, row, "a label is no class", got=int(labels[row]), expected=f"0 to {CLASSES - 1}")
