"""A report and its files, to a folder and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bytemlperf.errors import HarnessError, SpecError
from bytemlperf.report.drawing import draw
from bytemlperf.report.files import MARKDOWN, REPORT, read_json, sha256_of, write_bytes, write_json
from bytemlperf.report.markdown import to_markdown
from bytemlperf.report.reading import from_dict, to_dict

if TYPE_CHECKING:
    from pathlib import Path

    from bytemlperf.report.report import Report


def save(report: Report, folder: Path, *, markdown: bool = True, plots: bool = True) -> Path:
    """Write a report and what goes with it; `report.json` last, so that where it is, the rest is.

    Returns:
        The path of `report.json`.

    Raises:
        HarnessError: If a file cannot be written.
    """
    if report.folder is not None and report.folder.resolve() != folder.resolve():
        _copy_raw_files(report, report.folder, folder)
    drawn = draw(report, folder) if plots else ()
    if markdown:
        write_bytes(folder / MARKDOWN, to_markdown(report, plots=drawn).encode())
    return write_json(folder / REPORT, to_dict(report))


def _copy_raw_files(report: Report, source: Path, folder: Path) -> None:
    for file in (file for row in report.rows for file in row.files if (source / file).is_file()):
        try:
            content = (source / file).read_bytes()
        except OSError as error:
            raise HarnessError("a raw file cannot be read", where=file, got=error.strerror) from error
        write_bytes(folder / file, content)


def load(path: Path, *, verify: bool = True) -> Report:
    """Read a report from its file or folder.

    Raises:
        SpecError: If it is no report, or one of a newer major version.
        ChecksumError: If `verify` and its digest does not fit.
    """
    file = path / REPORT if path.is_dir() else path
    data = read_json(file)
    if not isinstance(data, dict):
        raise SpecError("no report", where=file.name, got=data, expected="an object")
    return attrs.evolve(from_dict(data, verify=verify), folder=file.parent)


def changed_files(report: Report) -> tuple[str, ...]:
    """Return the raw files of a report that are missing or have another digest than its rows tell."""
    folder = report.folder
    return tuple(
        file
        for row in report.rows
        for file in row.files
        if folder is None
        or not (folder / file).is_file()
        or row.sha256.get(file, sha256_of(folder / file)) != sha256_of(folder / file)
    )
