"""The audit of a report of this package: what must hold between its own figures."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from bytemlperf.errors import BenchmarkError
from bytemlperf.metrics import across_processes, performance
from bytemlperf.report.auditing.finding import Finding, FindingKind, Place
from bytemlperf.report.auditing.laws import SLACK, is_maximum, needed
from bytemlperf.report.files import read_trace
from bytemlperf.report.rows import RowKind
from bytemlperf.workload import Check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bytemlperf.metrics import Estimate
    from bytemlperf.report.report import Report
    from bytemlperf.report.rows import Row

_CLOSED_LOOP: Final = re.compile(r"(?:(?:fixed_batch|closed_loop)\b.*\bclients=(\d+)|single_stream\b|multi_stream\b)")
_PERCENTILE: Final = re.compile(r"(.+)/p(\d{1,2}(?:\.\d+)?)")
_ORDER: Final = ("min", "p50", "p90", "p95", "p99", "max")
_WANTED: Final = ("latency/mean", "latency/p50", "latency/p99", "throughput/samples_per_s", "throughput/queries_per_s")
_BOUNDED: Final = re.compile(r"(latency/(mean|p.*)|throughput/.*|accuracy/.*)")
_UNITS: Final = (("latency/", "ns"), ("lateness/", "ns"), ("throughput/", "/s"))
_IDLE: Final = 0.1
_NEARLY: Final = 1e-9
_CLOCK: Final = 0.01
_NS: Final = 1e-9


def audit_report(report: Report, *, file: str) -> Iterator[Finding]:
    """Yield what is wrong with a report of this package.

    Args:
        report: Its folder, if it has one, is where raw data is looked for.
        file: What findings call it.
    """
    yield from _whole(report, Place(file=file))
    for row in report.rows:
        place = Place(file=file, row=row.key)
        yield from _figures(row, place)
        yield from _names(report, row, place)
        if row.kind is RowKind.PERFORMANCE and row.headline:
            yield from _flow(row, place)
            yield from _percentiles(row, place)
            yield from _counts(row, place)
            yield from _clock(report, row, place)
            yield from _stamps(report, row, place)
        elif row.kind is RowKind.COMPILE:
            yield from _coverage(report, row, place)


def _whole(report: Report, place: Place) -> Iterator[Finding]:
    for name, value in (("artifact", report.artifact), ("backend", report.backend)):
        if value is None:
            yield place.warning(FindingKind.MISSING_FIELD, f"{name} is not told")
    if report.environment.cpu.model == "unknown":
        yield place.warning(FindingKind.MISSING_FIELD, "the processor is not told")
    changed = report.changed_files() if report.folder is not None else ()
    for name in changed:
        yield place.warning(FindingKind.CHANGED, f"{name} is not there, or not as it was written")
    if report.rows_of(RowKind.PERFORMANCE) and not report.rows_of(RowKind.ACCURACY):
        why = "; ".join(each.reason for each in report.not_measured if each.check is Check.ACCURACY)
        yield place.warning(FindingKind.NO_ACCURACY, f"speed is told without accuracy: {why or 'no reason is told'}")


def _figures(row: Row, place: Place) -> Iterator[Finding]:
    for name, each in row.metrics.items():
        if each.value is None:
            continue
        low = -math.inf if each.low is None else each.low
        high = math.inf if each.high is None else each.high
        if not low <= each.value <= high:
            yield place.error(
                FindingKind.INTERVAL, f"{name} {each.value:g} is outside its interval {low:g} to {high:g}"
            )
        if _BOUNDED.fullmatch(name) and (each.low is None or each.high is None):
            yield place.warning(
                FindingKind.NO_INTERVAL, f"{name} has no whole interval: {each.note or 'and no reason'}"
            )
        if not each.definition:
            yield place.note(FindingKind.MISSING_FIELD, f"{name} has no definition")
        yield from _unit(name, each, place)


def _unit(name: str, estimate: Estimate, place: Place) -> Iterator[Finding]:
    for prefix, unit in _UNITS:
        if name.startswith(prefix) and not estimate.unit.endswith(unit):
            yield place.error(FindingKind.UNITS, f"{name} is in {estimate.unit!r}, and not in {unit}")
    value = estimate.value or 0.0
    if name.startswith("accuracy/") and estimate.unit == "1" and not 0 <= value <= 1:
        yield place.error(FindingKind.UNITS, f"{name} is {value:g}, and no share")
    if name.startswith(("latency/", "throughput/")) and value <= 0:
        yield place.error(FindingKind.NO_NUMBER, f"{name} is {value:g}, and not above 0")


def _names(report: Report, row: Row, place: Place) -> Iterator[Finding]:
    parts = row.key.split("/")
    if row.precision.short not in parts:
        yield place.warning(
            FindingKind.PRECISION_MISMATCH, f"{row.precision.short} was used, and the row's key tells another"
        )
    told = next((int(part[8:]) for part in parts if re.fullmatch(r"devices=\d+", part)), None)
    if told is not None and row.devices and told != len(row.devices):
        reason = f"the row's key tells {told} devices, and {len(row.devices)} are named"
        yield place.warning(FindingKind.DEVICE_COUNT, reason)
    known = {device.id for device in report.backend.devices} if report.backend is not None else set()
    strange = [each for each in row.devices if known and each not in known]
    if strange or len(set(row.devices)) < len(row.devices):
        yield place.warning(
            FindingKind.DEVICE_COUNT, f"devices {', '.join(row.devices)} are not those that the backend names"
        )


def _value(metrics: Mapping[str, Estimate], name: str) -> float | None:
    found = metrics.get(name)
    return None if found is None else found.value


def _flow(row: Row, place: Place) -> Iterator[Finding]:
    """Hold throughput, latency and clients against Little's law, and both throughputs against the batch size."""
    for name in _WANTED:
        if _value(row.metrics, name) is None:
            yield place.warning(FindingKind.MISSING_FIELD, f"{name} is not told")
    queries, samples = (_value(row.metrics, f"throughput/{name}_per_s") for name in ("queries", "samples"))
    mean, load = _value(row.metrics, "latency/mean"), _CLOSED_LOOP.match(row.scenario or "")
    told_samples = row.labels.get("samples_per_query")  # where a query is no batch of the engine's size
    each = told_samples if isinstance(told_samples, int) else row.batch_size
    if queries and samples and each and samples > queries * each * (1 + _NEARLY):
        reason = f"{samples:g} samples/s are more than {queries:g} queries/s of {each}"
        yield place.error(FindingKind.INCONSISTENT_THROUGHPUT, reason)
    mean = _value(row.metrics, "loadgen/query_latency/mean") or mean  # of queries, where latency is that of samples
    if not (queries and mean and load):
        return
    flight, clients = queries * mean * _NS, int(load[1] or 1)
    told = f"throughput x mean latency is {flight:.2f} queries in flight"
    if flight > clients * (1 + SLACK):
        yield place.error(FindingKind.LITTLES_LAW, f"{told}, and there are {clients} clients")
    elif flight < clients * (1 - _IDLE):
        lost = 1 - flight / clients
        reason = f"{told} of {clients} clients: {100 * lost:.0f} % of the time is spent between the queries"
        yield place.warning(FindingKind.INCONSISTENT_THROUGHPUT, reason)


