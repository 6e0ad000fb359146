"""Which image has which label: class folders, or a list."""

from __future__ import annotations

import stat
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NoReturn

import numpy as np

from bytemlperf.datasets.binary_form import listing
from bytemlperf.datasets.listed_files import LabelledFile, ListedFiles, add_files, write_turns
from bytemlperf.datasets.repeats import name_digests, repeated_digests
from bytemlperf.datasets.text_files import text_lines
from bytemlperf.errors import DatasetError, DatasetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DATASET: Final = "imagenet2012"
"""Name of the data set, and of its folder in the cache."""

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


def find_files(
    folder: Path, *, layout: Layout, synsets: Path | None, classes: int | None, cache: str | None = None
) -> ListedFiles:
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
        cache: Folder of the cache, in which the list is kept; None for the usual one.

    Raises:
        DatasetUnavailableError: If the folder, or an image of the list, is missing, or there is no image.
        DatasetError: If labels cannot be told, or are not the model's.
        ArtifactError: If the cache cannot be written.
    """
    if not folder.is_dir():
        raise DatasetUnavailableError("the data set's folder is missing", where=str(folder), expected=LAYOUTS)

    def write(made: Path) -> None:
        if layout is Layout.VAL_MAP or (layout is Layout.AUTO and (folder / VAL_MAP).is_file()):
            total = add_list(made, _listed(folder, classes), folder / VAL_MAP)
        else:
            total = _add_class_folders(made, folder, synsets, classes)
        if not total:
            raise DatasetUnavailableError("the data set's folder has no image", where=str(folder), expected=LAYOUTS)

    return ListedFiles(listing(DATASET, write, cache=cache).path)


def _listed(folder: Path, classes: int | None) -> Iterator[LabelledFile]:
    missing: list[str] = []
    total = lost = 0
    for name, label in read_list(folder / VAL_MAP, classes):
        total += 1
        size = _size(folder / name)
        if size is not None:
            yield LabelledFile(name=name, label=label, size_bytes=size)
        else:
            lost, missing = lost + 1, missing or [name]
    if missing:
        what = f"{lost} of {total} images in {VAL_MAP} are missing"
        raise DatasetUnavailableError(what, where=str(folder), got=missing[0])


def _size(path: Path) -> int | None:
    """Return a file's size in bytes; None where there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def add_list(made: Path, files: Iterable[LabelledFile], path: Path) -> int:
    """Write the images of a list, each of which it must name once; return how many they are.

    Args:
        made: Folder into which they are written.
        files: The images.
        path: Of the list.

    Raises:
        DatasetError: If an image is named twice; names the line. And whatever looking at the files raises.
    """
    total = add_files(made, files)
    repeated = set(repeated_digests(made / "digests", ListedFiles(made).names()).tolist())
    seen: set[str] = set()
    for number, line in enumerate(_lines(path) if repeated else (), start=1):
        name, _ = _entry(line) or ("", 0)
        if int(name_digests([name])[0]) in repeated:
            if name in seen:
                _refuse_line(path, number, line, "each file once")
            seen.add(name)
    return total


def read_list(path: Path, classes: int | None) -> Iterator[tuple[str, int]]:
    """Yield the files of a list and their labels; whether one comes twice is not looked at.

    Raises:
        DatasetUnavailableError: If there is no such list.
        DatasetError: If a line cannot be used; names it.
    """
    for number, line in enumerate(_lines(path), start=1):
        name, label = _entry(line) or _refuse_line(path, number, line, "a file below the folder and a label from 0")
        if classes is not None and label >= classes:
            _refuse_line(path, number, line, f"a label below {classes}, the model's number of classes")
        yield name, label


def _entry(line: str) -> tuple[str, int] | None:
    name, _, label = line.rpartition(" ") if " " in line else line.rpartition("\t")
    path = PurePosixPath(name.strip())
    inside = path.parts and not path.is_absolute() and ".." not in path.parts
    return (str(path), int(label)) if inside and label.isascii() and label.isdigit() else None


def _refuse_line(path: Path, number: int, line: str, expected: str) -> NoReturn:
    raise DatasetError("a line cannot be used", where=f"{path}:{number}", got=line, expected=expected)


def _lines(path: Path) -> Iterator[str]:
    """Yield a text file's lines without space around them, and without empty ones at its end."""
    if not path.is_file():
        raise DatasetUnavailableError("a file is missing", where=str(path), expected=LAYOUTS)
    empty = 0
    for line in text_lines(path):
        if not line.strip():
            empty += 1
            continue
        yield from ("" for _ in range(empty))
        yield line.strip()
        empty = 0


def _add_class_folders(made: Path, folder: Path, synsets: Path | None, classes: int | None) -> int:
    """Write the images of class folders, and the order in which they take turns; return how many they are."""
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    if not names:
        raise DatasetUnavailableError("the folder has no class folders", where=str(folder), expected=LAYOUTS)
    if synsets is None:
        labels = _sorted_labels(folder, names, classes)
    else:
        labels = _synset_labels(folder, names, synsets, classes)
    counts = [add_files(made, _of_class(folder, name, labels[name])) for name in names]
    write_turns(made, np.array(counts), np.argsort([labels[name] for name in names], kind="stable"))
    return sum(counts)


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


def _of_class(folder: Path, name: str, label: int) -> Iterator[LabelledFile]:
    for file in sorted(each.name for each in (folder / name).iterdir() if each.suffix.lower() in EXTENSIONS):
        yield LabelledFile(name=f"{name}/{file}", label=label, size_bytes=(folder / name / file).stat().st_size)
