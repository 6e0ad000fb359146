"""A report as Markdown: the same tables, for a person who reads it in a repository or a browser."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from bytemlperf.report.units import shown

if TYPE_CHECKING:
    from bytemlperf.metrics.validity import Validity
    from bytemlperf.report.report import Report
    from bytemlperf.report.rows import Row


def to_markdown(report: Report, *, plots: Iterable[str] = ()) -> str:
    """Write a report; every figure of every row with its interval and definition.

    Args:
        report: What to write.
        plots: Paths of drawings, relative to the report's folder.
    """
    return "\n".join(_lines(report, tuple(plots))) + "\n"


def _lines(report: Report, plots: tuple[str, ...]) -> Iterator[str]:
    yield f"# {text(report.job.task)} on {text(report.job.backend)}"
    yield from ("", f"**{report.verdict.outcome.upper()}**, {report.status}, {report.started_utc}", "")
    if report.noise is not None:
        yield from (f"Noise before the run: {text(str(report.noise))}", "")
    yield from table_lines(
        ("check", "outcome", "why"), ((each.check, each.outcome, each.text) for each in report.verdict.reasons)
    )
    if report.failures:
        yield from ("## Failures", "")
        heads = ("code", "step", "to mend", "message")
        yield from table_lines(heads, ((each.code, each.step, each.blame, each.message) for each in report.failures))
    if report.warnings:
        yield from ("## Warnings", "")
        yield from table_lines(("step", "message"), ((each.step, each.message) for each in report.warnings))
    if report.not_measured:
        yield from ("## Not measured", "")
        yield from table_lines(("check", "why"), ((each.check, each.reason) for each in report.not_measured))
    for row in report.rows:
        yield from _row(row)
    for path in plots:
        yield from (f"![{text(path)}]({path})", "")


def _row(row: Row) -> Iterator[str]:
    yield from (f"## `{text(row.key)}`", "")
    if row.passed is not None:
        yield from ("**pass**" if row.passed else "**FAIL**", "")
    if row.validity is not None:
        yield from _validity(row.validity)
    if row.note:
        yield from (text(row.note), "")
    heads = ("figure", "value", "interval", "n", "definition", "note")
    yield from table_lines(
        heads,
        (
            (name, shown(each).value, shown(each).interval, f"{each.n:,}", each.definition, each.note)
            for name, each in row.metrics.items()
        ),
    )


def _validity(validity: Validity) -> Iterator[str]:
    yield from ("valid by MLPerf's rules" if validity.valid else "**INVALID** by MLPerf's rules", "")
    if validity.reasons:
        reasons = ((each.cause.value, each.message, each.recommendation) for each in validity.reasons)
        yield from table_lines(("cause", "found", "what to do"), reasons)


def table_lines(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a table, and an empty one; cells are escaped, heads are not."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(text(cell) for cell in row)} |"
    yield ""


def text(value: str) -> str:
    """Write text so that no part of it is taken for markup, and a table keeps its columns."""
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*_|[]":
        escaped = escaped.replace(mark, f"\\{mark}")
    return " ".join(escaped.split())
