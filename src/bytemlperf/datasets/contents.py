"""What many files hold, as one digest: read once, and believed while nothing has touched them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final, TypeVar

import attrs

from bytemlperf.datasets.decoding import for_each
from bytemlperf.errors import ArtifactError, DatasetError, DatasetUnavailableError
from bytemlperf.fetch import cache_dir, kept

logger = logging.getLogger(__name__)

VERSION: Final = "contents/v1"
_AT_ONCE: Final = 1024
_T = TypeVar("_T")


@attrs.frozen
class Paths:
    """Paths that are made anew each time they are gone through.

    Attributes:
        make: Yields them.
    """

    make: Callable[[], Iterator[Path]]

    def __iter__(self) -> Iterator[Path]:
        """Yield them."""
        return self.make()


def content_of_files(paths: Iterable[Path], *, workers: int = 1) -> str:
    """Return a sha256 over what some files hold, in order; their names are no part of it.

    All are read, unless they were before: what was found is kept in the cache under their paths, sizes, times of the
    last writing and of the last change of any kind, and inodes.

    Args:
        paths: Of the files; gone through twice, and only some at a time are in memory.
        workers: Threads that read.

    Raises:
        DatasetUnavailableError: If a file is missing.
        DatasetError: If one cannot be read; names it.
    """
    return _kept((f"{path.absolute()} {_state(path)}" for path in paths), sha256_of, paths, workers=workers)


def content_of_members(archive: Path, members: Iterable[_T], sha256: Callable[[_T], str], *, workers: int = 1) -> str:
    """Return what `content_of_files` would if an archive's files lay in a folder.

    Args:
        archive: It, whose own state decides whether it is read again.
        members: Files in it, told apart by what they say of themselves; gone through twice.
        sha256: Digest of a file of it.
        workers: Threads that read.

    Raises:
        DatasetError: As `content_of_files`, and whatever `sha256` raises.
    """
    known = chain([f"{archive.absolute()} {_state(archive)}"], (str(each) for each in members))
    return _kept(known, sha256, members, workers=workers)


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


def _kept(known: Iterable[str], sha256: Callable[[_T], str], files: Iterable[_T], *, workers: int) -> str:
    """Combine the digests of some files, once for each state of what holds them."""
    key = hashlib.sha256(VERSION.encode())
    for each in known:
        key.update(f"\n{each}".encode())

    def make(path: Path) -> None:
        path.write_text(_combined(sha256, files, workers=workers), encoding="ascii")

    folder = cache_dir() / "datasets" / "contents" / key.hexdigest()
    try:
        return kept(folder, "sha256", make, about={"source": "contents"}).path.read_text(encoding="ascii")
    except ArtifactError as error:  # the digest is as good without a cache, and is taken again the next time
        logger.warning("the data set's files are read in every run: %s", error)
        return _combined(sha256, files, workers=workers)


def _combined(sha256: Callable[[_T], str], files: Iterable[_T], *, workers: int) -> str:
    digest, source, between = hashlib.sha256(), iter(files), b""
    while block := list(islice(source, _AT_ONCE)):
        digest.update(between + "\n".join(_digests(sha256, block, workers)).encode())
        between = b"\n"
    return digest.hexdigest()


def _digests(sha256: Callable[[_T], str], files: Sequence[_T], workers: int) -> list[str]:
    found = [""] * len(files)

    def put(row: int) -> None:
        found[row] = sha256(files[row])

    for_each(put, len(files), workers=workers)
    return found
