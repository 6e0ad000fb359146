"""A comparison on a terminal, 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Final

from rich import box
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bytemlperf.report.comparison.result import Decision
from bytemlperf.report.comparison.wording import (
    change_text,
    decision_text,
    headline,
    interval_text,
    margins_text,
    value_text,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bytemlperf.report.comparison.result import Comparison, FigureComparison

_COLOURS: Final = {
    Decision.FASTER: "green",
    Decision.BETTER: "green",
    Decision.SLOWER: "bold red",
    Decision.WORSE: "bold red",
    Decision.EQUIVALENT: "cyan",
    Decision.UNDECIDED: "yellow",
}


def sections(comparison: Comparison) -> Iterator[RenderableType]:
    """Yield what is shown, in order."""
    yield Text.assemble((headline(comparison), "bold"))
    yield _sides(comparison)
    if comparison.warnings:
        lines = Text("\n").join(
            Text.assemble((each.aspect, "bold"), f"{' (allowed)' if each.allowed else ''}: {each.text}")
            for each in comparison.warnings
        )
        title = f"warnings: {len(comparison.warnings)}"
        yield Panel(lines, title=title, title_align="left", border_style="yellow")
    for row, figures in groupby(comparison.figures, key=lambda each: each.row):
        yield Padding(_table(row, list(figures)), (1, 0, 0, 0))
    yield Padding(Text(f"{margins_text(comparison)}; {comparison.correction}", style="dim"), (1, 0, 0, 0))
    for number, note in enumerate(_notes(comparison), start=1):
        yield Text(f"({number}) {note}", style="dim")


def _sides(comparison: Comparison) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for letter, side in (("a", comparison.a), ("b", comparison.b)):
        version = side.backend_version.partition(" (")[0]
        backend = version if version.startswith(side.backend) else f"{side.backend} {version}"
        text = f"{side.task} on {backend}, {side.started_utc}"
        table.add_row(letter, escape(text if side.name == letter else f"{side.name}: {text}"))
    return table


def _table(row: str, figures: list[FigureComparison]) -> RenderableType:
    table = Table(title=escape(row), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("figure", overflow="fold")
    for head in ("a", "b", "change", "interval"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("decision", no_wrap=True)
    for each in figures:
        style = "dim" if each.decision is None else _COLOURS[each.decision]
        table.add_row(
            escape(each.figure.partition("/")[2] or each.figure),
            value_text(each.a, each.unit).removesuffix(f" {each.unit}" if each.unit.endswith("/s") else ""),
            value_text(each.b, each.unit).removesuffix(f" {each.unit}" if each.unit.endswith("/s") else ""),
            change_text(each),
            interval_text(each),
            Text(decision_text(each), style=style),
        )
    return table


def _notes(comparison: Comparison) -> Iterator[str]:
    """Yield what the figures note, each note once with the figures that it is about."""
    where: dict[str, list[str]] = {}
    for each in comparison.figures:
        for note in each.note.split("; ") if each.note and each.decision is not None else ():
            where.setdefault(note, []).append(each.figure)
    for note, figures in where.items():
        names = list(dict.fromkeys(figures))
        yield f"{', '.join(names)}: {note}"
