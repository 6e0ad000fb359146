"""From COCO's records, as they come in its file, to the objects of each image in order of the images' ids.

No array has a row for each object: records are read from one file, and written to their places in another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.locating import refuse_record
from bytemlperf.datasets.row_files import RaggedFile, RowFile, add_array, add_texts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RAW: Final = np.dtype(
    [
        ("image_id", np.int64),
        ("category_id", np.int64),
        ("box", np.float64, 4),
        ("area", np.float64),
        ("crowd", np.bool_),
    ]
)
"""An object as the file has it."""
OBJECT: Final = np.dtype([("box", np.float64, 4), ("area", np.float64), ("category", np.int64), ("crowd", np.bool_)])
"""An object of an image; its class is a place among the sorted ids of classes."""
RAW_IDS, RAW_NAMES, RAW_OBJECTS = "raw_ids", "raw_names", "raw_objects"
IDS, NAMES, FIRST, OBJECTS = "ids", "names", "first", "objects"
_AT_ONCE: Final = 4096


def sort_objects(folder: Path, path: Path, categories: NDArray[np.int64]) -> None:
    """Write images in order of their ids and their objects behind each other; delete what they were made of.

    Args:
        folder: Has `RAW_IDS`, `RAW_NAMES` and `RAW_OBJECTS`; gets `IDS`, `NAMES`, `FIRST` and `OBJECTS`.
        path: Of the annotations, for messages.
        categories: int64[classes], their sorted ids.

    Raises:
        DatasetError: If two images have one id, or an object is of no image or of no class; names the record.
        OSError: If a file cannot be written.
    """
    ids = _sort_images(folder, path)
    counts = np.zeros(len(ids), np.int64)
    for images, _, _ in _placed(folder, path, ids, categories):
        np.add.at(counts, images, 1)
    first = np.concatenate([[0], np.cumsum(counts)])
    add_array(folder / FIRST, first)
    first = first[:-1]
    with (folder / OBJECTS).open("wb") as file:
        for images, classes, raw in _placed(folder, path, ids, categories):
            _put(file, first, images, classes, raw)
    for name in (RAW_IDS, RAW_OBJECTS, *(each.name for each in folder.glob(f"{RAW_NAMES}*"))):
        (folder / name).unlink()


def _sort_images(folder: Path, path: Path) -> NDArray[np.int64]:
    """Write ids and names in order of the ids, and return these."""
    raw = RowFile(folder / RAW_IDS, np.int64)[:]
    order = np.argsort(raw, kind="stable")
    ids: NDArray[np.int64] = raw[order]
    repeated = np.flatnonzero(ids[1:] == ids[:-1])
    if repeated.size:
        place = int(order[1:][repeated].min())
        refuse_record(path, f"images[{place}]", "two images have one id", got=int(raw[place]))
    add_array(folder / IDS, ids)
    names = RaggedFile(folder / RAW_NAMES, np.uint8)
    add_texts(folder / NAMES, [])
    for start in range(0, len(order), _AT_ONCE):
        add_texts(folder / NAMES, names.texts(order[start : start + _AT_ONCE]))
    return ids


def _placed(
    folder: Path, path: Path, ids: NDArray[np.int64], categories: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.void]]]:
    """Yield the images and the classes of some objects, as places among all, and the objects."""
    number = 0
    for raw in RowFile(folder / RAW_OBJECTS, RAW).blocks(_AT_ONCE):
        images, no_image = _places(raw["image_id"], ids)
        classes, no_class = _places(raw["category_id"], categories)
        wrong = np.flatnonzero(no_image | no_class)
        if wrong.size:
            row = int(wrong[0])
            what, of = (
                ("an object cannot be used", "category_id")
                if no_class[row]
                else ("an object is of no image", "image_id")
            )
            refuse_record(
                path, f"annotations[{number + row}]", what, got=int(raw[of][row]), expected="an id that the file has"
            )
        yield images, classes, raw
        number += len(raw)


def _places(values: NDArray[np.int64], known: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the place of each value among known ones, which are sorted, and which of them are not there."""
    if not known.size:
        return np.zeros(len(values), np.int64), np.ones(len(values), np.bool_)
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return places, known[places] != values


def _put(
    file: BinaryIO,
    free: NDArray[np.int64],
    images: NDArray[np.int64],
    classes: NDArray[np.int64],
    raw: NDArray[np.void],
) -> None:
    """Write objects to the places that are free for their images, in the order in which they come."""
    order = np.argsort(images, kind="stable")
    mine = images[order]
    rows = np.empty(len(raw), OBJECT)
    for name in ("box", "area", "crowd"):
        rows[name] = raw[name][order]
    rows["category"] = classes[order]
    places = free[mine] + np.arange(len(mine)) - np.searchsorted(mine, mine)
    cuts = np.flatnonzero(np.diff(places) != 1) + 1
    for place, part in zip(places[np.concatenate([[0], cuts])].tolist(), np.split(rows, cuts), strict=True):
        file.seek(place * OBJECT.itemsize)
        file.write(part.tobytes())
    np.add.at(free, images, 1)
