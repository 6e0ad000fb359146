"""Images and objects in COCO's published layout."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.binary_form import binary_form, content_digest
from bytemlperf.datasets.coco_sorting import (
    FIRST,
    IDS,
    NAMES,
    OBJECT,
    OBJECTS,
    RAW,
    RAW_IDS,
    RAW_NAMES,
    RAW_OBJECTS,
    sort_objects,
)
from bytemlperf.datasets.json_stream import JsonStream
from bytemlperf.datasets.locating import as_text, refuse_record
from bytemlperf.datasets.row_files import RaggedFile, RowFile, add_array, add_texts
from bytemlperf.errors import DatasetError, DatasetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

LAYOUT: Final = "a folder with annotations/instances_val2017.json and the images in val2017/, as COCO publishes them"
_T = TypeVar("_T")
_VERSION: Final = "coco/v1"
_BOX: Final = 4
_AT_ONCE: Final = 1024


@attrs.frozen(kw_only=True, eq=False)
class CocoImage:
    """An image and its objects.

    Attributes:
        image_id: Its published id.
        file: Its path.
        boxes: float64[n, 4], left, top, width and height in pixels.
        categories: int64[n], place of the class among the sorted ids of classes.
        crowd: bool[n].
        areas: float64[n].
    """

    image_id: int
    file: Path
    boxes: NDArray[np.float64]
    categories: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float64]


class CocoImages:
    """Images and objects in their binary form, in order of the images' ids; read when they are asked for.

    Args:
        folder: Of the binary form.
        images: Folder of the images.
        chosen: int64[n], which of them these are, in order; None for all.

    Raises:
        DatasetError: If a file of the binary form is missing or cut off.
    """

    def __init__(self, folder: Path, images: Path, chosen: NDArray[np.int64] | None = None) -> None:
        """Look how many images there are."""
        self._folder, self._images, self._chosen = folder, images, chosen
        self._ids, self._names = RowFile(folder / IDS, np.int64), RaggedFile(folder / NAMES, np.uint8)
        self._first, self._objects = RowFile(folder / FIRST, np.int64), RowFile(folder / OBJECTS, OBJECT)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._ids) if self._chosen is None else len(self._chosen)

    def __iter__(self) -> Iterator[CocoImage]:
        """Yield all images; some at a time are in memory."""
        for start in range(0, len(self), _AT_ONCE):
            yield from self.of(range(start, min(start + _AT_ONCE, len(self))))

    def of(self, indices: Sequence[int] | NDArray[np.int64]) -> list[CocoImage]:
        """Return images by their numbers, which must be from 0 to the length less 1."""
        rows = np.asarray(indices, np.int64)
        rows = rows if self._chosen is None else self._chosen[rows]
        bounds = zip(self._first[rows].tolist(), self._first[rows + 1].tolist(), strict=True)
        objects = [self._objects[first:last] for first, last in bounds]
        named = zip(self._ids[rows].tolist(), self._names.texts(rows), objects, strict=True)
        return [
            CocoImage(
                image_id=image_id,
                file=self._images / name,
                boxes=np.ascontiguousarray(each["box"]),
                categories=np.ascontiguousarray(each["category"]),
                crowd=np.ascontiguousarray(each["crowd"]),
                areas=np.ascontiguousarray(each["area"]),
            )
            for image_id, name, each in named
        ]

    def without(self, rows: Iterable[int]) -> CocoImages:
        """Return the others of these images."""
        kept = np.delete(np.arange(len(self)), list(rows))
        return CocoImages(self._folder, self._images, kept if self._chosen is None else self._chosen[kept])

    def check_there(self) -> None:
        """Refuse images that are not there.

        Raises:
            DatasetUnavailableError: If one is missing.
        """
        lost, first = 0, ""
        for image in self:
            if not image.file.is_file():
                lost, first = lost + 1, first or image.file.name
        if lost:
            what = f"{lost} of {len(self)} images are missing"
            raise DatasetUnavailableError(what, where=str(self._images), got=first, expected=LAYOUT)


def read_coco(annotations: Path, images: Path, *, cache: str | None = None) -> CocoImages:
    """Return the images of a file of annotations with their objects, in order of the images' ids.

    The file is read once, record by record, and kept in the cache in a binary form.

    Raises:
        DatasetUnavailableError: If an image is missing.
        DatasetError: If the file is none of COCO's, or a record cannot be used; names it.
        ArtifactError: If the cache cannot be written.
    """
    key = (_VERSION, content_digest(annotations, cache=cache))
    entry = binary_form("coco", lambda made: _write(made, annotations), key=key, cache=cache)
    found = CocoImages(entry.path, images)
    found.check_there()
    return found


def _write(folder: Path, path: Path) -> None:
    categories: list[int] = []
    readers: dict[str, Callable[[JsonStream], None]] = {
        "images": lambda stream: _add_images(folder, path, stream),
        "annotations": lambda stream: _add_objects(folder, path, stream),
        "categories": lambda stream: categories.extend(_category(path, each) for _, each in _records(path, stream)),
    }
    stream, left = JsonStream(path, layout=LAYOUT), set(readers)
    if stream.peek() != "{":
        _refuse(path, type(stream.value()).__name__)
    for name in stream.members():
        if name in readers and name not in left:
            _refuse(path, f"two members {name!r}")
        if name in readers:
            readers[name](stream)
            left.remove(name)
    stream.end()
    if left:
        _refuse(path, f"no member {min(left)!r}")
    if len(set(categories)) < len(categories):
        refuse_record(path, "categories", "two classes have one id", got=categories)
    sort_objects(folder, path, np.array(sorted(categories), np.int64))
    if not len(RowFile(folder / IDS, np.int64)):
        raise DatasetError("the file has no image", where=str(path), expected=LAYOUT)


def _records(path: Path, stream: JsonStream) -> Iterator[tuple[int, Any]]:
    if stream.peek() != "[":
        _refuse(path, f"{type(stream.value()).__name__} in the place of an array")
    for number in stream.items():
        yield number, stream.value()


def _refuse(path: Path, got: str) -> NoReturn:
    raise DatasetError("a file is none of COCO's", where=str(path), got=got, expected=LAYOUT)


def _category(path: Path, record: Any) -> int:  # noqa: ANN401 - JSON
    try:
        return int(record["id"])
    except (TypeError, LookupError, ValueError) as error:
        _refuse(path, f"{type(error).__name__}: {error}")


def _add_images(folder: Path, path: Path, stream: JsonStream) -> None:
    add_array(folder / RAW_IDS, np.empty(0, np.int64))
    add_texts(folder / RAW_NAMES, [])
    for block in _blocks(_image(path, number, record) for number, record in _records(path, stream)):
        add_array(folder / RAW_IDS, np.array([image_id for image_id, _ in block], np.int64))
        add_texts(folder / RAW_NAMES, [name for _, name in block])


def _image(path: Path, number: int, record: Any) -> tuple[np.int64, str]:  # noqa: ANN401 - JSON
    try:
        image_id, name = np.int64(int(record["id"])), as_text(record["file_name"])
    except (TypeError, LookupError, ValueError, OverflowError) as error:
        _refuse(path, f"{type(error).__name__}: {error}")
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        refuse_record(path, f"images[{number}]", "an image lies outside its folder", got=name)
    return image_id, name


def _add_objects(folder: Path, path: Path, stream: JsonStream) -> None:
    add_array(folder / RAW_OBJECTS, np.empty(0, RAW))
    for block in _blocks(_object(path, number, record) for number, record in _records(path, stream)):
        add_array(folder / RAW_OBJECTS, np.array(block, RAW))


def _object(path: Path, number: int, record: Any) -> tuple[Any, ...]:  # noqa: ANN401 - JSON
    where = f"annotations[{number}]"
    try:
        box = [float(value) for value in record["bbox"]]
        area = float(record.get("area", box[2] * box[3]))
        ids = np.int64(int(record["image_id"])), np.int64(int(record["category_id"]))
        crowd = bool(record.get("iscrowd", 0))
    except (TypeError, LookupError, ValueError, AttributeError, OverflowError) as error:
        refuse_record(path, where, "an object cannot be used", got=f"{type(error).__name__}: {error}")
    if len(box) != _BOX or not all(map(math.isfinite, [*box, area])) or min(box[2:]) < 0:
        refuse_record(path, where, "an object cannot be used", got=box, expected="a box of four finite numbers")
    return (*ids, box, area, crowd)


def _blocks(records: Iterator[_T]) -> Iterator[list[_T]]:
    while block := list(islice(records, _AT_ONCE)):
        yield block
