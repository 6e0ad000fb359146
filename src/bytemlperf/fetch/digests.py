"""Digests of files: computed by reading, and believed of large files while nothing has touched them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.artifact import digest_of_files
from bytemlperf.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bytemlperf.spec.reading import Json

BELIEVED_FROM_BYTES: Final = 64 << 20
"""From that size on, a digest that was computed before is believed while nothing has touched the file."""

_REMEMBERED: Final = "digests"


@attrs.frozen(kw_only=True)
class Seen:
    """A file as it was when it was read to its end.

    Attributes:
        sha256: Digest of its content.
        size_bytes: Its size.
        touched: Time of its last writing and of its last change of any kind, in ns, and its inode.
    """

    sha256: str
    size_bytes: int
    touched: tuple[int, int, int]

    def to_json(self) -> Json:
        """Return it as plain JSON."""
        return {"sha256": self.sha256, "size_bytes": self.size_bytes, "touched": list(self.touched)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Seen:
        """Read what `to_json` gave.

        Raises:
            LookupError, TypeError, ValueError: If it is something else.
        """
        sha256, size, touched = data["sha256"], data["size_bytes"], data["touched"]
        if not isinstance(sha256, str) or not isinstance(size, int) or not isinstance(touched, list):
            raise TypeError("no record of a file")
        mtime_ns, ctime_ns, inode = touched
        return cls(sha256=sha256, size_bytes=size, touched=(mtime_ns, ctime_ns, inode))


def seen(path: Path) -> Seen:
    """Read a file to its end and return what it is.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Seen(sha256=sha256, size_bytes=before.st_size, touched=_touched(before))


def still(path: Path, known: Seen, *, anew: bool = False) -> Seen:
    """Return what a file is now; a large one that nothing has touched since is believed and not read.

    Args:
        path: The file.
        known: What it was.
        anew: Read it in any case.

    Raises:
        OSError: If it is not there, or cannot be read.
    """
    now = path.stat()
    untouched = (now.st_size, _touched(now)) == (known.size_bytes, known.touched)
    return known if untouched and now.st_size >= BELIEVED_FROM_BYTES and not anew else seen(path)


def remembered_digest(paths: Iterable[Path], *, base: Path, cache: Path) -> str:
    """Return the digest of files as that of one file, or of a folder that holds just these.

    The digest of a large file is kept in the cache under its path, so that it is read once.

    Args:
        paths: One file, or several below `base`.
        base: The folder from which names are taken where there are several.
        cache: The cache folder.

    Raises:
        ArtifactError: If a file cannot be read.
    """
    found = {path: remembered(path, cache=cache).sha256 for path in paths}
    if len(found) == 1:
        return next(iter(found.values()))
    return digest_of_files({path.relative_to(base).as_posix(): sha256 for path, sha256 in found.items()})


def remembered(path: Path, *, cache: Path, anew: bool = False) -> Seen:
    """Return what a file is; the digest of a large one is kept in the cache under its path.

    Raises:
        ArtifactError: If it cannot be read.
    """
    key = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:32]
    record = cache / _REMEMBERED / f"{key}.json"
    try:
        known = _known(record)
        now = seen(path) if known is None else still(path, known, anew=anew)
    except OSError as error:
        raise ArtifactError("a file cannot be read", where=str(path), got=str(error)) from error
    if now != known and now.size_bytes >= BELIEVED_FROM_BYTES:
        with contextlib.suppress(OSError):  # it is then read again the next time
            write_json(record, now.to_json())
    return now


def write_json(path: Path, data: Json) -> None:
    """Write a small file so that a reader sees the old content or the new, and nothing between.

    Raises:
        OSError: If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file)
        Path(name).chmod(0o644)  # a cache may be shared by several users
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _known(record: Path) -> Seen | None:
    try:
        return Seen.from_json(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _touched(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino
