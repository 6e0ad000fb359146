"""A report as flat rows for a database: one line for each figure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

from bytemlperf.metrics.estimate import Estimate

if TYPE_CHECKING:
    from bytemlperf.report.report import Report
    from bytemlperf.report.rows import Row


class RunColumns(TypedDict):
    """What all lines of a report share."""

    job_key: str
    task: str
    backend: str
    backend_version: str | None
    artifact_sha256: str | None
    provenance: str | None
    dataset: str | None
    verdict: str
    status: str
    fingerprint: str
    started_utc: str
    schema_version: str
    bytemlperf_version: str | None


class TableRow(RunColumns):
    """One figure. Columns are only ever added.

    `job_key`, `row_key` and `metric` together are unique. A row without any figure gives one line
    with an empty `metric`.
    """

    row_key: str
    kind: str
    scenario: str | None
    batch_size: int | None
    precision: str
    devices: int
    passed: bool | None
    valid: bool | None
    invalid_causes: str
    row_note: str
    part: str
    metric: str
    value: float | None
    unit: str
    low: float | None
    high: float | None
    level: float | None
    n: int
    definition: str
    note: str


def table_of(report: Report) -> list[TableRow]:
    """Return a line for each figure, in the order of the rows; every line has every column."""
    run = _run(report)
    return [line for row in report.rows for line in _lines(run, row)]


def _run(report: Report) -> RunColumns:
    artifact, backend = report.artifact, report.backend
    return {
        "job_key": report.job.key,
        "task": report.job.task,
        "backend": report.job.backend,
        "backend_version": None if backend is None else backend.version,
        "artifact_sha256": None if artifact is None else artifact.sha256,
        "provenance": None if artifact is None else artifact.provenance.value,
        "dataset": None if report.dataset is None else report.dataset.name,
        "verdict": report.verdict.outcome.value,
        "status": report.status.value,
        "fingerprint": report.environment.fingerprint,
        "started_utc": report.started_utc,
        "schema_version": report.schema_version,
        "bytemlperf_version": report.environment.packages.get("bytemlperf"),
    }


def _lines(run: RunColumns, row: Row) -> Iterator[TableRow]:
    if not row.metrics:
        yield _line(run, row, "", Estimate(value=None, unit=""))
    for name, estimate in row.metrics.items():
        yield _line(run, row, name, estimate)


def _line(run: RunColumns, row: Row, metric: str, estimate: Estimate) -> TableRow:
    return {
        **run,
        "row_key": row.key,
        "kind": row.kind.value,
        "scenario": row.scenario,
        "batch_size": row.batch_size,
        "precision": row.precision.value,
        "devices": len(row.devices),
        "passed": row.passed,
        "valid": None if row.validity is None else row.validity.valid,
        "invalid_causes": "" if row.validity is None else ",".join(each.cause.value for each in row.validity.reasons),
        "row_note": row.note,
        "part": row.part,
        "metric": metric,
        "value": _float(estimate.value),
        "unit": estimate.unit,
        "low": _float(estimate.low),
        "high": _float(estimate.high),
        "level": _float(None if estimate.value is None else estimate.level),
        "n": estimate.n,
        "definition": estimate.definition,
        "note": estimate.note,
    }


def _float(value: float | None) -> float | None:
    """Make whole numbers floats, so that a column has one type."""
    return None if value is None else float(value)
