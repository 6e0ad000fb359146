"""What is made of a data set's files, once: kept in the cache and read from there row by row."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bytemlperf.errors import ArtifactError, DatasetError
from bytemlperf.fetch import Entry, cache_dir, kept, kept_by_content, remembered_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FOLDER: Final = "datasets"
"""Folder of the cache; in it is one for each data set."""
_SKIPPED: Final = "skipped.json"


def binary_form(
    dataset: str, make: Callable[[Path], object], *, key: Sequence[object], cache: str | Path | None = None
) -> Entry:
    """Return the folder of what is made of a data set's files; it is made where it is missing.

    Args:
        dataset: Name.
        make: Writes the files into an empty folder; what it raises leaves nothing behind.
        key: All that decides what is made: the version, the files' digests, the tokenizer's, the options.
        cache: Folder of the cache; None for the usual one.

    Raises:
        ArtifactError: If the cache cannot be written; and whatever `make` raises.
    """
    digest = hashlib.sha256("\n".join(str(each) for each in key).encode()).hexdigest()
    return kept(_home(dataset, cache) / digest, "rows", _into_folder(make), about={"source": dataset})


def listing(dataset: str, make: Callable[[Path], object], *, cache: str | Path | None = None) -> Entry:
    """Do as `binary_form` does with what has to be looked up anew each time, such as which files a folder has.

    Raises:
        ArtifactError: If the cache cannot be written; and whatever `make` raises.
    """
    return kept_by_content(_home(dataset, cache), "rows", _into_folder(make), about={"source": dataset})


def content_digest(path: Path, *, cache: str | Path | None = None) -> str:
    """Return a file's sha256; that of a large one is remembered while nothing has touched the file.

    Raises:
        DatasetError: If it cannot be read.
    """
    try:
        return remembered_digest((path,), base=path.parent, cache=cache_dir(cache))
    except ArtifactError as error:
        raise DatasetError("a file cannot be read", where=str(path), got=error.got) from error


def write_skipped(folder: Path, skipped: Sequence[str]) -> None:
    """Write which records were left out, and why.

    Raises:
        OSError: If it cannot be written.
    """
    (folder / _SKIPPED).write_text(json.dumps(skipped), encoding="utf-8")


def read_skipped(folder: Path) -> tuple[str, ...]:
    """Return what `write_skipped` wrote."""
    return tuple(json.loads((folder / _SKIPPED).read_text(encoding="utf-8")))


def _home(dataset: str, cache: str | Path | None) -> Path:
    return cache_dir(cache) / FOLDER / dataset


def _into_folder(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def made(folder: Path) -> None:
        folder.mkdir()
        make(folder)

    return made
