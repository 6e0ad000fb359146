"""The store of reference answers: made once, shared by runs and processes, believed only while their digests hold."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.errors import HarnessError
from bytemlperf.spec import digest

if TYPE_CHECKING:
    from bytemlperf.spec.reading import Json

logger = logging.getLogger(__name__)

FOLDER: Final = "references"
"""Below the cache's root (`BYTEMLPERF_CACHE`)."""
QUARANTINE: Final = "quarantine"
RECORD: Final = "record.json"


@attrs.frozen(kw_only=True, eq=False)
class ReferenceStore:
    """A folder of answers by what decides them.

    An entry is a folder named by the digest of its identity, with `record.json` (the identity, and the sha256 of every
    other file) and arrays as .npy. It is written beside its place and moved there whole. It is believed while its
    record's identity is the one that its name is made of, and its files are those of the record and no others.

    Attributes:
        folder: Of the store; made where it does not exist.
        lock: Keeps other runs from making an entry of that name while the block runs.
    """

    folder: Path
    lock: Callable[[str], AbstractContextManager[object]]

    def find(self, identity: Mapping[str, Json]) -> Path | None:
        """Return the folder of an entry that is there, as it was made.

        Raises:
            HarnessError: If a damaged one cannot be put aside.
        """
        return self._read(digest(identity))

    def kept(self, identity: Mapping[str, Json], make: Callable[[Path], None]) -> Path:
        """Return the folder of an entry, made first where it is not there or no longer what was made.

        Args:
            identity: All that decides the content, as JSON data.
            make: Writes the entry's files into a folder that it is given.

        Raises:
            HarnessError: If the store cannot be written; and whatever `make` raises.
        """
        key = digest(identity)
        found = self._read(key)
        if found is not None:
            return found
        with self.lock(f"reference {key[:16]}"):
            return self._read(key) or self._made(key, identity, make)

    def _read(self, key: str) -> Path | None:
        """Return an entry that is as it was made; one that is not is put aside."""
        home = self.folder / key
        if not home.is_dir():
            return None
        if _is_whole(home):
            return home
        self._quarantine(home)
        return None

    def _quarantine(self, home: Path) -> None:
        aside = self.folder / QUARANTINE / f"{home.name[:16]}-{uuid.uuid4().hex[:8]}"
        try:
            aside.parent.mkdir(exist_ok=True)
            home.rename(aside)
        except FileNotFoundError:  # another process was first
            return
        except OSError as error:
            raise self._unwritable(error) from error
        logger.warning("reference answers were damaged: put aside as %s, to be made anew", aside)

    def _made(self, key: str, identity: Mapping[str, Json], make: Callable[[Path], None]) -> Path:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(prefix=".making-", dir=self.folder))
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            make(fresh)
            files = {path.name: _sha256(path) for path in sorted(fresh.iterdir())}
            record = json.dumps({"identity": identity, "files": files}, indent=1)
            (fresh / RECORD).write_text(record, encoding="utf-8")
            fresh.chmod(0o755)
            return self._placed(fresh, key)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _placed(self, fresh: Path, key: str) -> Path:
        """Move an entry to its place, unless another machine on the same folder was first."""
        home = self.folder / key
        try:
            fresh.rename(home)
        except OSError:
            found = self._read(key)
            if found is not None:
                return found
            fresh.rename(home)
        return home

    def _unwritable(self, error: OSError) -> HarnessError:
        return HarnessError(
            "the store of reference answers cannot be written",
            where=str(self.folder),
            got=f"{type(error).__name__}: {error.strerror}",
            remedy="make room, or set BYTEMLPERF_CACHE to another folder",
        )


def _is_whole(home: Path) -> bool:
    """Whether an entry is what its name and its record say: one that was copied from elsewhere is not."""
    try:
        record = json.loads((home / RECORD).read_text(encoding="utf-8"))
        files, there = record["files"], {path.name for path in home.iterdir()}
        same = digest(record["identity"]) == home.name and bool(files) and there == {RECORD, *files}
        return same and all(_sha256(home / name) == sha256 for name, sha256 in files.items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
