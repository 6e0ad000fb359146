"""Rows beside the timed runs: a pass by phases, and what the vendor's own tool tells."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final

import numpy as np

from bytemlperf.datasets import batches
from bytemlperf.evaluation.answers import ask_once, over_samples
from bytemlperf.evaluation.masks import masks_of
from bytemlperf.evaluation.performing import Timed
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.failure import error_of
from bytemlperf.metrics import Metrics, compare, phases, tolerance_of, vendor_figures
from bytemlperf.report import PHASES, VENDOR_REPORTED, Row, RowKind
from bytemlperf.report.files import digests_of, trace_path, write_trace
from bytemlperf.sample import Array, BatchSet
from bytemlperf.scenarios import Plan, Scenario, Seeds
from bytemlperf.spec import DType
from bytemlperf.trace import Trace
from bytemlperf.worker import Series
from bytemlperf.workload import Check

MOST_QUERIES: Final = 100
CHECKED_BATCHES: Final = 2
_NEVER_SUMMED: Final = (
    "a pass of its own by one client, which waits for the device after each phase: "
    "never to be summed, nor set against a latency"
)


def beside_keys(subject: Subject, batch_size: int) -> list[str]:
    """Return the keys of the rows that the backend can give beside the timed ones."""
    told, asked = subject.description, Check.PERFORMANCE in subject.session.job.checks
    kinds = {PHASES: told.phased, VENDOR_REPORTED: told.vendor_benchmark}
    return [_key(subject, kind, batch_size) for kind, can in kinds.items() if can and asked]


def add_beside(subject: Subject, timed: Timed, bench: Workbench, batch_size: int, wanted: Collection[str]) -> None:
    """Measure what is wanted beside the timed runs of a batch size; a failed step leaves the others.

    Args:
        subject: What is measured.
        timed: Has the prepared batches.
        bench: Where the timed runs were.
        batch_size: Samples in a query.
        wanted: Keys of rows; others than these are left out.
    """
    session = subject.session
    makers: Mapping[str, Callable[[Subject, Timed, Workbench, int], Row | None]] = {
        PHASES: phases_row,
        VENDOR_REPORTED: vendor_row,
    }
    for kind, make in makers.items():
        key = _key(subject, kind, batch_size)
        if key in wanted:
            row = session.attempt(key, partial(make, subject, timed, bench, batch_size))
            if row is not None:
                session.finish(key, partial(session.add, row))


def _key(subject: Subject, kind: str, batch_size: int) -> str:
    return subject.key(f"performance/{kind}", batch_size)


def vendor_row(subject: Subject, timed: Timed, bench: Workbench, batch_size: int) -> Row | None:
    """Have the vendor's own tool measure; None where it tells no number. What is no number is told in a warning.

    Raises:
        BenchmarkError: Typed by what went wrong.
    """
    session, key = subject.session, _key(subject, VENDOR_REPORTED, batch_size)
    asked = timed.batches(bench, batch_size)
    with session.hold(timed.devices(bench.compile(batch_size).info)):
        told = bench.vendor_benchmark(asked)
    for name, reason in told.refused.items():
        session.warn("vendor_figure_refused", f"the figure {name!r} of the vendor's tool: {reason}", key)
    return _row(subject, bench, batch_size, VENDOR_REPORTED, vendor_figures(told.figures)) if told.figures else None


def phases_row(subject: Subject, timed: Timed, bench: Workbench, batch_size: int) -> Row | None:
    """Stamp prepare, execute and fetch over the batches of the timed runs; None where a query failed, which is noted.

    Raises:
        ResultError: If the phases together do not give what predict gives.
        BenchmarkError: Typed by what else went wrong.
    """
    session, key = subject.session, _key(subject, PHASES, batch_size)
    asked = timed.batches(bench, batch_size)
    _check_phases(subject, bench, batch_size)
    plan = _plan(session.job.scenarios[0], asked, session.job.streams)
    with session.hold(timed.devices(bench.compile(batch_size).info)) as waited_s:
        recording = bench.issue(Series(plan=plan, batches=asked, phased=True, step=key))
    timed.note(recording, key, waited_s)
    if recording.failures:
        return None
    return _row(subject, bench, batch_size, PHASES, phases(recording.trace), trace=recording.trace, note=_NEVER_SUMMED)


def _plan(scenario: Scenario, asked: BatchSet, seeds: Seeds) -> Plan:
    """Return as many queries as one client of a scenario has, one after another."""
    timed = scenario.plan(len(asked), seeds)
    count = min(MOST_QUERIES, max(1, len(timed.batch) // timed.clients))
    return Plan(batch=np.arange(count, dtype=np.int64) % len(asked), warmup=timed.warmup)


def _check_phases(subject: Subject, bench: Workbench, batch_size: int) -> None:
    """Hold what the phases give against what predict gives for the same batches.

    Raises:
        ResultError: If they differ by more than the precision explains.
        BenchmarkError: If there are no whole answers to compare.
    """
    spec, loader, info = subject.original.spec, subject.data.loader, bench.compile(batch_size).info
    count = min(CHECKED_BATCHES * batch_size, len(loader))
    asked = batches(loader, spec.inputs, range(count), batch_size=batch_size, engine_inputs=info.inputs)
    bounded = tolerance_of(info.precision).value is not None
    error = compare(
        _answers(subject, bench, asked, phased=True),
        _answers(subject, bench, asked, phased=False),
        specs=spec.outputs,
        precision=info.precision if bounded else DType.FLOAT32,  # the same engine twice: no quantisation lies between
        valid=masks_of(subject, range(count)),
        independent=True,
        reference_name="predict",
    ).error()
    if error is not None:
        raise error


def _answers(subject: Subject, bench: Workbench, asked: BatchSet, *, phased: bool) -> dict[str, Array]:
    recording = ask_once(bench, asked, step="answers by phases" if phased else "answers to compare", phased=phased)
    if recording.failures:
        raise error_of(recording.failures[0])
    return over_samples(recording.answers, asked, subject.original.spec.outputs)


def _row(
    subject: Subject,
    bench: Workbench,
    batch_size: int,
    kind: str,
    metrics: Metrics,
    *,
    trace: Trace | None = None,
    note: str = "",
) -> Row:
    key, out, info = _key(subject, kind, batch_size), subject.session.request.out, bench.compile(batch_size).info
    files: tuple[str, ...] = ()
    if out is not None and trace is not None:
        files = (trace_path(key),)
        write_trace(out / files[0], trace)
    return Row(
        kind=RowKind.PERFORMANCE,
        key=key,
        metrics=metrics,
        batch_size=batch_size,
        precision=info.precision,
        devices=info.devices,
        note=note,
        labels={kind: True, **subject.labels(batch_size)},
        files=files,
        sha256=digests_of(out, files),
    )
