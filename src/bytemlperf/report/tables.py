"""The tables of a report, each laid out for the columns that there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import attrs
from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bytemlperf.metrics.steadiness import WORTH_TOLD
from bytemlperf.report.rows import PHASES, VENDOR_REPORTED, Row, RowKind
from bytemlperf.report.units import shown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bytemlperf.metrics.estimate import Estimate
    from bytemlperf.report.report import Report

_WIDE: Final = 110

_PERFORMANCE: Final[Mapping[str, str]] = {
    "throughput/samples_per_s": "throughput",
    "latency/p50": "p50 latency",
    "latency/p99": "p99 latency",
}
_PERFORMANCE_WIDE: Final[Mapping[str, str]] = {
    "throughput/samples_per_s": "throughput",
    "latency/mean": "mean latency",
    "latency/p50": "p50",
    "latency/p90": "p90",
    "latency/p99": "p99",
}
_PERFORMANCE_KNOWN: Final = (
    "latency/",
    "throughput/",
    "queries/",
    "lateness/",
    "completion_lateness/",
    "loadgen/latency/",
    "loadgen/query_latency/",
    "steadiness/",
    "machine/",
)
"""Shown in their own columns, or told in warnings where they matter."""
_COMPILE: Final[Mapping[str, str]] = {
    "convert_s": "convert",
    "compile_s": "compile",
    "first_predict_s": "first predict",
    "time_to_first_answer_s": "first answer",
}
_COMPILE_KNOWN: Final = ("compile/cold/", "compile/warm/", "compile/coverage")
_NUMERIC: Final[Mapping[str, str]] = {"max_rel": "max|d| / max|ref|", "max_abs": "max|d|", "sqnr_db": "SQNR"}
_NUMERIC_WIDE: Final[Mapping[str, str]] = {**_NUMERIC, "mean_abs": "mean|d|", "p99_abs": "p99|d|"}
_DEPTH: Final = 3
_RESULT: Final = {True: Text("pass", style="green"), False: Text("FAIL", style="bold red"), None: Text("-")}
_INVALID: Final = Text("invalid", style="bold yellow")


@attrs.define
class _Notes:
    """Notes under a table: the same one once, called by a number in the cells."""

    title: str
    texts: list[str] = attrs.field(factory=list)

    def mark(self, note: str) -> str:
        if not note:
            return ""
        if note not in self.texts:
            self.texts.append(note)
        return f" ({self.texts.index(note) + 1})"

    def under(self, table: Table) -> RenderableType:
        lines = [Text(f" ({index}) {text}", style="dim") for index, text in enumerate(self.texts, start=1)]
        return Group(Text(self.title, style="bold"), table, *lines)


def accuracy_table(report: Report, *, width: int) -> RenderableType | None:  # noqa: ARG001 - as the others
    """Return the accuracy figures, one a line; None where there are none."""
    return _listed("accuracy", report.rows_of(RowKind.ACCURACY))


def numeric_table(report: Report, *, width: int) -> RenderableType | None:
    """Return the differences, one output a line; None where there are none."""
    rows = report.rows_of(RowKind.NUMERIC)
    if not rows:
        return None
    columns = _NUMERIC_WIDE if width >= _WIDE else _NUMERIC
    notes = _Notes("numeric: outputs against their reference")
    table = _table("output", *columns.values(), "NaN, Inf", "result")
    for row in rows:
        for index, (output, figures) in enumerate(_by_output(row).items()):
            cells = [_value(figures.get(name), notes) for name in columns]
            result = _RESULT[row.passed] if index == 0 else ""
            table.add_row(_name(output, row, rows), *cells, _non_finite(figures), result)
        notes.mark(row.note)
    others = _listed("tokens against those of the reference", rows, skip=("numeric/",))
    return _together(notes.under(table), others)


def performance_table(report: Report, *, width: int) -> RenderableType | None:
    """Return throughput and latency, one row a line with its intervals under it; None where there are none."""
    rows = [row for row in report.rows_of(RowKind.PERFORMANCE) if row.headline]
    if not rows:
        return None
    columns = _PERFORMANCE_WIDE if width >= _WIDE else _PERFORMANCE
    judged = any(row.passed is not None or row.validity is not None for row in rows)
    notes = _Notes(f"performance{_level(rows)}")
    table = _table("load", "batch", *columns.values(), "n", *(["result"] if judged else []))
    for row in rows:
        cells = [_with_interval(row.metrics.get(name), notes) for name in columns]
        n = row.metrics.get("latency/p50")
        invalid = "" if row.validity is None or row.validity.valid else f"invalid: {row.validity.text}"
        load = f"{_load(row)}{notes.mark(row.note)}{notes.mark(invalid)}"
        result = [_INVALID if invalid and row.passed is None else _RESULT[row.passed]] if judged else []
        table.add_row(load, _count(row.batch_size), *cells, _worth(row, None if n is None else n.n), *result)
    others = _listed("other figures of performance", rows, skip=_PERFORMANCE_KNOWN)
    return _together(notes.under(table), others)


def phases_table(report: Report, *, width: int) -> RenderableType | None:  # noqa: ARG001 - as the others
    """Return how long each phase took, one a line; None where no backend told them apart."""
    rows = _labelled(report, PHASES)
    if not rows:
        return None
    columns = ("p50", "p90", "p99")
    notes = _Notes(f"phases{_level(rows)}")
    table = _table("phase", "batch", *columns, "n")
    for row in rows:
        mark = notes.mark(row.note)
        for phase, figures in _grouped(row).items():
            cells = [_with_interval(figures.get(name), notes) for name in columns]
            n = max(each.n for each in figures.values())
            table.add_row(f"{escape(phase)}{mark}", _count(row.batch_size), *cells, _count(n))
    return notes.under(table)


def vendor_table(report: Report, *, width: int) -> RenderableType | None:  # noqa: ARG001 - as the others
    """Return what vendors' own tools told, one figure a line; None where there is nothing."""
    rows = _labelled(report, VENDOR_REPORTED)
    if not rows:
        return None
    notes = _Notes("reported by the vendor's tool, not measured by the harness")
    table = _table("figure", "batch", "value")
    for row in rows:
        mark = notes.mark(row.note)
        for name, estimate in row.metrics.items():
            told = escape(name.removeprefix(f"{VENDOR_REPORTED}/"))
            table.add_row(f"{told}{mark}", _count(row.batch_size), _value(estimate, notes))
    return notes.under(table)


