"""A comparison as Markdown, for a review or a CI summary."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from bytemlperf.report.comparison.wording import (
    change_text,
    decision_text,
    headline,
    interval_text,
    margins_text,
    value_text,
)
from bytemlperf.report.markdown import table_lines, text

if TYPE_CHECKING:
    from bytemlperf.report.comparison.result import Comparison, FigureComparison


def to_markdown(comparison: Comparison) -> str:
    """Write every figure of every row, with what it rests on."""
    return "\n".join(_lines(comparison)) + "\n"


def _lines(comparison: Comparison) -> Iterator[str]:
    yield f"# {text(comparison.b.name)} against {text(comparison.a.name)}: {headline(comparison)}"
    yield ""
    heads = ("", "name", "model", "backend", "version", "began")
    sides = (("a", comparison.a), ("b", comparison.b))
    yield from table_lines(
        heads, ((letter, s.name, s.task, s.backend, s.backend_version, s.started_utc) for letter, s in sides)
    )
    if comparison.warnings:
        yield from ("## Warnings", "")
        told = ((each.aspect, each.text, "allowed" if each.allowed else "") for each in comparison.warnings)
        yield from table_lines(("aspect", "what", ""), told)
    for row, figures in groupby(comparison.figures, key=lambda each: each.row):
        yield from (f"## `{row}`", "")
        columns = ("figure", "a", "b", "change", "interval", "decision", "p", "basis", "n", "method", "note")
        yield from table_lines(columns, (_cells(each) for each in figures))
    yield from (text(f"{margins_text(comparison)}; {comparison.correction}"), "")


def _cells(each: FigureComparison) -> tuple[str, ...]:
    return (
        each.figure,
        value_text(each.a, each.unit),
        value_text(each.b, each.unit),
        change_text(each),
        interval_text(each),
        decision_text(each),
        "" if each.adjusted_difference is None else f"{each.adjusted_difference:.2g}",
        each.basis,
        f"{each.n_a:,}, {each.n_b:,}",
        each.method,
        each.note,
    )
