"""From a request to a plan: the backend asked what it is, the data opened, and a pilot where it is wanted."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets import DatasetLoader, open_dataset
from bytemlperf.errors import BenchmarkError
from bytemlperf.evaluation.data import SYNTHETIC
from bytemlperf.evaluation.evaluate import evaluate
from bytemlperf.evaluation.jobplan import JobPlan, Needed, PlannedRow, Wish
from bytemlperf.evaluation.paths import paths
from bytemlperf.evaluation.performing import SET_SAMPLES
from bytemlperf.evaluation.ready import describe, opener_of
from bytemlperf.evaluation.request import Request
from bytemlperf.evaluation.session import Session
from bytemlperf.evaluation.subject import row_key
from bytemlperf.metrics.steadiness import in_time
from bytemlperf.report import PHASES, VENDOR_REPORTED, Report, RowKind
from bytemlperf.report.files import read_trace, trace_path
from bytemlperf.scenarios import FixedBatch, Plan, Scenario
from bytemlperf.statistics import Claim, claim, queries_for_difference, queries_for_width
from bytemlperf.worker import BackendDescription
from bytemlperf.workload import Asked, Check, DatasetRequest, Job

PILOT_QUERIES: Final = 200
"""Timed queries of each pilot row: enough for the median and p90, and a hint of p95."""
PERCENTILES: Final = (0.5, 0.9, 0.99)
"""Of which claims are planned."""
STAMP_BYTES: Final = 48
FILES_BYTES: Final = 150_000
"""Of a report without rows: JSON, Markdown, events."""
ROW_BYTES: Final = 90_000
"""Of a row: its figures and its drawing."""


def plan_job(request: Request, wish: Wish, *, pilot: bool) -> JobPlan:
    """Say what a request would give.

    Args:
        request: What would be evaluated.
        wish: What the caller wants to be able to say.
        pilot: Run it once with few queries.

    Raises:
        RequestError: As `evaluate`.
    """
    known = _look(request)
    request = attrs.evolve(request, job=known.job)
    if not pilot:
        return _Planner(request, wish, known).plan()
    with tempfile.TemporaryDirectory(prefix="bytemlperf-", ignore_cleanup_errors=True) as folder:
        small = _pilot_of(request, Path(folder))
        report = evaluate(small)
        return _Planner(request, wish, known, report).plan()


@attrs.frozen(kw_only=True, eq=False)
class _Known:
    """What a request turns out to be about; None where a run would fail there."""

    job: Job
    backend: BackendDescription | None
    loader: DatasetLoader | None
    notes: tuple[str, ...]


def _look(request: Request) -> _Known:
    """Describe the backend and open the data, as a run would.

    Raises:
        RequestError: As a run would.
    """
    with tempfile.TemporaryDirectory(prefix="bytemlperf-", ignore_cleanup_errors=True) as scratch:
        session = Session(attrs.evolve(request, out=None, resume=False), Path(scratch))
        with contextlib.closing(opener_of(session)) as opener:
            backend = session.attempt("load backend", partial(describe, session, opener))
        loader = session.attempt("open data", partial(_opened, request))
        told = tuple(each.message for each in session.warnings)
        notes = tuple(f"a run would fail: {each.code} in {each.step}: {each.message}" for each in session.failures)
        return _Known(job=session.job, backend=backend, loader=loader, notes=(*told, *notes))


def _opened(request: Request) -> DatasetLoader:
    if request.loader is not None:
        return open_dataset(request.loader, request.spec)
    if request.job.dataset is not None:
        return open_dataset(request.job.dataset, request.spec)
    synthetic = DatasetRequest(name=SYNTHETIC, options={"seed": request.job.seed})
    name = request.spec.dataset
    if name is None or request.job.weights == "random":
        return open_dataset(synthetic, request.spec)
    try:
        return open_dataset(DatasetRequest(name=name), request.spec)
    except BenchmarkError:
        return open_dataset(synthetic, request.spec)


def _pilot_of(request: Request, folder: Path) -> Request:
    """Return the same job with few queries: what it checks besides, it does once."""
    job = request.job
    clients = tuple(dict.fromkeys(_clients(each) for each in job.scenarios))
    scenarios = tuple(FixedBatch(clients=each, iterations=max(PILOT_QUERIES // each, 1)) for each in clients)
    checks = tuple(each for each in job.checks if each is not Check.ACCURACY)
    small = attrs.evolve(job, scenarios=scenarios, repeats=1, checks=checks)
    return attrs.evolve(request, job=small, out=folder, plots=False, resume=False)


def _clients(scenario: Scenario) -> int:
    return int(getattr(scenario, "clients", 1))


class _Planner:
    """Lays out the rows of one request."""

    def __init__(self, request: Request, wish: Wish, known: _Known, pilot: Report | None = None) -> None:
        self._request, self._wish, self._known, self._pilot = request, wish, known, pilot
        self._job = request.job
        self._precision = self._job.precision or request.spec.precision
        whole = self._job.asked is not Asked.FORWARD  # a prompt, or a text that is scored, is a query by itself
        self._sizes = (1,) if whole else self._job.batch_sizes or request.spec.batch_sizes
        self._latencies = {} if pilot is None else _latencies_of(pilot)

    def plan(self) -> JobPlan:
        rows = tuple(self._rows()) if self._known.backend is not None else ()
        return JobPlan(
            job=self._job,
            wish=self._wish,
            rows=rows,
            overhead_s=self._overhead_s(),
            disk_bytes=FILES_BYTES + sum(row.disk_bytes for row in rows),
            pilot_s=None if self._pilot is None else self._pilot.duration_s,
            notes=tuple(self._notes()),
        )

    def _rows(self) -> Iterator[PlannedRow]:
        checks, backend = self._job.checks, self._known.backend
        assert backend is not None
        if Check.ACCURACY in checks and self._scores():
            yield self._checked("accuracy", RowKind.ACCURACY, self._sizes[0])
        for size in self._sizes if Check.NUMERIC in checks else ():
            yield from (self._checked(name, RowKind.NUMERIC, size) for name in paths(self._job, backend, size))
        for size in self._sizes if Check.PERFORMANCE in checks else ():
            yield from (self._timed(size, each) for each in self._job.scenarios)
            besides = {PHASES: backend.phased, VENDOR_REPORTED: backend.vendor_benchmark}
            yield from (
                self._plain(f"performance/{name}", RowKind.PERFORMANCE, size) for name in besides if besides[name]
            )
        compiled = self._sizes[:1] if backend.takes_every_batch(self._request.spec.format) else self._sizes
        for size in compiled if Check.COMPILE in checks else ():
            yield self._plain("compile", RowKind.COMPILE, size)

    def _key(self, what: str, size: int) -> str:
        return row_key(what, size, self._precision, self._job.devices)

    def _plain(self, what: str, kind: RowKind, size: int) -> PlannedRow:
        """A row whose time is part of the overhead."""
        return PlannedRow(key=self._key(what, size), kind=kind, seconds=0.0, disk_bytes=ROW_BYTES)

    def _scores(self) -> bool:
        loader = self._known.loader
        if loader is None or self._job.weights == "random" or not len(loader):
            return False
        return loader.labels(range(1)) is not None and bool(self._request.spec.metrics or loader.metrics)

    def _checked(self, what: str, kind: RowKind, size: int) -> PlannedRow:
        if kind is RowKind.NUMERIC or self._known.loader is None:
            return self._plain(what, kind, size)
        queries = math.ceil(len(self._known.loader) / size)
        latency_s = self._latency_s(size, 1)
        seconds = None if latency_s is None else queries * latency_s
        return PlannedRow(key=self._key(what, size), kind=kind, queries=queries, seconds=seconds, disk_bytes=ROW_BYTES)

    def _latency_s(self, size: int, clients: int) -> float | None:
        found = self._latencies.get((size, clients))
        if found is not None:
            return float(found.mean()) / 1e9
        return None if self._wish.expected_latency_ms is None else self._wish.expected_latency_ms / 1e3

    def _timed(self, size: int, scenario: Scenario) -> PlannedRow:
        plan = scenario.plan(self._prepared(size), self._job.streams)
        clients = plan.clients
        latency_s = self._latency_s(size, clients)
        course = course_of(plan, latency_s)
        pilot_ns = self._latencies.get((size, clients))
        in_minutes = None if latency_s is None or self._wish.minutes is None else self._wish.minutes * 60 / latency_s
        return PlannedRow(
            key=self._key(f"performance/{scenario.key}", size),
            kind=RowKind.PERFORMANCE,
            queries=course.queries,
            seconds=None if course.seconds is None else course.seconds * self._job.repeats,
            disk_bytes=ROW_BYTES + STAMP_BYTES * (course.queries or len(plan)) * self._job.repeats,
            claims=self._claims(course.queries, pilot_ns),
            within=self._claims(None if in_minutes is None else int(in_minutes * clients), pilot_ns),
            needed=() if pilot_ns is None else self._needed(pilot_ns),
        )

    def _prepared(self, size: int) -> int:
        """Prepared batches that a timed run would go round."""
        samples = SET_SAMPLES if self._known.loader is None else min(SET_SAMPLES, len(self._known.loader))
        return max(1, math.ceil(samples / size))

    def _claims(self, queries: int | None, pilot_ns: NDArray[np.int64] | None) -> tuple[Claim, ...]:
        if not queries:
            return ()
        return tuple(claim(queries, p, level=self._wish.level, pilot=pilot_ns) for p in PERCENTILES)

    def _needed(self, pilot_ns: NDArray[np.int64]) -> tuple[Needed, ...]:
        wish = self._wish
        return tuple(
            Needed(
                p=p,
                width=wish.width,
                for_width=None if p is None else queries_for_width(pilot_ns, p, width=wish.width, level=wish.level),
                difference=wish.difference,
                for_difference=queries_for_difference(pilot_ns, difference=wish.difference, p=p, level=wish.level),
            )
            for p in (None, *PERCENTILES[:2])
        )

    def _overhead_s(self) -> float | None:
        """Return what is not in the rows: that of the pilot, and a start and a compile for each further process."""
        if self._pilot is None:
            return None
        timed = sum(float(each.sum()) / 1e9 / key[1] for key, each in self._latencies.items())
        starts = [
            each.value
            for row in self._pilot.rows_of(RowKind.COMPILE)
            for name, each in row.metrics.items()
            if name.endswith("warm/time_to_first_answer_s") and each.value is not None
        ]
        return self._pilot.duration_s - timed + (self._job.repeats - 1) * sum(starts)

    def _notes(self) -> Iterator[str]:
        yield from self._known.notes
        if self._pilot is None:
            if self._wish.expected_latency_ms is not None:
                yield "times rest on the latency that was expected; starting, compiling and checking are not in them"
            return
        yield f"from a pilot of {PILOT_QUERIES} queries a row; the same machine, and as quiet, is taken for granted"
        yield from (f"the pilot failed: {each.code} in {each.step}: {each.message}" for each in self._pilot.failures)
        yield from (f"the pilot warns: {each.message}" for each in self._pilot.warnings)


@attrs.frozen(kw_only=True)
class Course:
    """How a plan will go.

    Attributes:
        queries: How many are issued; None where a stop rule and an unknown latency decide.
        seconds: How long that takes, with the warm-up; None where not known.
    """

    queries: int | None
    seconds: float | None


def course_of(plan: Plan, latency_s: float | None) -> Course:
    """Say how many queries of a plan will be issued, and how long it takes.

    Args:
        plan: Of a scenario.
        latency_s: How long a query takes as its client sees it; None where not known.
    """
    least_s = plan.stop.min_duration_ns / 1e9
    warm_s = 0.0 if latency_s is None else plan.warmup.max_queries * latency_s
    if plan.scheduled_ns is not None and len(plan):
        last_s = float(plan.scheduled_ns[-1]) / 1e9
        work_s = 0.0 if latency_s is None else plan.samples_per_query * latency_s
        known = last_s > 0 or latency_s is not None
        return Course(queries=len(plan), seconds=last_s + work_s + warm_s if known else None)
    if latency_s is None:
        return Course(queries=None if plan.stop.when_enough else len(plan), seconds=None)
    queries = len(plan)
    if plan.stop.when_enough:
        queries = min(queries, max(plan.stop.min_queries, math.ceil(least_s / latency_s)))
    return Course(queries=queries, seconds=math.ceil(queries / plan.clients) * latency_s + warm_s)


def _latencies_of(pilot: Report) -> Mapping[tuple[int, int], NDArray[np.int64]]:
    """Return a pilot's latencies in ns, in the order of time, by batch size and clients."""
    found = {}
    for row in pilot.rows_of(RowKind.PERFORMANCE):
        path = None if pilot.folder is None else pilot.folder / trace_path(row.key)
        if path is not None and row.headline and row.batch_size is not None and path.exists():
            clients = int((row.scenario or "clients=1").rpartition("clients=")[2].partition("/")[0])
            found[row.batch_size, clients] = in_time(read_trace(path))
    return {key: each for key, each in found.items() if each.size}
