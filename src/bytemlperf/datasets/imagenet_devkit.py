"""Labels of ImageNet's validation images from the published development kit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bytemlperf.datasets.imagenet_files import LabelledFile
from bytemlperf.datasets.locating import read_text
from bytemlperf.errors import DatasetError, DatasetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

GROUND_TRUTH: Final = "ILSVRC2012_validation_ground_truth.txt"
"""A line for each image in order of its number: the kit's own number of its class, from 1."""
META: Final = "meta.mat"
"""The kit's table of classes, with their WordNet ids."""
_NUMBERED: Final = re.compile(r"(?:.*/)?ILSVRC2012_val_(\d{8})\.JPEG")
_NAME: Final = "ILSVRC2012_val_{:08d}.JPEG"
_EXPECTED: Final = f"a folder that has {GROUND_TRUTH} and {META}, itself or in data/"


def devkit_files(
    kit: Path, sizes: Mapping[str, int], *, classes: int | None, skip: bool = False
) -> tuple[tuple[LabelledFile, ...], tuple[str, ...]]:
    """Return validation images with their labels in the order of their numbers, and what had to be left out.

    A label is the place of a class among the sorted WordNet ids, from 0.

    Args:
        kit: Folder of the development kit.
        sizes: Bytes of each image by name.
        classes: How many classes the model tells apart; None where not known.
        skip: Leave out images without a label, and labels without an image, in the place of refusing the data.

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
    numbered, wrong = _numbered(kit, sizes, len(labels))
    missing = [number for number in range(1, len(labels) + 1) if number not in numbered]
    if not skip and wrong:
        expected = f"{_NAME.format(1)} to {len(labels):08d}"
        raise DatasetError(
            "an image has no label in the development kit", where=str(kit), got=wrong[0], expected=expected
        )
    if not skip and missing:
        what = f"{len(missing)} of {len(labels)} images of the development kit are missing"
        remedy = (
            "leave them out and have them counted: skip_unusable=true; or name those that there are in a val_map.txt"
        )
        raise DatasetUnavailableError(what, where=str(kit), got=_NAME.format(missing[0]), remedy=remedy)
    files = tuple(
        LabelledFile(name=name, label=labels[number - 1], size_bytes=sizes[name])
        for number, name in sorted(numbered.items())
    )
    skipped = (
        *(f"{name}: it has no label in the development kit" for name in wrong),
        *(f"{_NAME.format(number)}: it is missing" for number in missing),
    )
    return files, skipped


def _numbered(kit: Path, names: Iterable[str], count: int) -> tuple[dict[int, str], list[str]]:
    """Return images by their numbers, 1 to `count`, and names that have none of these."""
    numbered: dict[int, str] = {}
    wrong: list[str] = []
    for name in names:
        found = _NUMBERED.fullmatch(name)
        number = int(found[1]) if found else 0
        if not 0 < number <= count:
            wrong.append(name)
        elif number in numbered:
            got = [numbered[number], name]
            raise DatasetError("two images have one number of the development kit", where=str(kit), got=got)
        else:
            numbered[number] = name
    return numbered, wrong


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
