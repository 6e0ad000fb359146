"""What each command does."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bytemlperf.api import run
from bytemlperf.cli.jobfile import read_job_file
from bytemlperf.cli.judging import run_audit, run_compare
from bytemlperf.cli.progress import Bar
from bytemlperf.errors import SpecError
from bytemlperf.registry import Registry, backends, datasets, metrics, models
from bytemlperf.report import Report
from bytemlperf.scenarios import FixedBatch
from bytemlperf.spec import to_json
from bytemlperf.worker import ProcessTarget, Watch, Worker
from bytemlperf.workload import DatasetRequest, Limits, Workload
from bytemlperf.zoo import get as get_model

REGISTRIES: Final[Mapping[str, Registry[Any]]] = {
    "models": models,
    "backends": backends,
    "datasets": datasets,
    "metrics": metrics,
}
INTERRUPTED: Final = 130


def _run(arguments: argparse.Namespace) -> int:
    console = Console(stderr=True)
    cancel = threading.Event()
    with _cancelled_by_interrupt(cancel), _bar(arguments, console) as on_event:
        report = run(_task(arguments.task, console), **_given(arguments), on_event=on_event, cancel=cancel)
    _print_report(report, as_json=arguments.json)
    if arguments.out is not None and not arguments.json:
        console.print(f"report and raw stamps: {arguments.out}")
    return INTERRUPTED if cancel.is_set() else _code(report)


def _task(text: str, console: Console) -> str | Workload:
    path = Path(text)
    if path.suffix != ".json":
        return text
    workload, warnings = read_job_file(path)
    for warning in warnings:
        console.print(f"[yellow]note:[/] {escape(warning)}", soft_wrap=True)
    return workload


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("backend", "precision", "weights", "checks", "batch_sizes", "repeats", "devices", "seed", "out", "resume")
    given = {name: getattr(arguments, name) for name in names}
    return {
        **given,
        "dataset": _dataset(arguments),
        "options": dict(arguments.option) or None,
        "scenarios": _scenarios(arguments),
        "limits": _limits(arguments),
        "worker": None if arguments.worker is None else Worker(command=tuple(shlex.split(arguments.worker))),
    }


def _scenarios(arguments: argparse.Namespace) -> list[FixedBatch] | None:
    if arguments.clients is None and arguments.iterations is None:
        return None
    clients, iterations = arguments.clients or (1,), arguments.iterations or 100
    return [FixedBatch(clients=each, iterations=iterations) for each in clients]


def _dataset(arguments: argparse.Namespace) -> DatasetRequest | None:
    if arguments.dataset is None:
        if arguments.dataset_option or arguments.samples:
            raise SpecError("options of a data set without its name", remedy="add --dataset NAME")
        return None
    return DatasetRequest(name=arguments.dataset, options=dict(arguments.dataset_option), samples=arguments.samples)


def _limits(arguments: argparse.Namespace) -> Limits | None:
    memory = arguments.memory_limit
    given = {
        "query_s": arguments.query_limit,
        "compile_s": arguments.compile_limit,
        "total_s": arguments.total_limit,
        "memory_bytes": None if memory is None else int(memory * 1e9),
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    return Limits(**chosen) if chosen else None


@contextlib.contextmanager
def _cancelled_by_interrupt(cancel: threading.Event) -> Iterator[None]:
    """Let the first interrupt end the job in order; a second one ends the program."""

    def stop(*_: object) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _bar(arguments: argparse.Namespace, console: Console) -> Iterator[Callable[[Any], None] | None]:
    if arguments.quiet or not console.is_terminal:
        yield None
        return
    with Bar(console) as bar:
        yield bar


def _print_report(report: Report, *, as_json: bool) -> None:
    if as_json:
        _print_json(to_json(report))
    else:
        Console().print(report)


def _print_json(data: object) -> None:
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def _code(report: Report) -> int:
    return 0 if report.ok else 1


def _list(arguments: argparse.Namespace) -> int:
    registry = REGISTRIES[arguments.kind]
    rows = [
        {"name": plugin.name, "reference": plugin.reference, "distribution": plugin.distribution}
        for plugin in sorted(registry.plugins(), key=lambda plugin: plugin.name)
    ]
    if arguments.json:
        _print_json(rows)
        return 0
    table = Table(box=None)
    table.add_column(arguments.kind, no_wrap=True)
    table.add_column("from", style="dim")
    for row in rows:
        table.add_row(row["name"], row["distribution"])
    Console().print(table)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    path = Path(arguments.what)
    if path.exists():
        report = Report.load(path)
        _print_report(report, as_json=arguments.json)
        return 0
    if arguments.what in backends.names():
        _show_value(arguments, _backend_facts(arguments.what))
    else:
        _show_value(arguments, to_json(get_model(arguments.what)))
    return 0


def _backend_facts(name: str) -> Any:  # noqa: ANN401 - plain JSON
    """Ask a backend, in a worker, what it says of itself."""
    with tempfile.TemporaryDirectory(prefix="bytemlperf-") as folder:
        target = ProcessTarget(backends.find(name).reference, worker=Worker(), folder=Path(folder), watch=Watch())
        with target:
            return to_json(target.description)


def _show_value(arguments: argparse.Namespace, data: Mapping[str, Any]) -> None:
    if arguments.json:
        _print_json(data)
        return
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in data.items():
        if value not in (None, [], {}, ""):
            table.add_row(name, Text(_one_line(value)))
    Console().print(table)


def _one_line(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "\n".join(_one_line(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={_one_line(each)}" for name, each in value.items() if each not in (None, [], {}, ""))
    if isinstance(value, list):
        return "[" + ", ".join(_one_line(each) for each in value) + "]"
    return str(value)


COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "run": _run,
    "list": _list,
    "show": _show,
    "compare": run_compare,
    "audit": run_audit,
}
