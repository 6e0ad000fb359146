"""The audit of a report in ByteMLPerf's own form.

Source: ByteMLPerf at a30b4f9, byte_infer_perf/general_perf/core/perf_engine.py (keys, roundings, names of files) and
backends/CPU/runtime_backend_cpu.py (QPS from the rounded mean latency).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Final

import attrs

from bytemlperf.report.auditing.finding import Finding, FindingKind, Place
from bytemlperf.report.auditing.laws import SLACK, Rounded, in_flight, is_maximum, needed, rounded_to

_TOP: Final = (
    "Model",
    "Backend",
    "Host Info",
    "Dataset",
    "Instance Count",
    "Device Count",
    "Version",
    "Execution Date",
)
_COMPILE: Final = ("Compile Duration", "Compile Precision", "Subgraph Coverage")
_ROW: Final = ("BS", "QPS", "AVG Latency", "P99 Latency")
_DIFFERENCES: Final = ("Mean Diff", "Std Diff", "Max Diff", "Max Rel-Diff", "Mean Rel-Diff")
_SHARES: Final = {"Top-1": 1.0, "Exact Match": 100.0, "F1 Score": 100.0, "Data Percent": 100.0}
"""Scores and the greatest that each can be."""
_NO_SCORES: Final = {*_DIFFERENCES, "Diff Dist", "Data Percent"}
_FAKE: Final = "FAKE_DATASET"
_LATENCY_STEP_MS: Final = 0.01
_DIGITS_STEP: Final = 1e-5
_COARSE: Final = 0.002
_TOO_COARSE: Final = 0.005
_NO_DIGITS: Final = 0.05
_SLOWEST_RATIO: Final = 100.0
_LEAST_COMPILE_S: Final = 1e-3
_MANY_DEVICES: Final = 16
_MS: Final = 1e-3
_ITERATIONS: Final = 100
"""What every workload file of the original asks for."""


@attrs.frozen(kw_only=True)
class _Rates:
    """A row's figures, if all of them are numbers above 0."""

    batch_size: float
    qps: Rounded
    average_ms: Rounded
    p99_ms: float

    @property
    def in_flight(self) -> Rounded:
        per_query = [each / self.batch_size for each in (self.qps.value, self.qps.low, self.qps.high)]
        queries = Rounded(value=per_query[0], low=per_query[1], high=per_query[2])
        latency = Rounded(
            value=self.average_ms.value * _MS, low=self.average_ms.low * _MS, high=self.average_ms.high * _MS
        )
        return in_flight(queries, latency)


def audit_bytemlperf(
    data: Mapping[str, object], *, file: str, path: PurePath | None = None, queries: int | None = None
) -> Iterator[Finding]:
    """Yield what is wrong with a report in ByteMLPerf's form.

    Args:
        data: The report.
        file: What findings call it.
        path: Where it lies; its folder and name tell backend, model and precision too.
        queries: How many timed queries are behind each row, which the form does not tell; None if not known.
    """
    top = Place(file=file)
    yield from _fields(data, top)
    yield from _counts(data, top)
    yield from _compile(_section(data, "Graph Compile"), top)
    yield from _names(data, path, top)
    yield from _accuracy(data, top)
    for row, place in _rows(data, file):
        yield from _row(row, place, stated=_stated(data), queries=queries)
    yield from _duplicates(data, file)


def row_count(data: Mapping[str, object]) -> int:
    """Return how many rows of performance a report in ByteMLPerf's form has."""
    return sum(1 for _ in _rows(data, ""))