def _labelled(report: Report, label: str) -> list[Row]:
    return [row for row in report.rows_of(RowKind.PERFORMANCE) if row.labels.get(label) is True]


def compile_table(report: Report, *, width: int) -> RenderableType | None:  # noqa: ARG001 - as the others
    """Return the way to the first answer, one start a line; None where there is none."""
    rows = report.rows_of(RowKind.COMPILE)
    if not rows:
        return None
    notes = _Notes("compile: to the first answer")
    table = _table("start", "batch", *_COMPILE.values(), "coverage")
    for row in rows:
        for start, figures in _grouped(row).items():
            cells = [_value(figures.get(name), notes) for name in _COMPILE]
            mark = notes.mark(row.note)
            table.add_row(f"{start}{mark}", _count(row.batch_size), *cells, _coverage(row))
    others = _listed("other figures of compilation", rows, skip=_COMPILE_KNOWN)
    return _together(notes.under(table), others)


def harness_table(report: Report, *, width: int) -> RenderableType | None:  # noqa: ARG001 - as the others
    """Return what the harness itself costs; None where it was not measured."""
    if not report.harness:
        return None
    notes = _Notes("the harness itself, with a backend that does nothing")
    table = _table("figure", "value", "interval", "n")
    for name, estimate in report.harness.items():
        table.add_row(*_line(name, estimate, notes))
    return notes.under(table)


