"""The audit of files, whichever form they are in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.errors import ChecksumError, SpecError
from bytemlperf.report.auditing.finding import Audit, Finding, FindingKind, Place
from bytemlperf.report.auditing.foreign import audit_bytemlperf, row_count
from bytemlperf.report.auditing.mlperf import audit_mlperf
from bytemlperf.report.auditing.own import audit_report
from bytemlperf.report.files import REPORT, read_json
from bytemlperf.report.mlperf import read
from bytemlperf.report.mlperf.lines import MARKER
from bytemlperf.report.mlperf.log import DETAIL
from bytemlperf.report.reading import from_dict
from bytemlperf.report.report import Report

if TYPE_CHECKING:
    from bytemlperf.spec.reading import Json

_FOREIGN: Final = ("Performance", "Graph Compile", "Model", "Backend")
"""Keys by which a report in ByteMLPerf's form is known."""


def audit(*sources: str | Path | Report, queries: int | None = None) -> Audit:
    """Look for what cannot be true, or cannot be believed, in reports of this package, ByteMLPerf's and MLPerf's logs.

    Figures are held against each other and against what is stated beside them: Little's law, the order of
    percentiles, samples behind a percentile, rounding, units, missing fields, names. Nothing is measured again; where
    raw stamps lie beside a report of this package, its figures are computed again.

    Args:
        sources: A report, its folder or file, a result file of ByteMLPerf, or a detail log of MLPerf LoadGen (or the
            folder that holds it, with its trace if there is one).
        queries: How many timed queries are behind each row of a file of ByteMLPerf's, which does not tell; None if not
            known.

    Raises:
        SpecError: If there is no source, a file is not there, or `queries` is not above 0.

    Source:
        Each check names its own; percentiles: MLPerf inference rules, appendix on early stopping.
    """
    if not sources or (queries is not None and queries < 1):
        got = queries if sources else None
        raise SpecError("nothing to audit" if not sources else "no number of queries", got=got, expected="above 0")
    parts = [_of(each, queries=queries) for each in sources]
    return Audit(
        files=tuple(part.file for part in parts),
        rows=sum(part.rows for part in parts),
        findings=tuple(finding for part in parts for finding in part.findings),
    )


@attrs.frozen(kw_only=True)
class _Part:
    """What was found in one source."""

    file: str
    rows: int
    findings: tuple[Finding, ...]


def _of(source: str | Path | Report, *, queries: int | None) -> _Part:
    if isinstance(source, Report):
        return _own(source, str(source.folder or f"report {source.digest[:12]}"))
    path = Path(source)
    if (path / DETAIL).is_file() or _is_detail_log(path):
        return _mlperf(path)
    file = path / REPORT if path.is_dir() else path
    if not file.is_file():
        raise SpecError("there is no such file", where=str(source), expected="a report, its folder, or a result file")
    try:
        data = read_json(file)
    except SpecError as error:
        return _unreadable(str(source), str(error))
    return _of_data(data, file, name=str(source), queries=queries)


def _is_detail_log(path: Path) -> bool:
    """Whether a file begins as MLPerf's detail logs do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MARKER)) == MARKER.encode()


def _mlperf(path: Path) -> _Part:
    try:
        log = read(path)
    except SpecError as error:
        return _unreadable(str(path), str(error))
    return _Part(file=str(path), rows=1, findings=tuple(audit_mlperf(log, file=str(path))))


def _of_data(data: Json, file: Path, *, name: str, queries: int | None) -> _Part:
    if not isinstance(data, dict):
        return _unreadable(name, "it is JSON, but no report")
    if "schema_version" in data:
        return _own_file(data, file, name)
    if not any(key in data for key in _FOREIGN):
        return _unreadable(name, "it is JSON, but neither a report of this package nor one of ByteMLPerf")
    findings = tuple(audit_bytemlperf(data, file=name, path=file.resolve(), queries=queries))
    return _Part(file=name, rows=row_count(data), findings=findings)


def _own_file(data: Mapping[str, object], file: Path, name: str) -> _Part:
    changed: tuple[Finding, ...] = ()
    try:
        report = from_dict(data)
    except ChecksumError as error:
        changed = (Place(file=name).error(FindingKind.CHANGED, str(error)),)
        try:
            report = from_dict(data, verify=False)
        except SpecError as worse:
            return _unreadable(name, str(worse))
    except SpecError as error:
        return _unreadable(name, str(error))
    part = _own(attrs.evolve(report, folder=file.parent), name)
    return attrs.evolve(part, findings=(*changed, *part.findings))


def _own(report: Report, name: str) -> _Part:
    return _Part(file=name, rows=len(report.rows), findings=tuple(audit_report(report, file=name)))


def _unreadable(name: str, reason: str) -> _Part:
    return _Part(file=name, rows=0, findings=(Place(file=name).error(FindingKind.UNREADABLE, reason),))
