"""Images and objects in COCO's published layout."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.locating import as_text, read_json, refuse_record
from bytemlperf.errors import DatasetError, DatasetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LAYOUT: Final = "a folder with annotations/instances_val2017.json and the images in val2017/, as COCO publishes them"
_BOX: Final = 4


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


def read_coco(annotations: Path, images: Path) -> tuple[CocoImage, ...]:
    """Read the annotations of images, in order of the images' ids.

    Raises:
        DatasetUnavailableError: If an image is missing.
        DatasetError: If the file is none of COCO's, or a record cannot be used; names it.
    """
    document = _document(annotations)
    objects: dict[int, list[Any]] = {}
    try:
        named = [(int(each["id"]), as_text(each["file_name"])) for each in document["images"]]
        numbers = sorted(int(each["id"]) for each in document["categories"])
        records = list(document["annotations"])
    except (TypeError, LookupError, ValueError) as error:
        got = f"{type(error).__name__}: {error}"
        raise DatasetError("a file is none of COCO's", where=str(annotations), got=got, expected=LAYOUT) from error
    _check_images(annotations, named, numbers)
    files = {image_id: images / name for image_id, name in named}
    classes = {number: place for place, number in enumerate(numbers)}
    for number, record in enumerate(records):
        image_id, found = _object(annotations, number, record, classes)
        if image_id not in files:
            refuse_record(annotations, f"annotations[{number}]", "an object is of no image", got=image_id)
        objects.setdefault(image_id, []).append(found)
    if not files:
        raise DatasetError("the file has no image", where=str(annotations), expected=LAYOUT)
    missing = [file for file in files.values() if not file.is_file()]
    if missing:
        what = f"{len(missing)} of {len(files)} images are missing"
        raise DatasetUnavailableError(what, where=str(images), got=missing[0].name, expected=LAYOUT)
    return tuple(_image(image_id, files[image_id], objects.get(image_id, [])) for image_id in sorted(files))


def _check_images(path: Path, images: Sequence[tuple[int, str]], categories: Sequence[int]) -> None:
    """Refuse an id that two images or two classes have, of which one would be lost, and a file outside the folder."""
    seen: set[int] = set()
    for place, (image_id, name) in enumerate(images):
        if image_id in seen:
            refuse_record(path, f"images[{place}]", "two images have one id", got=image_id)
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            refuse_record(path, f"images[{place}]", "an image lies outside its folder", got=name)
        seen.add(image_id)
    if len(set(categories)) < len(categories):
        refuse_record(path, "categories", "two classes have one id", got=list(categories))


def _document(path: Path) -> dict[str, Any]:
    document = read_json(path, layout=LAYOUT)
    if not isinstance(document, dict):
        raise DatasetError("a file is none of COCO's", where=str(path), got=type(document).__name__, expected=LAYOUT)
    return document


def _object(path: Path, number: int, record: Any, classes: Mapping[int, int]) -> tuple[int, Any]:  # noqa: ANN401 - JSON
    where = f"annotations[{number}]"
    try:
        box = [float(value) for value in record["bbox"]]
        area = float(record.get("area", box[2] * box[3]))
        found = (box, classes[int(record["category_id"])], bool(record.get("iscrowd", 0)), area)
        image_id = int(record["image_id"])
    except (TypeError, LookupError, ValueError, AttributeError) as error:
        refuse_record(path, where, "an object cannot be used", got=f"{type(error).__name__}: {error}")
    if len(box) != _BOX or not np.isfinite([*box, area]).all() or min(box[2:]) < 0:
        refuse_record(path, where, "an object cannot be used", got=box, expected="a box of four finite numbers")
    return image_id, found


def _image(image_id: int, file: Path, objects: list[Any]) -> CocoImage:
    boxes, categories, crowd, areas = zip(*objects, strict=True) if objects else ((), (), (), ())
    return CocoImage(
        image_id=image_id,
        file=file,
        boxes=np.array(boxes, np.float64).reshape(-1, _BOX),
        categories=np.array(categories, np.int64),
        crowd=np.array(crowd, np.bool_),
        areas=np.array(areas, np.float64),
    )
