"""Labels of ImageNet's validation images from the published development kit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bytemlperf.datasets.imagenet_files import LabelledFile
from bytemlperf.datasets.locating import read_text
from bytemlperf.errors import DatasetError, DatasetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GROUND_TRUTH: Final = "ILSVRC2012_validation_ground_truth.txt"
"""A line for each image in order of its number: the kit's own number of its class, from 1."""
META: Final = "meta.mat"
"""The kit's table of classes, with their WordNet ids."""
_NUMBERED: Final = re.compile(r"(?:.*/)?ILSVRC2012_val_(\d{8})\.JPEG")
_EXPECTED: Final = f"a folder that has {GROUND_TRUTH} and {META}, itself or in data/"


def devkit_files(kit: Path, sizes: Mapping[str, int], *, classes: int | None) -> tuple[LabelledFile, ...]:
    """Return validation images with their labels in the order of their numbers.

    A label is the place of a class among the sorted WordNet ids, from 0.

    Args:
        kit: Folder of the development kit.
        sizes: Bytes of each image by name.
        classes: How many classes the model tells apart; None where not known.

    Raises:
        DatasetUnavailableError: If a file of the kit is missing.
        DatasetError: If an image has no label, or the kit's files are damaged.
    """
    labels = _labels(kit)
    if classes is not None and max(labels, default=0) >= classes:
        got, expected = max(labels), f"labels below {classes}, the model's number of classes"
        raise DatasetError(
            "the development kit has more classes than the model", where=str(kit), got=got, expected=expected
        )
    numbered = {name: _NUMBERED.fullmatch(name) for name in sizes}
    wrong = next((name for name, found in numbered.items() if not found or not 0 < int(found[1]) <= len(labels)), None)
    if wrong is not None:
        expected = f"ILSVRC2012_val_00000001.JPEG to {len(labels):08d}"
        raise DatasetError("an image has no label in the development kit", where=str(kit), got=wrong, expected=expected)
    numbers = sorted((int(found[1]), name) for name, found in numbered.items() if found)
    return tuple(LabelledFile(name=name, label=labels[number - 1], size_bytes=sizes[name]) for number, name in numbers)


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
