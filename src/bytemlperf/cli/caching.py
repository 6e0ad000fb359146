"""The command `cache`: what the cache holds, whether it is whole, and how to get rid of it."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bytemlperf.cli.exits import ExitCode
from bytemlperf.errors import SpecError
from bytemlperf.fetch import Item, Kind, cache_dir, clear, items, verify

ACTIONS: Final = ("list", "clear", "verify", "path")
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


def run_cache(arguments: argparse.Namespace) -> int:
    """Do what is asked of the cache."""
    if arguments.action == "path":
        return _print(arguments, {"path": str(cache_dir())}, str(cache_dir()))
    if arguments.action == "verify":
        return _verify(arguments)
    if arguments.action == "list":
        return _tell(arguments, _chosen(arguments), "in the cache")
    return _clear(arguments)


def _clear(arguments: argparse.Namespace) -> int:
    """Delete what was named; to delete everything, that must be said."""
    named = arguments.kinds or arguments.model or arguments.older_than is not None
    if not named and not arguments.all:
        raise SpecError(
            "it is not said what of the cache is to go",
            expected="--kind, --model, --older-than, or --all for all of it",
            remedy="bytemlperf cache list shows what there is",
        )
    gone = clear(kinds=arguments.kinds or (), model=arguments.model, unused_for=_age(arguments))
    return _tell(arguments, gone, "cleared")


def _verify(arguments: argparse.Namespace) -> int:
    problems = {str(path): problem for path, problem in verify().items()}
    text = "\n".join(f"{path}: {problem}" for path, problem in problems.items())
    _print(arguments, problems, text or "everything in the cache is what it was when it was made")
    return ExitCode.FAILED if problems else ExitCode.OK


def _chosen(arguments: argparse.Namespace) -> tuple[Item, ...]:
    before = dt.datetime.now(dt.UTC) - (_age(arguments) or dt.timedelta(0))
    return tuple(
        item
        for item in items()
        if (not arguments.kinds or item.kind in arguments.kinds)
        and (arguments.model is None or arguments.model in item.name)
        and item.used_utc <= before
    )


def _age(arguments: argparse.Namespace) -> dt.timedelta | None:
    return None if arguments.older_than is None else dt.timedelta(days=arguments.older_than)


def _tell(arguments: argparse.Namespace, found: Sequence[Item], what: str) -> int:
    if arguments.json:
        return _print(arguments, [_plain(item) for item in found], "")
    console = Console()
    if found:
        console.print(_table(found))
    console.print(
        f"{_bytes(sum(item.size_bytes for item in found))} {what}, {len(found)} items: {cache_dir()}", soft_wrap=True
    )
    return ExitCode.OK


def _table(found: Sequence[Item]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("kind", no_wrap=True)
    table.add_column("of", overflow="ellipsis", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True, min_width=8)
    table.add_column("unused for", justify="right", no_wrap=True, min_width=10)
    for item in found:
        table.add_row(item.kind, item.name, _bytes(item.size_bytes), _since(item.used_utc))
    return table


def _plain(item: Item) -> dict[str, Any]:
    return {
        "kind": str(item.kind),
        "name": item.name,
        "path": str(item.path),
        "size_bytes": item.size_bytes,
        "used_utc": item.used_utc.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "about": dict(item.about),
    }


def _bytes(count: int) -> str:
    """Write a number of bytes shortly.

    Example:
        >>> _bytes(13_476_864_560), _bytes(999)
        ('13.5 GB', '999 B')
    """
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:  # noqa: PLR2004 - the step of units
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _since(when: dt.datetime) -> str:
    seconds = max(0.0, (dt.datetime.now(dt.UTC) - when).total_seconds())
    if seconds >= _DAY_S:
        return f"{seconds / _DAY_S:.0f} d"
    return f"{seconds / _HOUR_S:.0f} h" if seconds >= _HOUR_S else f"{seconds / 60:.0f} min"


def _print(arguments: argparse.Namespace, data: object, text: str) -> int:
    sys.stdout.write((json.dumps(data, indent=2) if arguments.json else text) + "\n")
    return ExitCode.OK


KINDS: Final = tuple(str(kind) for kind in Kind)
"""What `--kind` takes."""
