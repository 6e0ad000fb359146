"""What each command does."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

from bytemlperf.api import plan, run
from bytemlperf.cli.caching import run_cache
from bytemlperf.cli.exits import ExitCode
from bytemlperf.cli.judging import run_audit, run_compare, run_export
from bytemlperf.cli.listing import model_facts, run_list, shown_facts
from bytemlperf.cli.loads import read_bounds, read_prompts, read_scenario
from bytemlperf.cli.progress import Bar
from bytemlperf.cli.showing import fields_of
from bytemlperf.cli.studying import run_find_limit, run_interleave
from bytemlperf.errors import SpecError, UnknownNameError
from bytemlperf.registry import backends, models
from bytemlperf.report import Report
from bytemlperf.scenarios import MLPERF_SEEDS, FixedBatch, Scenario
from bytemlperf.spec import AccuracyTarget, from_json, to_json
from bytemlperf.worker import ProcessTarget, Watch, Worker
from bytemlperf.workload import Acceptance, DatasetRequest, Limits, Workload
from bytemlperf.workload.jobfile import read_job_file
from bytemlperf.zoo import get as get_model

PASSED_ON: Final = (
    "backend", "precision", "weights", "checks", "batch_sizes", "repeats", "numeric_samples", "integrity", "devices",
    "seed", "out", "resume",
)  # fmt: skip
"""Arguments that `run` takes as they are."""
PLANNED: Final = (
    "backend",
    "precision",
    "weights",
    "checks",
    "batch_sizes",
    "repeats",
    "numeric_samples",
    "devices",
    "seed",
)
"""Arguments that `plan` takes as they are."""


def _run(arguments: argparse.Namespace) -> int:
    console = Console(stderr=True)
    cancel = threading.Event()
    with _cancelled_by_interrupt(cancel), _bar(arguments, console) as on_event, _kept_clean(arguments):
        report = run(_task(arguments.task, console), **_given(arguments), on_event=on_event, cancel=cancel)
    _print_report(report, as_json=arguments.json)
    if arguments.out is not None and not arguments.json:
        console.print(f"report and raw stamps: {arguments.out}")
    return ExitCode.INTERRUPTED if cancel.is_set() else _code(report)


def _plan(arguments: argparse.Namespace) -> int:
    console = Console(stderr=True)
    given = _given(arguments, names=PLANNED)
    del given["limits"]  # a plan has none
    with _kept_clean(arguments):
        found = plan(
            _task(arguments.task, console),
            **given,
            pilot=arguments.pilot,
            expected_latency_ms=arguments.expected_latency,
            minutes=arguments.minutes,
            width=arguments.width / 100,
            difference=arguments.difference / 100,
            level=arguments.level,
        )
    if arguments.json:
        _print_json(found.to_dict())
    else:
        Console().print(found)
    return ExitCode.OK


def _task(text: str, console: Console) -> str | Workload:
    path = Path(text)
    if path.suffix != ".json":
        return text
    workload, warnings = read_job_file(path)
    for warning in warnings:
        console.print(f"[yellow]note:[/] {escape(warning)}", soft_wrap=True)
    return workload


def _given(arguments: argparse.Namespace, names: tuple[str, ...] = PASSED_ON) -> dict[str, Any]:
    return {
        **{name: getattr(arguments, name) for name in names},
        "dataset": _dataset(arguments),
        "options": dict(arguments.option) or None,
        "scenarios": _scenarios(arguments),
        "asks": arguments.asks,
        "prompts": None if arguments.prompts is None else read_prompts(arguments.prompts),
        "bounds": None if arguments.bounds is None else read_bounds(arguments.bounds),
        "acceptance": _acceptance(arguments),
        "seeds": MLPERF_SEEDS if arguments.mlperf_seeds else None,
        "limits": _limits(arguments) if names is PASSED_ON else None,
        "worker": None if arguments.worker is None else Worker(command=arguments.worker),
    }


def _scenarios(arguments: argparse.Namespace) -> list[Scenario] | None:
    named = [read_scenario(each) for each in arguments.scenarios or ()]
    if arguments.clients is None and arguments.iterations is None:
        return named or None
    queries = {} if arguments.iterations is None else {"iterations": arguments.iterations}
    return [*(FixedBatch(clients=each, **queries) for each in arguments.clients or (1,)), *named]


def _acceptance(arguments: argparse.Namespace) -> Acceptance | None:
    given = [{"metric": name, "share": share} for name, share in arguments.accuracy_target]
    targets = [from_json(AccuracyTarget, each, where="--accuracy-target") for each in given]
    return Acceptance(targets=targets) if targets else None


def _dataset(arguments: argparse.Namespace) -> DatasetRequest | None:
    if arguments.dataset is None:
        if arguments.dataset_option or arguments.samples is not None:
            raise SpecError("options of a dataset without its name", remedy="add --dataset NAME")
        return None
    return DatasetRequest(name=arguments.dataset, options=dict(arguments.dataset_option), samples=arguments.samples)


def _limits(arguments: argparse.Namespace) -> Limits | None:
    given = {
        "query_s": arguments.query_limit,
        "compile_s": arguments.compile_limit,
        "step_s": arguments.step_limit,
        "total_s": arguments.total_limit,
        "memory_bytes": _bytes(arguments.memory_limit),
        "disk_bytes": _bytes(arguments.disk_limit),
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    return Limits(**chosen) if chosen else None


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else math.ceil(gigabytes * 1e9)


@contextlib.contextmanager
def _kept_clean(arguments: argparse.Namespace) -> Iterator[None]:
    """Let nothing but the report come to standard output, where a program reads it."""
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _cancelled_by_interrupt(cancel: threading.Event) -> Iterator[None]:
    """Let the first interrupt end the job in order; a second one ends the program."""

    def stop(*_: object) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    if threading.current_thread() is not threading.main_thread():  # there no signal can be heard
        yield
        return
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
        _print_json(report.to_dict())
    else:
        Console().print(report)


def _print_json(data: object) -> None:
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def _code(report: Report) -> int:
    return ExitCode.OK if report.ok else ExitCode.FAILED


def _show(arguments: argparse.Namespace) -> int:
    what, path = arguments.what, Path(arguments.what)
    if what in models.names():
        spec = get_model(what)
        _show_value(arguments, {**to_json(spec), **model_facts(spec)} if arguments.json else shown_facts(spec))
    elif what in backends.names() or ":" in what:
        _show_value(arguments, _backend_facts(what))
    elif path.exists():
        _print_report(Report.load(path), as_json=arguments.json)
    else:
        known = [*models.names(), *backends.names()]
        raise UnknownNameError("model, backend or report", what, known, remedy="a report is a folder or a .json file")
    return 0


def _backend_facts(name: str) -> Any:  # noqa: ANN401 - plain JSON
    """Ask a backend, in a worker, what it says of itself."""
    reference = name if ":" in name else backends.find(name).reference
    with tempfile.TemporaryDirectory(prefix="bytemlperf-") as folder:
        target = ProcessTarget(reference, worker=Worker(), folder=Path(folder), watch=Watch())
        with target:
            return to_json(target.description)


def _show_value(arguments: argparse.Namespace, data: Mapping[str, Any]) -> None:
    if arguments.json:
        _print_json(data)
    else:
        console = Console()
        console.print(fields_of(data, width=console.width), soft_wrap=True)


COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "run": _run,
    "plan": _plan,
    "interleave": run_interleave,
    "find-limit": run_find_limit,
    "list": run_list,
    "show": _show,
    "compare": run_compare,
    "audit": run_audit,
    "cache": run_cache,
    "export": run_export,
}
