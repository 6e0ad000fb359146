"""A report in a notebook: tables and drawings in one piece of HTML, with everything escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from html import escape
from typing import TYPE_CHECKING, Final

from bytemlperf.report.drawing import figures
from bytemlperf.report.units import shown

if TYPE_CHECKING:
    from bytemlperf.report.report import Report
    from bytemlperf.report.rows import Row

_COLOURS: Final = {"pass": "#1a7f37", "fail": "#c0392b", "undecided": "#9a6700"}


def to_html(report: Report) -> str:
    """Write a report's headline, verdict, failures, warnings, figures and drawings."""
    return f"<div>{''.join(_parts(report))}</div>"


def _parts(report: Report) -> Iterator[str]:
    outcome = report.verdict.outcome.value
    yield f"<h3>{escape(report.job.task)} on {escape(report.job.backend)}: {escape(report.status)}, "
    yield f'<span style="color:{_COLOURS[outcome]}">{outcome}</span></h3>'
    if report.noise is not None:
        yield f"<p>noise before the run: {escape(str(report.noise))}</p>"
    yield _table("verdict", ((each.check, each.outcome, each.text) for each in report.verdict.reasons))
    yield _table("failures", ((each.code, each.step, each.message) for each in report.failures))
    yield _table("warnings", ((each.step, each.message) for each in report.warnings))
    yield _table("not measured", ((each.check, each.reason) for each in report.not_measured))
    for row in report.rows:
        yield _details(row)
    yield from _drawings(report)


def _details(row: Row) -> str:
    lines = (
        (name, shown(each).value, shown(each).interval, f"n = {each.n:,}", each.note)
        for name, each in row.metrics.items()
    )
    passed = {True: ", pass", False: ", FAIL", None: ""}[row.passed]
    return f"<details open><summary>{escape(row.key)}{passed}</summary>{_table('', lines)}</details>"


def _table(title: str, rows: Iterable[tuple[str, ...]]) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return ""
    caption = f"<caption><b>{escape(title)}</b></caption>" if title else ""
    return f"<table>{caption}{body}</table>"


def _drawings(report: Report) -> Iterator[str]:
    from bytemlperf.report.plots import png

    for path, figure in figures(report, report.folder):
        content = base64.b64encode(png(figure)).decode()
        yield f'<img alt="{escape(path)}" style="max-width:100%" src="data:image/png;base64,{content}">'