def _section(data: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _rows(data: Mapping[str, object], file: str) -> Iterator[tuple[Mapping[str, object], Place]]:
    rows = data.get("Performance")
    for index, row in enumerate(rows if isinstance(rows, list) else []):
        if isinstance(row, dict):
            name = f"BS {row['BS']}" if "BS" in row else f"row {index + 1}"
            yield row, Place(file=file, row=name)


def _number(value: object) -> float | None:
    """Return a finite number; text that looks like one is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _fields(data: Mapping[str, object], place: Place) -> Iterator[Finding]:
    wanted = (("", data, _TOP), ("Graph Compile: ", _section(data, "Graph Compile"), _COMPILE))
    for prefix, section, names in wanted:
        for name in names:
            if name not in section:
                yield place.warning(FindingKind.MISSING_FIELD, f"{prefix}{name} is not told")
    if not any(True for _ in _rows(data, "")):
        yield place.warning(FindingKind.MISSING_FIELD, "Performance has no row")
    for name, value in _section(data, "Graph Compile").items():
        if isinstance(value, str) and re.fullmatch(r"[-+]?\d*\.?\d+([eE][-+]?\d+)?", value.strip()):
            yield place.note(FindingKind.NO_NUMBER, f"Graph Compile: {name} is text, {value!r}")


def _counts(data: Mapping[str, object], place: Place) -> Iterator[Finding]:
    for name in ("Instance Count", "Device Count"):
        if name not in data:
            continue
        value = data[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            yield place.error(FindingKind.DEVICE_COUNT, f"{name} is {value!r}, and not a whole number above 0")
        elif name == "Device Count" and value > _MANY_DEVICES:
            reason = f"{value} devices in one host: these look like the processor's hardware threads"
            yield place.warning(FindingKind.DEVICE_COUNT, reason)


def _stated(data: Mapping[str, object]) -> int | None:
    """How many queries the stated instances and devices take at once, one each; None where nothing is stated."""
    counts = [data.get(name) for name in ("Instance Count", "Device Count")]
    known = [each for each in counts if isinstance(each, int) and not isinstance(each, bool) and each > 0]
    return max(known) if known else None


def _compile(section: Mapping[str, object], place: Place) -> Iterator[Finding]:
    coverage = section.get("Subgraph Coverage")
    if coverage == 100 and isinstance(coverage, int):  # noqa: PLR2004 - per cent
        reason = "Subgraph Coverage is the literal 100 that the original's backends state; no placement is told"
        yield place.warning(FindingKind.COVERAGE_LITERAL, reason)
    share = _number(coverage)
    if coverage is not None and (share is None or not 0 <= share <= 100):  # noqa: PLR2004 - per cent
        yield place.error(FindingKind.UNITS, f"Subgraph Coverage is {coverage!r}, and not 0 to 100 per cent")
    duration = _number(section.get("Compile Duration"))
    if duration is not None and duration < _LEAST_COMPILE_S:
        reason = f"Compile Duration is {duration:g} s: compilation happens later, or an old result was taken"
        yield place.warning(FindingKind.NOTHING_COMPILED, reason)


def _names(data: Mapping[str, object], path: PurePath | None, place: Place) -> Iterator[Finding]:
    precision = str(_section(data, "Graph Compile").get("Compile Precision", "")).lower()
    named = {"Diff Dist": re.search(r"-to-(\w+)\.png$", str(_section(data, "Accuracy").get("Diff Dist", "")))}
    if path is not None:
        named["the file's name"] = re.fullmatch(r"result-(\w+)\.json", path.name)
    wrong = {name: found[1] for name, found in named.items() if found and precision and found[1].lower() != precision}
    if wrong:
        told = " and ".join(f"{name} tells {each.upper()}" for name, each in wrong.items())
        yield place.error(FindingKind.PRECISION_MISMATCH, f"compiled to {precision.upper()}, but {told}")
    if path is not None and re.search(r"-(torch|tf|onnx)-\w+$", path.parent.name):
        yield from _folders(data, path, place)


def _folders(data: Mapping[str, object], path: PurePath, place: Place) -> Iterator[Finding]:
    for name, folder in (("Model", path.parent.name), ("Backend", path.parent.parent.name)):
        told = data.get(name)
        if isinstance(told, str) and folder and told.lower() != folder.lower():
            yield place.warning(FindingKind.NAME_MISMATCH, f"{name} is {told}, and the folder is {folder}")


def _accuracy(data: Mapping[str, object], place: Place) -> Iterator[Finding]:
    section = _section(data, "Accuracy")
    scores = [name for name in section if name not in _NO_SCORES]
    if not section:
        yield place.warning(FindingKind.NO_ACCURACY, "speed is told without accuracy and without differences")
    elif not scores:
        data_set = data.get("Dataset")
        why = ": the data is made up" if data_set == _FAKE else ""
        yield place.warning(FindingKind.NO_ACCURACY, f"speed is told without accuracy{why}")
    for name, most in _SHARES.items():
        value = _number(section.get(name))
        if value is not None and not 0 <= value <= most:
            yield place.error(FindingKind.UNITS, f"Accuracy: {name} is {value:g}, and not 0 to {most:g}")
    yield from _differences(section, place)


def _differences(section: Mapping[str, object], place: Place) -> Iterator[Finding]:
    values = {name: _number(section[name]) for name in _DIFFERENCES if name in section}
    for mean, most in (("Mean Diff", "Max Diff"), ("Mean Rel-Diff", "Max Rel-Diff"), ("Std Diff", "Max Diff")):
        low, high = values.get(mean), values.get(most)
        if low is not None and high is not None and low > high:
            yield place.error(FindingKind.NUMERIC_ORDER, f"{mean} {low:g} is above {most} {high:g}")
    for name, value in values.items():
        if value is None or value < 0:
            yield place.error(FindingKind.NO_NUMBER, f"Accuracy: {name} is {section[name]!r}")
        elif not value or rounded_to(value, _DIGITS_STEP).relative >= _NO_DIGITS:
            reason = f"Accuracy: {name} is {value:g}, rounded to five decimals: no digit of it is known well"
            yield place.note(FindingKind.ROUNDED_AWAY, reason)


def _row(row: Mapping[str, object], place: Place, *, stated: int | None, queries: int | None) -> Iterator[Finding]:
    values: dict[str, object] = {}
    for name in _ROW:
        other = name.replace(" ", "_")
        if name not in row and other in row:
            yield place.note(FindingKind.RENAMED_FIELD, f"{name} is written as {other}")
        values[name] = row.get(name, row.get(other))
        if values[name] is None:
            yield place.warning(FindingKind.MISSING_FIELD, f"{name} is not told")
        elif not (_number(values[name]) or 0) > 0:
            yield place.error(FindingKind.NO_NUMBER, f"{name} is {values[name]!r}, and not a number above 0")
    rates = _rates(values)
    if rates is not None:
        yield from _flow(rates, place, stated=stated)
        yield from _spread(rates, place)
    if values["P99 Latency"] is not None:
        yield from _samples(place, queries)


def _rates(values: Mapping[str, object]) -> _Rates | None:
    numbers = [_number(values[name]) for name in _ROW]
    if any(each is None or each <= 0 for each in numbers):
        return None
    size, qps, average, p99 = (each or 0.0 for each in numbers)
    # A whole number is cut off, as int() does; one with decimals is rounded to two.
    exact = Rounded(value=qps, low=qps, high=qps + 1) if qps.is_integer() else rounded_to(qps, 0.01)
    return _Rates(batch_size=size, qps=exact, average_ms=rounded_to(average, _LATENCY_STEP_MS), p99_ms=p99)


def _flow(rates: _Rates, place: Place, *, stated: int | None) -> Iterator[Finding]:
    """Hold QPS, mean latency and what is stated of instances against Little's law."""
    flight, told = rates.in_flight, f"QPS x AVG Latency / BS is {rates.in_flight.value:.2f} queries in flight"
    yield from _derived(flight, place)
    if stated is not None and flight.low > stated * (1 + SLACK):
        reason = f"{told}, but the stated instances and devices take {stated} at once: the load is not told"
        yield place.error(FindingKind.LITTLES_LAW, reason)
    elif stated is None and flight.low > 1 + SLACK:
        reason = f"{told}, and neither clients nor instances are told"
        yield place.warning(FindingKind.CONCURRENCY_UNSTATED, reason)
    elif flight.high < (stated or 1) * (1 - SLACK):
        lost = 1 - flight.value / (stated or 1)
        why = f"{100 * lost:.0f} % of the time is lost, or the figures are of two runs"
        reason = f"{told}, where {stated or 1} would be: {why}"
        yield place.warning(FindingKind.INCONSISTENT_THROUGHPUT, reason)


def _derived(flight: Rounded, place: Place) -> Iterator[Finding]:
    nearest = max(1, round(flight.value))
    if not flight.low <= nearest <= flight.high or flight.relative > _TOO_COARSE:
        return
    if nearest == 1:
        reason = "QPS is 1000 x BS / AVG Latency to the last digit: one measurement, told twice"
        yield place.note(FindingKind.DERIVED_THROUGHPUT, reason)
    else:
        reason = f"AVG Latency is {nearest} x 1000 x BS / QPS to the last digit: computed, and not measured"
        yield place.warning(FindingKind.DERIVED_THROUGHPUT, reason)


def _spread(rates: _Rates, place: Place) -> Iterator[Finding]:
    average, p99 = rates.average_ms, rates.p99_ms
    if p99 < average.value:
        yield place.error(
            FindingKind.PERCENTILE_ORDER, f"P99 Latency {p99:g} ms is below AVG Latency {average.value:g} ms"
        )
    elif p99 - average.value < 1.5 * _LATENCY_STEP_MS:
        reason = f"P99 Latency {p99:g} ms is AVG Latency {average.value:g} ms to the last digit: no tail is told"
        yield place.warning(FindingKind.NO_SPREAD, reason)
    if p99 >= _SLOWEST_RATIO * average.value:
        reason = f"P99 Latency is {p99 / average.value:.0f} times AVG Latency: one of them may be in another unit"
        yield place.error(FindingKind.UNITS, reason)
    if average.relative >= _COARSE:
        reason = (
            f"AVG Latency {average.value:g} ms is rounded to 0.01 ms: it may be off by {100 * average.relative:.1f} %"
        )
        yield (place.warning if average.relative >= _TOO_COARSE else place.note)(FindingKind.ROUNDED_AWAY, reason)


def _samples(place: Place, queries: int | None) -> Iterator[Finding]:
    if queries is None:
        reason = (
            f"P99 Latency is told without its number of queries: {needed(0.99)} bound it at 99 %, and of the "
            f"{_ITERATIONS} that the original's workloads ask for it is the slowest"
        )
        yield place.warning(FindingKind.SAMPLES_UNKNOWN, reason)
        return
    if queries < needed(0.99):
        reason = f"P99 Latency rests on {queries} queries: {needed(0.99)} bound it at 99 %"
        yield place.warning(FindingKind.TOO_FEW_SAMPLES, reason)
    if is_maximum(queries, 0.99):
        reason = f"P99 Latency of {queries} queries is sorted[int(n * 0.99)], the slowest of them"
        yield place.warning(FindingKind.PERCENTILE_IS_MAXIMUM, reason)


def _duplicates(data: Mapping[str, object], file: str) -> Iterator[Finding]:
    sizes = [row.get("BS") for row, _ in _rows(data, file) if _number(row.get("BS")) is not None]
    for size in dict.fromkeys(size for size in sizes if sizes.count(size) > 1):
        reason = f"there are {sizes.count(size)} rows of batch size {size}"
        yield Place(file=file, row=f"BS {size}").error(FindingKind.DUPLICATE, reason)
