"""Which image has which label: class folders, or a list."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NoReturn

import attrs

from bytemlperf.datasets.locating import read_lines
from bytemlperf.errors import DatasetError, DatasetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VAL_MAP: Final = "val_map.txt"
"""Name of the list: a line for each image, its file relative to the folder and its label from 0."""
EXTENSIONS: Final = frozenset({".jpeg", ".jpg", ".png"})
"""What counts as an image in a class folder, in either case."""
LAYOUTS: Final = (
    f"a folder with {VAL_MAP} (lines of 'file label', labels from 0), "
    "or with one folder of images for each class (n01440764/x.JPEG)"
)


class Layout(StrEnum):
    """How a folder says which label an image has."""

    AUTO = "auto"
    """The list where there is one, else class folders."""
    FOLDERS = "folders"
    VAL_MAP = "val_map"
    DEVKIT = "devkit"
    """The development kit's ground truth, for images numbered as ILSVRC2012_val_00000001.JPEG."""


@attrs.frozen(kw_only=True)
class LabelledFile:
    """An image and its class.

    Attributes:
        name: Path below the folder, with forward slashes.
        label: Class, from 0.
        size_bytes: Size of the file.
    """

    name: str
    label: int
    size_bytes: int


def find_files(folder: Path, *, layout: Layout, synsets: Path | None, classes: int | None) -> tuple[LabelledFile, ...]:
    """Return the images of a folder with their labels, in a fixed order.

    A list gives its own order. Class folders are gone through in turn, the first image of each, then the second
    of each, so that the first samples are a fair part of all classes.

    Args:
        folder: The data set's folder.
        layout: How labels are told.
        synsets: For class folders: a file whose lines begin with the folders' names in the order of the
            labels. None takes the sorted names, which is right only if every class has its folder.
        classes: How many classes the model tells apart; None where not known, and then nothing is held
            against it.

    Raises:
        DatasetUnavailableError: If the folder, or an image of the list, is missing, or there is no image.
        DatasetError: If labels cannot be told, or are not the model's.
    """
    if not folder.is_dir():
        raise DatasetUnavailableError("the data set's folder is missing", where=str(folder), expected=LAYOUTS)
    if layout is Layout.VAL_MAP or (layout is Layout.AUTO and (folder / VAL_MAP).is_file()):
        found = _listed(folder, classes)
    else:
        found = _in_class_folders(folder, synsets, classes)
    if not found:
        raise DatasetUnavailableError("the data set's folder has no image", where=str(folder), expected=LAYOUTS)
    return found


def _listed(folder: Path, classes: int | None) -> tuple[LabelledFile, ...]:
    labels = dict(read_list(folder / VAL_MAP, classes))
    missing = [name for name in labels if not (folder / name).is_file()]
    if missing:
        raise DatasetUnavailableError(
            f"{len(missing)} of {len(labels)} images in {VAL_MAP} are missing", where=str(folder), got=missing[0]
        )
    return tuple(_labelled(folder, name, label) for name, label in labels.items())


def read_list(path: Path, classes: int | None) -> Iterator[tuple[str, int]]:
    """Yield the files of a list and their labels.

    Raises:
        DatasetUnavailableError: If there is no such list.
        DatasetError: If a line cannot be used; names it.
    """
    seen: set[str] = set()
    for number, line in enumerate(_lines(path), start=1):
        name, label = _entry(line) or _refuse_line(path, number, line, "a file below the folder and a label from 0")
        if classes is not None and label >= classes:
            _refuse_line(path, number, line, f"a label below {classes}, the model's number of classes")
        if name in seen:
            _refuse_line(path, number, line, "each file once")
        seen.add(name)
        yield name, label


def _entry(line: str) -> tuple[str, int] | None:
    name, _, label = line.rpartition(" ") if " " in line else line.rpartition("\t")
    path = PurePosixPath(name.strip())
    inside = path.parts and not path.is_absolute() and ".." not in path.parts
    return (str(path), int(label)) if inside and label.isascii() and label.isdigit() else None


def _refuse_line(path: Path, number: int, line: str, expected: str) -> NoReturn:
    raise DatasetError("a line cannot be used", where=f"{path}:{number}", got=line, expected=expected)


def _lines(path: Path) -> list[str]:
    """Return a text file's lines without space around them, and without empty ones at its end."""
    if not path.is_file():
        raise DatasetUnavailableError("a file is missing", where=str(path), expected=LAYOUTS)
    lines = [line.strip() for line in read_lines(path)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _in_class_folders(folder: Path, synsets: Path | None, classes: int | None) -> tuple[LabelledFile, ...]:
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    if not names:
        raise DatasetUnavailableError("the folder has no class folders", where=str(folder), expected=LAYOUTS)
    if synsets is None:
        labels = _sorted_labels(folder, names, classes)
    else:
        labels = _synset_labels(folder, names, synsets, classes)
    found = [each for name in names for each in _ranked(folder, name, labels[name])]
    return tuple(file for _, file in sorted(found, key=lambda each: (each[0], each[1].label)))


def _sorted_labels(folder: Path, names: list[str], classes: int | None) -> Mapping[str, int]:
    if classes is not None and len(names) != classes:
        raise DatasetError(
            "class folders do not tell their labels: some are missing, or there are too many",
            where=str(folder),
            got=f"{len(names)} folders",
            expected=f"one for each of the model's {classes} classes",
            remedy="give the order of all classes as `synsets`, a text file, or a list of images as val_map.txt",
        )
    return {name: label for label, name in enumerate(names)}


def _synset_labels(folder: Path, names: list[str], synsets: Path, classes: int | None) -> Mapping[str, int]:
    labels = {line.split()[0]: label for label, line in enumerate(_lines(synsets)) if line}
    if classes is not None and len(labels) > classes:
        message = f"{synsets.name} has more lines than the model has classes"
        raise DatasetError(message, where=str(synsets), got=len(labels), expected=f"at most {classes}")
    unknown = [name for name in names if name not in labels]
    if unknown:
        raise DatasetError(f"{len(unknown)} class folders are not in {synsets.name}", where=str(folder), got=unknown[0])
    return labels


def _ranked(folder: Path, name: str, label: int) -> Iterator[tuple[int, LabelledFile]]:
    files = sorted(each.name for each in (folder / name).iterdir() if each.suffix.lower() in EXTENSIONS)
    for rank, file in enumerate(files):
        yield rank, _labelled(folder, f"{name}/{file}", label)


def _labelled(folder: Path, name: str, label: int) -> LabelledFile:
    return LabelledFile(name=name, label=label, size_bytes=(folder / name).stat().st_size)