def _listed(title: str, rows: Sequence[Row], *, skip: tuple[str, ...] = ()) -> RenderableType | None:
    """Lay out one figure a line."""
    notes = _Notes(f"{title}{_level(rows)}")
    judged = not skip and any(row.passed is not None for row in rows)
    table = _table("figure", "value", "interval", "n", *(["result"] if judged else []))
    for row in rows:
        for name, estimate in row.metrics.items():
            if not (skip and name.startswith(skip)):
                cells = _line(_name(name, row, rows), estimate, notes)
                table.add_row(*cells, *([_RESULT[row.passed]] if judged else []))
        notes.mark("" if skip else row.note)
    return notes.under(table) if table.row_count else None


def _together(first: RenderableType, second: RenderableType | None) -> RenderableType:
    return first if second is None else Group(first, "", second)


def _line(name: str, estimate: Estimate, notes: _Notes) -> tuple[str, str, str, str]:
    text = shown(estimate)
    return escape(name), f"{text.value}{notes.mark(estimate.note)}", text.interval, _count(estimate.n)


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _level(rows: Sequence[Row]) -> str:
    levels = {each.level for row in rows for each in row.metrics.values() if each.low is not None}
    return f" (intervals at {100 * levels.pop():.4g} %)" if len(levels) == 1 else ""


def _name(name: str, row: Row, rows: Sequence[Row]) -> str:
    """Tell rows apart by the parts of their keys that not all of them have."""
    shared = set.intersection(*(set(each.key.split("/")) for each in rows))
    own = "/".join(part for part in row.key.split("/") if part not in shared)
    return escape(f"{name}  {own}" if own else name)


def _load(row: Row) -> str:
    name = escape((row.scenario or row.key).replace("/", "\n"))
    chosen = [escape(str(label)) for label, value in row.labels.items() if value is True]
    return "\n".join([name, *chosen])


def _value(estimate: Estimate | None, notes: _Notes) -> str:
    return "" if estimate is None else f"{shown(estimate).value}{notes.mark(estimate.note)}"


def _with_interval(estimate: Estimate | None, notes: _Notes) -> Text:
    if estimate is None:
        return Text("")
    text = shown(estimate)
    cell = Text(f"{text.value}{notes.mark(estimate.note)}")
    return cell.append(f"\n{text.interval}", style="dim") if text.interval else cell


def _worth(row: Row, n: int | None) -> Text:
    """Write how many queries there are, and below it what they are worth where neighbours are alike."""
    effective = row.metrics.get("steadiness/effective_n")
    cell = Text(_count(n))
    if n is None or effective is None or effective.value is None or effective.value >= WORTH_TOLD * n:
        return cell
    return cell.append(f"\nworth {effective.value:,.0f}", style="dim")


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _by_output(row: Row) -> Mapping[str, Mapping[str, Estimate]]:
    """Group `numeric/<output>/<figure>` by output."""
    outputs: dict[str, dict[str, Estimate]] = {}
    for name, estimate in row.metrics.items():
        if name.startswith("numeric/"):
            output, _, figure = name.removeprefix("numeric/").rpartition("/")
            outputs.setdefault(output, {})[figure] = estimate
    return outputs


def _non_finite(figures: Mapping[str, Estimate]) -> str:
    counts = [figures[name].value for name in ("nan", "inf") if name in figures]
    return ", ".join(f"{count:,.0f}" for count in counts if count is not None)


def _grouped(row: Row) -> Mapping[str, Mapping[str, Estimate]]:
    """Group figures such as `compile/<start>/<phase>` by their middle part; others are left out."""
    groups: dict[str, dict[str, Estimate]] = {}
    for (_, group, figure), estimate in _three_parts(row):
        groups.setdefault(group, {})[figure] = estimate
    return groups


def _three_parts(row: Row) -> Iterator[tuple[list[str], Estimate]]:
    for name, estimate in row.metrics.items():
        parts = name.split("/")
        if len(parts) == _DEPTH:
            yield parts, estimate


def _coverage(row: Row) -> str:
    coverage = row.metrics.get("compile/coverage")
    if coverage is None or coverage.value is None:
        return "not known"
    return f"{100 * coverage.value:.4g} %"
