"""One entry of the cache on disk: its content, and the record beside it of what the content was when it was made."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import attrs

from bytemlperf.artifact import digest_of_files
from bytemlperf.errors import ArtifactError
from bytemlperf.fetch.digests import Seen, seen, still, write_json
from bytemlperf.spec.fields import as_dict

RECORD: Final = ".entry.json"
"""Name of the record in an entry's folder."""


@attrs.frozen(kw_only=True)
class Entry:
    """The content of one entry of the cache.

    Attributes:
        path: The file or folder; not to be written to. Files that belong to it may lie beside it.
        sha256: Its digest, as `digest_of` computes it; of all files of the entry where it is not alone.
    """

    path: Path
    sha256: str


@attrs.frozen(kw_only=True)
class Record:
    """What is known of an entry.

    Attributes:
        name: Name of the file or folder in it that the entry is about.
        files: Every file of the entry by its path in it.
        about: What it is and what decided it: a model's name, versions, a URL.
        made_utc: When it was made.
    """

    name: str
    files: Mapping[str, Seen] = attrs.field(converter=as_dict)
    about: Mapping[str, str] = attrs.field(factory=dict, converter=as_dict)
    made_utc: str = ""

    @classmethod
    def of(cls, folder: Path, name: str, about: Mapping[str, str]) -> Self:
        """Read a folder's content and record it.

        Raises:
            ArtifactError: If it holds nothing of that name.
            OSError: If it cannot be read.
        """
        if not (folder / name).exists() or not (names := content(folder)):
            raise ArtifactError("nothing was made", where=str(folder / name), expected="a file, or a folder with files")
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return cls(name=name, files={each: seen(folder / each) for each in names}, about=about, made_utc=now)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the record of an entry; None where there is none that can be read."""
        try:
            data = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            files = {str(name): Seen.from_json(each) for name, each in data["files"].items()}
            about = {str(name): str(each) for name, each in data["about"].items()}
            return cls(name=str(data["name"]), files=files, about=about, made_utc=str(data["made_utc"]))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def write(self, folder: Path) -> None:
        """Write it beside the content.

        Raises:
            OSError: If it cannot be written.
        """
        files = {name: each.to_json() for name, each in self.files.items()}
        told = {"name": self.name, "sha256": self.sha256, "made_utc": self.made_utc}
        write_json(folder / RECORD, {**told, "about": dict(self.about), "files": files})

    @property
    def sha256(self) -> str:
        """Digest of the content."""
        found = {name: each.sha256 for name, each in self.files.items()}
        if set(found) == {self.name}:
            return found[self.name]
        inside = f"{self.name}/"
        alone = all(name.startswith(inside) for name in found)
        return digest_of_files({name.removeprefix(inside) if alone else name: each for name, each in found.items()})

    @property
    def size_bytes(self) -> int:
        """What the files hold."""
        return sum(each.size_bytes for each in self.files.values())

    def damage(self, folder: Path, *, anew: bool = False) -> str | None:
        """Tell how an entry's content differs from its record; None where it does not.

        Files that were touched but hold the same are recorded as they are now.

        Args:
            folder: The entry's folder.
            anew: Read large files too that nothing seems to have touched.
        """
        try:
            now = {name: still(folder / name, known, anew=anew) for name, known in self.files.items()}
            if set(content(folder)) != set(self.files):
                return "it holds files that it did not hold"
        except OSError as error:
            return f"{type(error).__name__}: {error}"
        other = [name for name, each in now.items() if each.sha256 != self.files[name].sha256]
        if other:
            return f"{other[0]} is not what it was"
        if now != self.files:
            with contextlib.suppress(OSError):  # they are then read again the next time
                attrs.evolve(self, files=now).write(folder)
        return None


def content(folder: Path) -> list[str]:
    """Return the paths of an entry's files, without its record.

    Raises:
        OSError: If the folder cannot be read.
    """
    names = (each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file())
    return sorted(name for name in names if name != RECORD and not name.startswith(f".{RECORD}."))


def note_use(folder: Path) -> None:
    """Leave word in an entry that it was used now, which is what its age counts from."""
    with contextlib.suppress(OSError):  # of a cache that cannot be written to, nothing is ever cleared
        os.utime(folder / RECORD)
