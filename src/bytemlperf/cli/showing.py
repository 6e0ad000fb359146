"""Values and errors for a person's eyes, in columns that fit the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bytemlperf.errors import BenchmarkError
from bytemlperf.spec.reading import Json

_GROUPED_FROM: Final = 10_000
_EMPTY: Final[tuple[Json, ...]] = (None, [], {}, "")


def fields_of(data: Mapping[str, Json]) -> Table:
    """Make a table of a value's fields; empty ones are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in data.items():
        if value not in _EMPTY:
            table.add_row(name, Text("\n".join(_lines(value))))
    return table


def _lines(value: Json) -> Iterable[str]:
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return [_inline(each) for each in value]
    return [_inline(value)]


def _inline(value: Json, *, nested: bool = False) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= _GROUPED_FROM:
        return f"{value:,}"
    if isinstance(value, list):
        joined = ", ".join(_inline(each, nested=True) for each in value)
        return f"[{joined}]" if nested else joined
    return _named(value) if isinstance(value, dict) else str(value)


def _named(value: Mapping[str, Json]) -> str:
    """Write an object as its name and the rest: `image: dtype float32, shape [batch, 3]`."""
    rest = ", ".join(
        f"{key} {_inline(each, nested=True)}" for key, each in value.items() if key != "name" and each not in _EMPTY
    )
    name = str(value.get("name") or "")
    return f"{name}: {rest}" if name and rest else name or rest


def print_error(console: Console, title: str, error: BenchmarkError) -> None:
    """Print what went wrong, and below it the facts that there are, each on lines of its own."""
    console.print(Text.assemble((f"{title}: ", "bold red"), error.what))
    facts = {
        "at": error.where,
        "got": None if error.got is None else error.got if isinstance(error.got, str) else repr(error.got),
        "expected": error.expected,
        "remedy": error.remedy,
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        if fact:
            table.add_row(f"  {name}", Text(fact))
    console.print(table)
