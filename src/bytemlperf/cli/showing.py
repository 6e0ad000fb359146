"""Values and errors for a person's eyes, in columns that fit the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from bytemlperf.errors import BenchmarkError
from bytemlperf.spec.reading import Json

_GROUPED_FROM: Final = 10_000
_NARROWEST: Final = 20
"""Columns that a text is given however narrow the terminal."""
_EMPTY: Final[tuple[Json, ...]] = (None, [], {}, "")


def fields_of(data: Mapping[str, Json], *, width: int) -> Text:
    """Write a value's fields in two columns; empty ones are left out."""
    rows = [(name, "\n".join(_lines(value))) for name, value in data.items() if value not in _EMPTY]
    return _columns(rows, width=width, style="bold")


def _columns(rows: Sequence[tuple[str, str]], *, width: int, style: str, indent: str = "") -> Text:
    """Write names and texts side by side; texts are broken at spaces, and no line ends in one."""
    left = max((len(name) for name, _ in rows), default=0)
    room = max(width - len(indent) - left - 2, _NARROWEST)
    lines = []
    for name, text in rows:
        pieces = [piece for line in text.splitlines() for piece in _wrapped(line, room)]
        for index, piece in enumerate(pieces or [""]):
            lines.append(Text.assemble(indent, ((name if not index else "").ljust(left), style), "  ", piece))
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)


def _wrapped(line: str, room: int) -> list[str]:
    return textwrap.wrap(line, room, break_on_hyphens=False) or [""]


def _lines(value: Json) -> Iterable[str]:
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return [_inline(each) for each in value]
    return [_inline(value)]


def _inline(value: Json, *, nested: bool = False) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= _GROUPED_FROM:
        return f"{value:,}"
    if isinstance(value, list):  # whose own commas would run into those of large numbers
        joined = ", ".join(
            str(each) if isinstance(each, int) and not isinstance(each, bool) else _inline(each, nested=True)
            for each in value
        )
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
    facts = {
        "at": error.where,
        "got": None if error.got is None else error.got if isinstance(error.got, str) else repr(error.got),
        "expected": error.expected,
        "remedy": error.remedy,
    }
    rows = [(name, fact) for name, fact in facts.items() if fact]
    told = f"{title}: {error.what}"
    first = Text(textwrap.fill(told, max(console.width, _NARROWEST), subsequent_indent="  ", break_on_hyphens=False))
    first.stylize("bold red", 0, len(title) + 1)
    console.print(first, soft_wrap=True)
    if rows:
        console.print(_columns(rows, width=console.width, style="dim", indent="  "), soft_wrap=True)
