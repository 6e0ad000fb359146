"""Where files go that are not what they should be: out of reach of whoever asks for them, and there to be looked at."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bytemlperf.errors import ChecksumError
from bytemlperf.fetch.entry import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

QUARANTINE: Final = "quarantine"
"""Folder in the cache."""


def set_aside(path: Path, sha256: str, *, cache: Path, about: Mapping[str, str]) -> Path:
    """Move a file or folder out of the way; return where it is now.

    One that cannot be moved is deleted: it must not be met again.
    """
    home = cache / QUARANTINE / f"{path.name}-{sha256[:16]}"
    try:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        shutil.move(path, home / path.name)
        Record.of(home, path.name, about).write(home)
    except OSError:
        path.unlink(missing_ok=True)
    return home


def refused(name: str, *, where: str, got: str, expected: str, kept_at: Path | None = None) -> ChecksumError:
    """Return the error of a file that is not the one that was pinned or announced.

    Args:
        name: What to call it.
        where: Where it came from.
        got: Its digest.
        expected: What it should have been.
        kept_at: Where it was set aside.
    """
    aside = (
        "" if kept_at is None else f" (what came is kept in quarantine/{kept_at.name} of the cache, to be looked at)"
    )
    return ChecksumError(
        f"{name} is not the file that was pinned",
        where=where,
        got=got,
        expected=expected.lower(),
        remedy=f"ask its publisher, correct the sha256, or take another source or mirror{aside}",
    )
