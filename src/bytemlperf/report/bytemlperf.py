"""A report in ByteMLPerf's own form: its keys exactly, its figures by its own formulas.

Source: ByteMLPerf at a30b4f9, byte_infer_perf/general_perf/core/perf_engine.py (`single_workload_perf`) and
backends/CPU/runtime_backend_cpu.py (`benchmark`).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from bytemlperf.report.files import plot_path
from bytemlperf.report.rows import RowKind
from bytemlperf.workload.bytemlperf_model import original_dataset_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bytemlperf.metrics.estimate import Estimate
    from bytemlperf.report.report import Report
    from bytemlperf.report.rows import Row
    from bytemlperf.spec.reading import Json

_PERFORMANCE: Final = ("BS", "QPS", "AVG Latency", "P99 Latency")
_DIFFERENCES: Final = ("Mean Diff", "Std Diff", "Max Diff", "Max Rel-Diff", "Mean Rel-Diff")
_NOT_METRICS: Final = ("Note", "Data Percent")
_ACCURACY: Final = {
    "Top-1": ("top1", "zero_shot_top1", "binary_accuracy", "triplet_accuracy"),
    "Exact Match": ("em",),
    "F1 Score": ("f1",),
}
"""The original's names of accuracy, and the metrics that it calls so."""
_DIGITS: Final = 5
_NS_PER_MS: Final = 1e6


def to_bytemlperf(report: Report) -> dict[str, Json]:
    """Return the original's report.

    Where a row holds the original's own figures they are taken; otherwise they are made from our
    estimates by its formulas and roundings. The original has one performance entry for each batch
    size: of several load patterns the job's first is given. What was not measured is left out, and
    a coverage that is not known is null.

    Source:
        `AVG Latency` = round(mean ms, 2), `P99 Latency` = round(p99 ms, 2), `QPS` = int(1000 * BS / AVG Latency).
    """
    base: dict[str, Json] = {
        "Model": report.job.task.upper(),
        "Backend": (report.job.backend if report.backend is None else report.backend.name).upper(),
        "Host Info": report.environment.cpu.model,
        "Dataset": original_dataset_name("synthetic" if report.dataset is None else report.dataset.name).upper(),
    }
    sections: dict[str, Json] = {
        "Graph Compile": _graph_compile(report),
        "Version": report.environment.packages.get("bytemlperf", "unknown"),
        "Execution Date": _date(report.started_utc),
        "Accuracy": _accuracy(report),
        "Performance": _performance(report),
    }
    return base | _counts(report) | {key: value for key, value in sections.items() if value}


def _counts(report: Report) -> dict[str, Json]:
    info = next(iter(report.compiles.values()), None)
    if info is None:
        return {}
    devices = len(info.devices) or max((len(row.devices) for row in report.rows), default=0)
    counts: dict[str, Json] = {"Instance Count": info.instances}
    return counts | {"Device Count": devices} if devices else counts


def _date(started_utc: str) -> str:
    return dt.datetime.fromisoformat(started_utc).strftime("%Y-%m-%d %H:%M:%S")


def _graph_compile(report: Report) -> dict[str, Json]:
    rows = report.rows_of(RowKind.COMPILE)
    if not rows:
        return {}
    row = rows[0]
    info = report.compiles.get(row.key)
    coverage = None if info is None else info.coverage
    made: dict[str, Json] = {
        "Compile Duration": _rounded(row.metrics.get("compile/cold/compile_s"), _DIGITS),
        "Compile Precision": row.precision.short.upper(),
        "Subgraph Coverage": None if coverage is None else round(100 * coverage, 2),
        "Optimizations": {} if info is None else dict(info.optimizations),
    }
    return made | {key: row.bytemlperf[key] for key in made if key in row.bytemlperf}


def _accuracy(report: Report) -> dict[str, Json]:
    figures: dict[str, Json] = {}
    accuracy = report.rows_of(RowKind.ACCURACY)
    if accuracy:
        request = report.job.dataset
        everything = 100 if request is None or request.samples is None else None
        figures["Data Percent"] = accuracy[0].bytemlperf.get("Data Percent", everything)
        figures |= _metrics(accuracy[0])
    numeric = report.rows_of(RowKind.NUMERIC)
    if numeric:
        figures |= {key: numeric[0].bytemlperf[key] for key in _DIFFERENCES if key in numeric[0].bytemlperf}
        figures["Diff Dist"] = plot_path(numeric[0].key, "difference")
    return figures


def _metrics(row: Row) -> Mapping[str, Json]:
    """Return the original's accuracy by its names: what the row holds of it, else our figures by its formulas."""
    given = {key: value for key, value in row.bytemlperf.items() if key not in _NOT_METRICS}
    found = {key: _original_figure(row, names) for key, names in _ACCURACY.items()}
    return given or {key: _rounded(figure, _DIGITS) for key, figure in found.items() if figure is not None}


def _original_figure(row: Row, names: Iterable[str]) -> Estimate | None:
    figures = (row.metrics.get(f"accuracy/{name}{ending}") for name in names for ending in (".bytemlperf", ""))
    return next((figure for figure in figures if figure is not None), None)


def _performance(report: Report) -> list[Json]:
    entries: dict[int, Json] = {}
    for row in report.rows_of(RowKind.PERFORMANCE):
        if row.headline and row.batch_size is not None and row.batch_size not in entries:
            entries[row.batch_size] = _entry(row, row.batch_size)
    return list(entries.values())


def _entry(row: Row, batch_size: int) -> dict[str, Json]:
    if all(key in row.bytemlperf for key in _PERFORMANCE):
        return {key: row.bytemlperf[key] for key in _PERFORMANCE}
    average_ms = _rounded(row.metrics.get("latency/mean"), 2, per=_NS_PER_MS)
    return {
        "BS": batch_size,
        "QPS": int(1000.0 * batch_size / average_ms) if average_ms else None,
        "AVG Latency": average_ms,
        "P99 Latency": _rounded(row.metrics.get("latency/p99"), 2, per=_NS_PER_MS),
    }


def _rounded(estimate: Estimate | None, digits: int, *, per: float = 1.0) -> float | None:
    return None if estimate is None or estimate.value is None else round(estimate.value / per, digits)