def _percentiles(row: Row, place: Place) -> Iterator[Finding]:
    values = [(name, _value(row.metrics, f"latency/{name}")) for name in _ORDER]
    known = [(name, value) for name, value in values if value is not None]
    for (lower, low), (upper, high) in pairwise(known):
        if low > high:
            yield place.error(
                FindingKind.PERCENTILE_ORDER, f"latency/{upper} {high:g} ns is below latency/{lower} {low:g} ns"
            )
    mean, ends = _value(row.metrics, "latency/mean"), dict(known)
    if mean is not None and not ends.get("min", mean) * (1 - _NEARLY) <= mean <= ends.get("max", mean) * (1 + _NEARLY):
        yield place.error(FindingKind.PERCENTILE_ORDER, f"latency/mean {mean:g} ns is not between min and max")
    for name, each in row.metrics.items():
        found = (
            None if name.startswith("loadgen/") else _PERCENTILE.fullmatch(name)
        )  # LoadGen's own, printed as it does
        if found and each.value is not None and float(found[2]) > 0:
            yield from _enough(name, float(found[2]) / 100, _queries(row, each), place)


def _queries(row: Row, estimate: Estimate) -> int:
    """How many queries of one process are behind a percentile; over several, n counts the processes."""
    processes = row.labels.get("processes")
    if isinstance(processes, int) and processes > 1:
        return int(_value(row.metrics, "queries/answered") or 0)
    return estimate.n


def _enough(name: str, p: float, n: int, place: Place) -> Iterator[Finding]:
    if n < needed(p):
        yield place.warning(FindingKind.TOO_FEW_SAMPLES, f"{name} rests on {n} queries: {needed(p)} bound it at 99 %")
    if is_maximum(n, p):
        yield place.warning(FindingKind.PERCENTILE_IS_MAXIMUM, f"{name} of {n} queries is the slowest of them")


def _counts(row: Row, place: Place) -> Iterator[Finding]:
    counts = {name: _value(row.metrics, f"queries/{name}") for name in ("planned", "answered", "failed", "unanswered")}
    known = {name: value for name, value in counts.items() if value is not None}
    if len(known) < len(counts):
        return
    if not math.isclose(known["planned"], known["answered"] + known["failed"] + known["unanswered"], rel_tol=_NEARLY):
        yield place.error(FindingKind.COUNTS, f"the queries do not add up: {known}")
    lost = known["planned"] - known["answered"]
    if lost > 0:
        yield place.warning(
            FindingKind.COUNTS, f"{lost:g} of {known['planned']:g} queries were not answered: {row.note}"
        )


def _clock(report: Report, row: Row, place: Place) -> Iterator[Finding]:
    step, middle = report.environment.timer.resolution_ns, _value(row.metrics, "latency/p50")
    if step and middle and step > _CLOCK * middle:
        yield place.warning(
            FindingKind.ROUNDED_AWAY, f"the clock's step of {step} ns is {100 * step / middle:.1f} % of latency/p50"
        )


def _coverage(report: Report, row: Row, place: Place) -> Iterator[Finding]:
    info, coverage = report.compiles.get(row.key), _value(row.metrics, "compile/coverage")
    if coverage is not None and (info is None or info.segments is None):
        yield place.error(
            FindingKind.COVERAGE_LITERAL, f"coverage is {100 * coverage:.0f} %, and no placement of operators is told"
        )


def _stamps(report: Report, row: Row, place: Place) -> Iterator[Finding]:
    """Compute the figures again from the raw stamps."""
    files = [report.folder / name for name in row.files if name.startswith("traces/")] if report.folder else []
    if not files or not all(file.is_file() for file in files):
        return
    try:
        found = [performance(read_trace(file)) for file in files]
    except (BenchmarkError, ValueError) as error:
        yield place.error(FindingKind.STAMPS_DISAGREE, f"the raw stamps cannot be used: {error}")
        return
    again = found[0] if len(found) == 1 else across_processes(found)
    for name, each in again.items():
        told = _value(row.metrics, name)
        if told is not None and each.value is not None and not math.isclose(told, each.value, rel_tol=_NEARLY):
            yield place.error(FindingKind.STAMPS_DISAGREE, f"{name} is {told:g}, and {each.value:g} by the raw stamps")
