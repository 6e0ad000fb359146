"""Rows on disk as they finish, so that a run that was ended can be taken up again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from bytemlperf.backends import CompileInfo
from bytemlperf.errors import SpecError
from bytemlperf.failure import Failure
from bytemlperf.report import Part, ReportWarning, Row
from bytemlperf.report.files import row_path, write_json
from bytemlperf.spec import from_json, to_json
from bytemlperf.spec.fields import as_tuple


@attrs.frozen(kw_only=True)
class StoredRow:
    """A row with all that a report says of it.

    Attributes:
        part: The part of the run that measured it.
        row: What was measured.
        failures: Failures of its step, such as a numeric mismatch.
        warnings: Warnings of its step.
        info: What the compiler did, for the row of a compile.
    """

    part: Part
    row: Row
    failures: tuple[Failure, ...] = attrs.field(default=(), converter=as_tuple)
    warnings: tuple[ReportWarning, ...] = attrs.field(default=(), converter=as_tuple)
    info: CompileInfo | None = None


class RowStore:
    """A folder of rows of one job in one environment.

    Args:
        folder: Made where it is not there.
        job: Key of the job.
        fingerprint: Of machine, software, backend, artifact and data.
        resume: Whether rows that are there already may be found.

    Raises:
        OSError: If the folder cannot be made or read.
    """

    def __init__(self, folder: Path, *, job: str, fingerprint: str, resume: bool) -> None:
        """Read what is there, if it may be used."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._same = {"job": job, "fingerprint": fingerprint}
        self._rows = self._read() if resume else {}

    def _read(self) -> dict[str, StoredRow]:
        rows = {}
        for file in sorted(self._folder.glob("*.json")):
            try:
                stored = self._mine(json.loads(file.read_bytes()))
            except (SpecError, ValueError, TypeError, RecursionError):  # of another version, or no row: measured again
                continue
            if stored is not None:
                rows[stored.row.key] = stored
        return rows

    def _mine(self, data: Mapping[str, Any]) -> StoredRow | None:
        same = all(data.get(name) == value for name, value in self._same.items())
        return from_json(StoredRow, data.get("stored")) if same else None

    def find(self, key: str) -> StoredRow | None:
        """Return a row of an earlier run."""
        return self._rows.get(key)

    def keep(self, stored: StoredRow) -> None:
        """Write a row: whole, or not at all.

        Raises:
            HarnessError: If it cannot be written.
        """
        written = to_json(attrs.evolve(stored, info=None if stored.info is None else _plain(stored.info)))
        write_json(self._folder / Path(row_path(stored.row.key)).name, {**self._same, "stored": written})


def _plain(info: CompileInfo) -> CompileInfo:
    """Write as text what JSON does not have: a vendor's setting may be infinite."""
    settings = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in info.optimizations.items()
    }
    return attrs.evolve(info, optimizations=settings)
