"""Rows on disk as they finish, so that a run that was ended can be taken up again."""

from __future__ import annotations

import json
from pathlib import Path

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.report import Part, Row
from bytemlperf.report.files import row_path, write_json
from bytemlperf.spec import from_json, to_json


@attrs.frozen(kw_only=True)
class StoredRow:
    """A row with what decides whether it may stand in another run."""

    job: str
    fingerprint: str
    part: Part
    row: Row


class RowStore:
    """A folder of rows of one job in one environment.

    Args:
        folder: Made where it is not there.
        job: Key of the job.
        fingerprint: Of machine, software, backend and artifact.
        resume: Whether rows that are there already may be found.
    """

    def __init__(self, folder: Path, *, job: str, fingerprint: str, resume: bool) -> None:
        """Read what is there, if it may be used."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._job, self._fingerprint = folder, job, fingerprint
        self._rows = self._read() if resume else {}

    def _read(self) -> dict[str, StoredRow]:
        rows = {}
        for file in sorted(self._folder.glob("*.json")):
            try:
                stored = from_json(StoredRow, json.loads(file.read_text(encoding="utf-8")))
            except (SpecError, ValueError):  # of another version, or no row: it is measured again
                continue
            if (stored.job, stored.fingerprint) == (self._job, self._fingerprint):
                rows[stored.row.key] = stored
        return rows

    def find(self, key: str) -> StoredRow | None:
        """Return a row of an earlier run."""
        return self._rows.get(key)

    def keep(self, row: Row, part: Part) -> None:
        """Write a row: whole, or not at all."""
        stored = StoredRow(job=self._job, fingerprint=self._fingerprint, part=part, row=row)
        write_json(self._folder / Path(row_path(row.key)).name, to_json(stored))
