"""A report as Markdown: the same tables, for a person who reads it in a repository or a browser."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from bytemlperf.report.units import shown

if TYPE_CHECKING:
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
    yield f"# {_text(report.job.task)} on {_text(report.job.backend)}"
    yield from ("", f"**{report.verdict.outcome.upper()}**, {report.status}, {report.started_utc}", "")
    yield from _table(
        ("check", "outcome", "why"), ((each.check, each.outcome, each.text) for each in report.verdict.reasons)
    )
    if report.failures:
        yield from ("## Failures", "")
        heads = ("code", "step", "to mend", "message")
        yield from _table(heads, ((each.code, each.step, each.blame, each.message) for each in report.failures))
    if report.warnings:
        yield from ("## Warnings", "")
        yield from _table(("step", "message"), ((each.step, each.message) for each in report.warnings))
    if report.not_measured:
        yield from ("## Not measured", "")
        yield from _table(("check", "why"), ((each.check, each.reason) for each in report.not_measured))
    for row in report.rows:
        yield from _row(row)
    for path in plots:
        yield from (f"![{_text(path)}]({path})", "")


def _row(row: Row) -> Iterator[str]:
    yield from (f"## `{_text(row.key)}`", "")
    if row.passed is not None:
        yield from ("**pass**" if row.passed else "**FAIL**", "")
    if row.note:
        yield from (_text(row.note), "")
    heads = ("figure", "value", "interval", "n", "definition", "note")
    yield from _table(
        heads,
        (
            (name, shown(each).value, shown(each).interval, f"{each.n:,}", each.definition, each.note)
            for name, each in row.metrics.items()
        ),
    )


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(_text(cell) for cell in row)} |"
    yield ""


def _text(value: str) -> str:
    """Write text so that no part of it is taken for markup, and a table keeps its columns."""
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*_|[]":
        escaped = escaped.replace(mark, f"\\{mark}")
    return " ".join(escaped.split())
