"""The commands of several runs together: `interleave` and `find-limit`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from bytemlperf.cli.exits import ExitCode
from bytemlperf.studies import find_limit, interleave
from bytemlperf.worker import Worker
from bytemlperf.workload import DatasetRequest

_SHARED: Final = ("precision", "weights", "devices", "batch_size")


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    dataset = None if arguments.dataset is None else DatasetRequest(name=arguments.dataset)
    worker = None if arguments.worker is None else Worker(command=arguments.worker)
    return {
        **{name: getattr(arguments, name) for name in _SHARED},
        "seed": arguments.seed or 0,
        "dataset": dataset,
        "worker": worker,
    }


def run_interleave(arguments: argparse.Namespace) -> int:
    """Ask two backends in turn, and say which is faster."""
    found = interleave(
        arguments.task,
        a=arguments.a,
        b=arguments.b,
        a_options=dict(arguments.a_option) or None,
        b_options=dict(arguments.b_option) or None,
        minutes=arguments.minutes,
        repeats=arguments.repeats,
        figure=arguments.figure,
        level=arguments.level,
        equivalence=arguments.equivalence / 100,
        **_given(arguments),
    )
    _show(arguments, found)
    _write(arguments.markdown, found.to_markdown())
    return ExitCode(found.exit_code())


def run_find_limit(arguments: argparse.Namespace) -> int:
    """Search the highest rate that keeps a bound."""
    found = find_limit(
        arguments.task,
        backend=arguments.backend,
        options=dict(arguments.option) or None,
        bound_ms=arguments.bound,
        percentile=arguments.percentile / 100,
        minutes=arguments.minutes,
        tolerance=arguments.tolerance / 100,
        level=arguments.level,
        **_given(arguments),
    )
    _show(arguments, found)
    if arguments.out is not None:
        found.save(arguments.out)
    return ExitCode.OK if found.found else ExitCode.FAILED


def _show(arguments: argparse.Namespace, found: Any) -> None:  # noqa: ANN401 - anything with to_dict, shown by rich
    if arguments.json:
        sys.stdout.write(json.dumps(found.to_dict(), indent=2) + "\n")
    else:
        Console().print(found)


def _write(path: Path | None, content: str) -> None:
    if path is not None:
        path.write_text(content, encoding="utf-8")
