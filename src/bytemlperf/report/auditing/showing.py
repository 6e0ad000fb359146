"""An audit on a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Final

from rich import box
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bytemlperf.report.auditing.finding import Severity
from bytemlperf.report.markdown import table_lines, text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bytemlperf.report.auditing.finding import Audit, Finding, FindingKind

_COLOURS: Final = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


def sections(audit: Audit) -> Iterator[RenderableType]:
    """Yield what is shown, in order: each file's findings, then the counts."""
    for file, findings in groupby(audit.findings, key=lambda each: each.file):
        yield Padding(_table(file, list(findings)), (0, 0, 1, 0))
    yield Text(_headline(audit), style="bold")
    if audit.findings:
        counts = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        counts.add_column("kind")
        for severity in Severity:
            counts.add_column(severity.value, justify="right")
        for kind in audit.counts:
            counts.add_row(kind, *(_count(audit, kind, severity) for severity in Severity))
        yield counts


def _headline(audit: Audit) -> str:
    counts = [f"{sum(each.severity is level for each in audit.findings)} {level.value}s" for level in Severity]
    return f"{len(audit.files)} files, {audit.rows} rows: {', '.join(counts)}"


def _count(audit: Audit, kind: FindingKind, severity: Severity) -> str:
    count = sum(each.kind is kind and each.severity is severity for each in audit.findings)
    return str(count) if count else ""


def _table(file: str, findings: list[Finding]) -> RenderableType:
    table = Table(title=escape(file), title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("", overflow="fold")
    table.show_header = False
    for each in findings:
        said = Text.assemble((each.kind, "bold"), f": {each.reason}")
        where = Text(f"{each.row}: ") if each.row else Text()
        table.add_row(Text(each.severity, style=_COLOURS[each.severity]), where + said)
    return table


def to_markdown(audit: Audit) -> str:
    """Write the counts, then every finding."""
    return "\n".join(_lines(audit)) + "\n"


def _lines(audit: Audit) -> Iterator[str]:
    yield from (f"# Audit: {text(_headline(audit))}", "")
    heads = ("kind", *(severity.value for severity in Severity))
    rows = ((kind, *(_count(audit, kind, severity) for severity in Severity)) for kind in audit.counts)
    yield from table_lines(heads, rows)
    for file, findings in groupby(audit.findings, key=lambda each: each.file):
        yield from (f"## {text(file)}", "")
        told = ((each.severity, each.row, each.kind, each.reason) for each in findings)
        yield from table_lines(("severity", "row", "kind", "reason"), told)
