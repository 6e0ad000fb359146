"""Two backends in turn, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bytemlperf.report import Decision
from bytemlperf.report.comparison.wording import value_text
from bytemlperf.report.markdown import table_lines, text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bytemlperf.studies.interleaving.result import Contender, Interleaving

_COLOURS: Final = {Decision.FASTER: "green", Decision.SLOWER: "bold red", Decision.EQUIVALENT: "cyan"}
_OUTPUTS: Final = {True: "at equal outputs", False: "at DIFFERENT outputs", None: "at outputs that were not judged"}


def headline(found: Interleaving) -> str:
    """Say in one sentence what was found.

    `b faster by 15.2 % [14.1, 16.4] at equal outputs; verdict: faster`.
    """
    sign = -1 if found.speed < 1 else 1
    ends = [None if end is None else sign * 100 * (end - 1) for end in (found.low, found.high)]
    low, high = ("?" if end is None else f"{end:.1f}" for end in (ends if sign > 0 else reversed(ends)))
    word = "faster" if sign > 0 else "slower"
    size = f"b {word} by {sign * found.percent:.1f} % [{low}, {high}]"
    return f"{size} {_OUTPUTS[found.equal_outputs]}; verdict: {found.decision}"


def sections(found: Interleaving) -> Iterator[RenderableType]:
    """Yield what is shown on a terminal, in order."""
    yield Text(headline(found), style=_COLOURS.get(found.decision, "yellow"))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, told in _facts(found):
        table.add_row(name, escape(told))
    yield table
    for warning in found.warnings:
        yield Text(f"warning: {warning}", style="yellow")


def _facts(found: Interleaving) -> Iterator[tuple[str, str]]:
    yield "model", f"{found.task}, batch {found.batch_size}"
    yield "a", _side(found.a, found)
    yield "b", _side(found.b, found)
    yield "by x %", f"means x % more, or fewer, queries a second; interval at {100 * found.level:g} %"
    blocks = f"{len(found.blocks)} blocks of ABBA or BAAB by chance, {found.queries} queries a stretch"
    yield "measured", f"{blocks}, in {found.duration_s:.0f} s"
    yield "about", f"{found.about}: {found.units} of them vary; p = {found.p_difference:.2g}"
    yield "equivalent", f"within {100 * found.equivalence:g} %; p = {found.p_equivalence:.2g}"
    yield "outputs", found.outputs
    if found.noise is not None:
        yield "noise", str(found.noise)


def _side(side: Contender, found: Interleaving) -> str:
    named = side.version if side.version.startswith(side.backend) else f"{side.backend} {side.version}"
    where = "in this process" if side.isolation == "inline" else "in a process of its own"
    return f"{named}, {side.precision}, {where}: {found.figure} {value_text(side.time_ns, 'ns')}"


def to_markdown(found: Interleaving) -> str:
    """Write the decision and what it rests on."""
    lines = [f"# {text(headline(found))}", ""]
    lines += table_lines(("", ""), _facts(found))
    lines += [f"- {text(each)}" for each in found.warnings]
    return "\n".join(lines) + "\n"
