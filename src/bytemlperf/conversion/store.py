"""A folder of converted files: written whole or not at all, believed only while their digest is the recorded one."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.artifact import digest_of
from bytemlperf.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD: Final = "record.json"


@attrs.frozen(kw_only=True)
class StoredFile:
    """A file of the store.

    Attributes:
        path: The file; data files that it refers to lie beside it.
        sha256: Digest of the file, or of its folder where data files lie beside it.
    """

    path: Path
    sha256: str


def stored(folder: Path, key: str | None, file_name: str, write: Callable[[Path], None]) -> StoredFile:
    """Return the file of a key, made where it is not there or is no longer what was made.

    Several processes may ask for one key at a time: each makes the file apart, the first stays.

    Args:
        folder: The store; made where it does not exist.
        key: What decides the content, as a name for a folder; None where nothing known beforehand
            does: then the file is always made, and kept under its digest.
        file_name: Name of the file.
        write: Makes the file at the path that it is given, and others beside it if it must.

    Raises:
        ConversionError: If the folder cannot be written.
    """
    try:
        kept = _kept(folder / key, file_name) if key else None
        return kept or _made(folder, key, file_name, write)
    except OSError as error:
        raise ConversionError(
            "a converted model cannot be kept", where=str(folder), got=str(error), remedy="give a folder with space"
        ) from error


def _kept(home: Path, file_name: str) -> StoredFile | None:
    try:
        recorded = json.loads((home / RECORD).read_text(encoding="utf-8"))["sha256"]
        found = _content(home / "model", file_name)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return found if found.sha256 == recorded else None


def _content(folder: Path, file_name: str) -> StoredFile:
    path = folder / file_name
    if not path.is_file():
        raise FileNotFoundError(path)
    alone = sum(1 for _ in folder.iterdir()) == 1
    return StoredFile(path=path, sha256=digest_of(path if alone else folder))


def _made(folder: Path, key: str | None, file_name: str, write: Callable[[Path], None]) -> StoredFile:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".making-", ignore_cleanup_errors=True) as scratch:
        fresh = Path(scratch) / "fresh"
        (fresh / "model").mkdir(parents=True)
        write(fresh / "model" / file_name)
        made = _content(fresh / "model", file_name)
        (fresh / RECORD).write_text(json.dumps({"sha256": made.sha256}), encoding="utf-8")
        return _placed(fresh, folder / (key or made.sha256), file_name, scratch=Path(scratch))


def _placed(fresh: Path, home: Path, file_name: str, *, scratch: Path) -> StoredFile:
    """Move what was made to its place, unless another process was first."""
    try:
        fresh.rename(home)
    except OSError:  # something is there already
        kept = _kept(home, file_name)
        if kept is not None:
            return kept
        home.rename(scratch / "broken")
        fresh.rename(home)
    return _content(home / "model", file_name)
