"""The cache: entries that appear whole or not at all, and are verified whenever they are read."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.artifact import digest_of
from bytemlperf.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

CACHE_VARIABLE: Final = "BYTEMLPERF_CACHE"
"""Environment variable that names the cache folder."""

_RECORD: Final = ".entry.json"


@attrs.frozen(kw_only=True)
class Entry:
    """The content of one entry of the cache.

    Attributes:
        path: The file or folder; not to be written to.
        sha256: Its digest, as `digest_of` computes it.
    """

    path: Path
    sha256: str


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


def kept(folder: Path, name: str, make: Callable[[Path], None]) -> Entry:
    """Return the content `name` of the entry `folder`, made first where it is missing or damaged.

    Of several threads and processes that ask for one entry, one makes it and the others wait for it.
    A process that dies leaves nothing that is taken for an entry.

    Args:
        folder: The entry's own folder; nobody else writes into it.
        name: Plain name of the file or folder in it.
        make: Writes the content to the path that it is given, which does not exist yet.

    Raises:
        ArtifactError: If the cache cannot be written; and whatever `make` raises.
    """
    found = _read(folder, name)
    if found is not None:
        return found
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            return _read(folder, name) or _made(folder, name, make)
    except OSError as error:
        raise ArtifactError(
            "an entry of the cache cannot be written",
            where=str(folder),
            got=f"{type(error).__name__}: {error}",
            remedy=f"make room, or choose another folder by cache= or {CACHE_VARIABLE}",
        ) from error


def _read(folder: Path, name: str) -> Entry | None:
    """Return an entry whose content is what was recorded; None where it is not."""
    path = folder / name
    try:
        recorded = json.loads((folder / _RECORD).read_text(encoding="utf-8"))["sha256"]
        found = digest_of(path)
    except (OSError, ValueError, LookupError, TypeError, ArtifactError):
        return None
    return Entry(path=path, sha256=found) if found == recorded else None


def _made(folder: Path, name: str, make: Callable[[Path], None]) -> Entry:
    """Make an entry beside its place and move it there. The lock is held, so nobody else does."""
    for left in folder.parent.glob(f".{folder.name}.*.new"):
        shutil.rmtree(left, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".new", dir=folder.parent))
    try:
        make(fresh / name)
        sha256 = digest_of(fresh / name)
        (fresh / _RECORD).write_text(json.dumps({"sha256": sha256}), encoding="utf-8")
        fresh.chmod(0o755)
        _put(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Entry(path=folder / name, sha256=sha256)


def _put(fresh: Path, folder: Path) -> None:
    if folder.exists():
        logger.warning("an entry of the cache was damaged and has been made anew: %s", folder)
        damaged = fresh.with_suffix(".old.new")  # so named that the next maker clears it away if we die here
        folder.rename(damaged)
        fresh.rename(folder)
        shutil.rmtree(damaged, ignore_errors=True)
    else:
        fresh.rename(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the entry's lock file; the system frees it when its holder dies."""
    with (folder.parent / f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
