"""Labels of ImageNet's validation images from the published development kit."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.datasets.locating import read_text
from bytemlperf.errors import DatasetError, DatasetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

GROUND_TRUTH: Final = "ILSVRC2012_validation_ground_truth.txt"
"""A line for each image in order of its number: the kit's own number of its class, from 1."""
META: Final = "meta.mat"
"""The kit's table of classes, with their WordNet ids."""
_NUMBERED: Final = re.compile(r"(?:.*/)?ILSVRC2012_val_(\d{8})\.JPEG")
_EXPECTED: Final = f"a folder that has {GROUND_TRUTH} and {META}, itself or in data/"


@attrs.frozen(kw_only=True)
class Numbered:
    """A validation image.

    Attributes:
        number: As it was published, from 1.
        label: Place of its class among the sorted WordNet ids, from 0.
        place: Its place among the names that were given.
    """

    number: int
    label: int
    place: int


def devkit_labels(
    kit: Path, names: Callable[[], Iterable[str]], *, classes: int | None, skipped: list[str] | None = None
) -> Iterator[Numbered]:
    """Yield validation images with their labels in the order of their numbers.

    Args:
        kit: Folder of the development kit.
        names: Gives those of the images, in any order.
        classes: How many classes the model tells apart; None where not known.
        skipped: Takes images without a label, and labels without an image; None refuses the data.

    Raises:
        DatasetUnavailableError: If a file of the kit is missing, or an image for a label of the ground truth.
        DatasetError: If an image has no label or two have one number, or the kit's files are damaged.
    """
    labels = _labels(kit)
    if classes is not None and max(labels, default=0) >= classes:
        got, expected = max(labels), f"labels below {classes}, the model's number of classes"
        raise DatasetError(
            "the development kit has more classes than the model", where=str(kit), got=got, expected=expected
        )
    places = _places(kit, names, len(labels), skipped)
    missing = (np.flatnonzero(places < 0) + 1).tolist()
    if missing and skipped is None:
        what = f"{len(missing)} of {len(labels)} images of the development kit are missing"
        remedy = (
            "leave them out and have them counted: skip_unusable=true; or name those that there are in a val_map.txt"
        )
        raise DatasetUnavailableError(what, where=str(kit), got=validation_name(missing[0]), remedy=remedy)
    if skipped is not None:
        skipped += [f"{validation_name(number)}: it is missing" for number in missing]
    for index in np.flatnonzero(places >= 0).tolist():
        yield Numbered(number=index + 1, label=labels[index], place=int(places[index]))


def validation_name(number: int) -> str:
    """Return the published name of a validation image.

    Example:
        >>> validation_name(7)
        'ILSVRC2012_val_00000007.JPEG'
    """
    return f"ILSVRC2012_val_{number:08d}.JPEG"


def _places(kit: Path, names: Callable[[], Iterable[str]], count: int, skipped: list[str] | None) -> NDArray[np.int64]:
    """Return at which place among the names each image is, int64[count]; -1 where it is not there."""
    places = np.full(count, -1, np.int64)
    for place, name in enumerate(names()):
        found = _NUMBERED.fullmatch(name)
        number = int(found[1]) if found else 0
        if not 0 < number <= count:
            if skipped is None:
                expected = f"{validation_name(1)} to {count:08d}"
                what = "an image has no label in the development kit"
                raise DatasetError(what, where=str(kit), got=name, expected=expected)
            skipped.append(f"{name}: it has no label in the development kit")
        elif places[number - 1] >= 0:
            got = [next(islice(names(), int(places[number - 1]), None)), name]
            raise DatasetError("two images have one number of the development kit", where=str(kit), got=got)
        else:
            places[number - 1] = place
    return places


def _labels(kit: Path) -> list[int]:
    folder = next((each for each in (kit, kit / "data") if (each / GROUND_TRUTH).is_file()), None)
    if folder is None or not (folder / META).is_file():
        raise DatasetUnavailableError("the development kit is missing", where=str(kit), expected=_EXPECTED)
    wordnet = _wordnet_ids(folder / META)
    places = {wordnet_id: label for label, wordnet_id in enumerate(sorted(wordnet.values()))}
    try:
        return [places[wordnet[int(line)]] for line in read_text(folder / GROUND_TRUTH).split()]
    except (ValueError, KeyError) as error:
        raise DatasetError(
            "a label is no class of the kit", where=str(folder / GROUND_TRUTH), got=str(error)
        ) from error


def _wordnet_ids(path: Path) -> dict[int, str]:
    """Return the WordNet id of each class without children by the kit's own number."""
    from scipy.io import loadmat

    try:
        table = loadmat(path, squeeze_me=True, variable_names=["synsets"])["synsets"]
        rows = zip(table["ILSVRC2012_ID"].tolist(), table["WNID"].tolist(), table["num_children"].tolist(), strict=True)
        return {int(number): str(wordnet_id) for number, wordnet_id, children in rows if not int(children)}
    except Exception as error:  # scipy raises what its parser meets
        raise DatasetError("the table of classes cannot be read", where=str(path), got=str(error)) from error
