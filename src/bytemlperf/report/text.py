"""A report on a terminal: headline, verdict, failures and warnings, then the tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bytemlperf.report.tables import (
    accuracy_table,
    compile_table,
    harness_table,
    numeric_table,
    performance_table,
    phases_table,
    vendor_table,
)
from bytemlperf.report.units import number
from bytemlperf.report.verdict import Outcome
from bytemlperf.worker import Isolation

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bytemlperf.failure import Failure
    from bytemlperf.report.report import Report
    from bytemlperf.report.verdict import NotMeasured

COLOURS: Final = {Outcome.PASS: "green", Outcome.FAIL: "red", Outcome.UNDECIDED: "yellow"}
_TABLES: Final = (
    accuracy_table,
    numeric_table,
    performance_table,
    phases_table,
    vendor_table,
    compile_table,
    harness_table,
)
_LOG_LINES: Final = 8
_GIB: Final = 2**30
_HASH_DIGITS: Final = 12


def sections(report: Report, *, width: int) -> Iterator[RenderableType]:
    """Yield what is shown of a report, in order; sections without content are left out.

    Args:
        report: What to show.
        width: Columns of the terminal; tables choose their figures by it.
    """
    yield _headline(report)
    yield _facts(report)
    yield from _panel("FAILED", [_failure(each) for each in report.failures], "red")
    yield from _panel("warnings", [_warning(each.step, each.message) for each in report.warnings], "yellow")
    yield _verdict(report)
    yield from _panel("not measured", [_bold(each.check, each.reason) for each in _untold(report)], "yellow")
    for table in _TABLES:
        drawn = table(report, width=width)
        if drawn is not None:
            yield Padding(drawn, (1, 0, 0, 0))


def _headline(report: Report) -> RenderableType:
    backend = report.job.backend if report.backend is None else report.backend.name
    outcome = report.verdict.outcome
    title = Text.assemble((report.job.task, "bold"), " on ", (backend, "bold"))
    title.append(f"   {report.status}, ")
    title.append(outcome.upper(), style=f"bold {COLOURS[outcome]}")
    return title


def _untold(report: Report) -> Iterator[NotMeasured]:
    """Yield what the verdict's reasons do not tell already."""
    judged = {reason.check for reason in report.verdict.reasons}
    yield from (each for each in report.not_measured if each.check not in judged)


def _facts(report: Report) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, text in _fact_lines(report):
        table.add_row(name, escape(text))
    return table


def _fact_lines(report: Report) -> Iterator[tuple[str, str]]:
    artifact, dataset, backend, machine = report.artifact, report.dataset, report.backend, report.environment
    if artifact is not None:
        origin = f" ({artifact.origin})" if artifact.origin else ""
        digest = f", sha256 {artifact.sha256[:_HASH_DIGITS]}" if artifact.sha256 else ""
        yield "model", f"{artifact.provenance} weights{origin}, {artifact.format}{digest}"
    if dataset is not None:
        yield "data", f"{dataset.name}, {dataset.samples:,} samples"
    if backend is not None:
        devices = ", ".join(dict.fromkeys(device for row in report.rows for device in row.devices)) or "default device"
        used = " and ".join(dict.fromkeys(row.precision.short for row in report.rows))
        named = backend.version if backend.version.startswith(backend.name) else f"{backend.name} {backend.version}"
        where = "the harness' own process" if backend.isolation is Isolation.INLINE else "a process of its own"
        yield "backend", f"{', '.join(filter(None, (named, devices, used)))}, in {where}"
    memory = "" if machine.memory_bytes is None else f", {number(machine.memory_bytes / _GIB)} GiB"
    yield (
        "machine",
        f"{machine.cpu.model}, {machine.cpu.usable_cores} threads{memory}, {machine.system} {machine.kernel}",
    )
    if report.noise is not None:
        yield "noise", f"{report.noise} (seen in {report.noise.seconds:.1f} s before the run)"
    yield "run", f"{report.started_utc}, {number(report.duration_s)} s, digest {report.digest[:_HASH_DIGITS]}"


def _verdict(report: Report) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    told = {f"{each.code}: {each.message}": f"{each.code}, as told above" for each in report.failures}
    for reason in report.verdict.reasons:
        why = told.get(reason.text, reason.text)
        table.add_row(reason.check, Text(reason.outcome, style=COLOURS[reason.outcome]), escape(why))
    return Padding(Group(Text("verdict", style="bold"), table), (1, 0, 0, 0))


def _panel(title: str, lines: list[RenderableType], colour: str) -> Iterator[RenderableType]:
    if lines:
        yield Panel(Group(*lines), title=f"{title}: {len(lines)}", title_align="left", border_style=colour)


def _warning(step: str, message: str) -> RenderableType:
    return _bold(step, message) if step else Text(message)


def _bold(name: str, text: str) -> RenderableType:
    return Text.assemble((name, "bold"), f": {text}")


def _failure(failure: Failure) -> RenderableType:
    retry = ", may succeed later" if failure.retryable else ""
    text = Text.assemble(
        (failure.code, "bold red"), f" in {failure.step or 'the run'} (to mend: {failure.blame}{retry})"
    )
    text.append(f"\n{failure.message}")
    for name in ("operator", "tensor", "signal", "exit_code", "limit"):
        value = getattr(failure, name)
        if value is not None and str(value) not in failure.message:
            text.append(f"\n{name.replace('_', ' ')}: {value}", style="dim")
    tail = failure.log_tail.strip().splitlines()[-_LOG_LINES:]
    if tail:
        text.append("\n" + "\n".join(f"| {line}" for line in tail), style="dim")
    return text
