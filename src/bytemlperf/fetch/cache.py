"""The cache: entries that appear whole or not at all, and are compared with their record whenever they are read."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bytemlperf.errors import ArtifactError
from bytemlperf.fetch.entry import Entry, Record, note_use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

logger = logging.getLogger(__name__)

CACHE_VARIABLE: Final = "BYTEMLPERF_CACHE"
"""Environment variable that names the cache folder."""

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_WRITING: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
"""Refusals of this machine, also where the system does not say of which file."""

UNFINISHED: Final = ".new"
"""How the folder ends in which an entry is being made; one that nobody holds the lock of is left from a death."""


def cache_dir(path: Path | str | None = None) -> Path:
    """Return the cache folder: `path`, else that of BYTEMLPERF_CACHE, else `~/.cache/bytemlperf`.

    Nothing is made; the environment is read at each call.

    Raises:
        ArtifactError: If there is no home folder to put it in.
    """
    chosen = path or os.environ.get(CACHE_VARIABLE) or "~/.cache/bytemlperf"
    try:
        return Path(chosen).expanduser().absolute()
    except RuntimeError as error:
        raise ArtifactError(
            "there is no folder for the cache", got=str(error), remedy=f"set {CACHE_VARIABLE} to a folder"
        ) from error


def kept(
    folder: Path,
    name: str,
    make: Callable[[Path], object],
    *,
    about: Mapping[str, str] | None = None,
    failing: type[ArtifactError] = ArtifactError,
) -> Entry:
    """Return the content `name` of the entry `folder`, made first where it is missing or damaged.

    Of several threads and processes that ask for one entry, one makes it and the others wait for it.
    A process that dies leaves nothing that is taken for an entry. Whenever an entry is read, its
    files are compared with the record of their digests; files of 64 MiB and more are read for that
    only where their size, times or inode say that something has touched them.

    Args:
        folder: The entry's own folder; nobody else writes into it.
        name: Plain name of the file or folder in it.
        make: Writes the content to the path that it is given, which does not exist yet, and may
            write files that belong to it beside it.
        about: What to record of it for whoever lists the cache.
        failing: Error where the cache cannot be written.

    Raises:
        ArtifactError: If the cache cannot be written; and whatever `make` raises.
    """
    found = _read(folder, name)
    if found is not None:
        return found
    with _told(folder, failing):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            return _read(folder, name) or _made(folder, name, make, about or {})


def kept_by_content(
    parent: Path,
    name: str,
    make: Callable[[Path], object],
    *,
    about: Mapping[str, str] | None = None,
    failing: type[ArtifactError] = ArtifactError,
) -> Entry:
    """Make content of which nothing tells beforehand what it will be, and keep it under its digest.

    Args:
        parent: Folder of the entry.
        name: As for `kept`.
        make: As for `kept`; called each time.
        about: As for `kept`.
        failing: As for `kept`.

    Raises:
        ArtifactError: If the cache cannot be written; and whatever `make` raises.
    """
    with _told(parent, failing):
        parent.mkdir(parents=True, exist_ok=True)
        with _fresh(parent, "content") as fresh:
            record = _recorded(fresh, name, make, about or {})
            folder = parent / record.sha256
            with locked(folder):
                found = _read(folder, name)
                if found is None:
                    _put(fresh, folder)
    return found or Entry(path=folder / name, sha256=record.sha256)


def local_remedy(error: BaseException) -> str | None:
    """Say what helps where this machine refuses to write; None where it is something else.

    Example:
        >>> local_remedy(OSError(errno.EROFS, "Read-only file system"))
        'choose a folder that can be written to by cache= or BYTEMLPERF_CACHE'
    """
    if not isinstance(error, OSError) or error.errno is None:
        return None
    if error.errno in _NO_ROOM:
        return f"make room (`bytemlperf cache list`), or choose another folder by cache= or {CACHE_VARIABLE}"
    if error.errno in _NO_WRITING or error.filename is not None:
        return f"choose a folder that can be written to by cache= or {CACHE_VARIABLE}"
    return None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold an entry's lock file; the system frees it when its holder dies.

    Raises:
        OSError: If it cannot be made.
    """
    with (folder.parent / f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(folder: Path, name: str) -> Entry | None:
    """Return an entry whose content is what was recorded; None where it is not."""
    record = Record.read(folder)
    if record is None or record.name != name or record.damage(folder) is not None:
        return None
    note_use(folder)
    return Entry(path=folder / name, sha256=record.sha256)


def _made(folder: Path, name: str, make: Callable[[Path], object], about: Mapping[str, str]) -> Entry:
    """Make an entry beside its place and move it there. The lock is held, so nobody else does."""
    for left in folder.parent.glob(f".{folder.name}.*{UNFINISHED}"):
        shutil.rmtree(left, ignore_errors=True)
    with _fresh(folder.parent, folder.name) as fresh:
        record = _recorded(fresh, name, make, about)
        _put(fresh, folder)
    return Entry(path=folder / name, sha256=record.sha256)


@contextmanager
def _fresh(parent: Path, name: str) -> Iterator[Path]:
    fresh = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=UNFINISHED, dir=parent))
    try:
        fresh.chmod(0o755)
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _recorded(fresh: Path, name: str, make: Callable[[Path], object], about: Mapping[str, str]) -> Record:
    make(fresh / name)
    record = Record.of(fresh, name, about)
    record.write(fresh)
    return record


def _put(fresh: Path, folder: Path) -> None:
    if folder.exists():
        logger.warning("an entry of the cache was damaged and has been made anew: %s", folder)
        damaged = fresh.with_suffix(f".old{UNFINISHED}")  # so named that the next maker clears it away if we die here
        folder.rename(damaged)
        fresh.rename(folder)
        shutil.rmtree(damaged, ignore_errors=True)
    else:
        fresh.rename(folder)


@contextmanager
def _told(folder: Path, failing: type[ArtifactError]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise failing(
            "an entry of the cache cannot be written",
            where=str(folder),
            got=f"{type(error).__name__}: {error}",
            remedy=local_remedy(error) or f"choose another folder by cache= or {CACHE_VARIABLE}",
        ) from error
