"""What many files hold, as one digest: read once, and believed while nothing has touched them."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Final

from bytemlperf.datasets.decoding import for_each
from bytemlperf.errors import ArtifactError, DatasetError, DatasetUnavailableError
from bytemlperf.fetch import cache_dir, kept

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

VERSION: Final = "contents/v1"


def content_of_files(paths: Sequence[Path], *, workers: int = 1) -> str:
    """Return a sha256 over what some files hold, in order; their names are no part of it.

    All are read, unless they were before: what was found is kept in the cache under their paths, sizes, times of the
    last writing and of the last change of any kind, and inodes.

    Args:
        paths: Of the files.
        workers: Threads that read.

    Raises:
        DatasetUnavailableError: If a file is missing.
        DatasetError: If one cannot be read; names it.
    """
    known = [f"{path.absolute()} {_state(path)}" for path in paths]
    return _kept(known, lambda row: sha256_of(paths[row]), len(paths), workers=workers)


def content_of_members(archive: Path, names: Sequence[str], sha256: Callable[[str], str], *, workers: int = 1) -> str:
    """Return what `content_of_files` would if an archive's files lay in a folder.

    Args:
        archive: It, whose own state decides whether it is read again.
        names: Of files in it.
        sha256: Digest of a file of that name.
        workers: Threads that read.

    Raises:
        DatasetError: As `content_of_files`, and whatever `sha256` raises.
    """
    known = [f"{archive.absolute()} {_state(archive)}", *names]
    return _kept(known, lambda row: sha256(names[row]), len(names), workers=workers)


def sha256_of(path: Path) -> str:
    """Return the digest of a file's content.

    Raises:
        DatasetError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError("a file cannot be read", where=str(path), got=str(error)) from error


def _state(path: Path) -> str:
    try:
        now = path.stat()
    except OSError as error:
        raise DatasetUnavailableError("a file is missing", where=str(path), got=str(error)) from error
    return f"{now.st_size} {now.st_mtime_ns} {now.st_ctime_ns} {now.st_ino}"


def _kept(known: Sequence[str], sha256: Callable[[int], str], count: int, *, workers: int) -> str:
    """Combine the digests of so many contents, once for each state of what holds them."""
    key = hashlib.sha256("\n".join([VERSION, *known]).encode()).hexdigest()

    def make(path: Path) -> None:
        path.write_text(_combined(sha256, count, workers=workers), encoding="ascii")

    try:
        return kept(cache_dir() / "datasets" / "contents" / key, "sha256", make).path.read_text(encoding="ascii")
    except ArtifactError as error:  # the digest is as good without a cache, and is taken again the next time
        logger.warning("the data set's files are read in every run: %s", error)
        return _combined(sha256, count, workers=workers)


def _combined(sha256: Callable[[int], str], count: int, *, workers: int) -> str:
    found = [""] * count

    def put(row: int) -> None:
        found[row] = sha256(row)

    for_each(put, count, workers=workers)
    return hashlib.sha256("\n".join(found).encode()).hexdigest()
