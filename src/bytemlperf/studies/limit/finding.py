"""`find_limit`: the search, with a backend as its probe."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections.abc import Iterable, Mapping
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.api import BackendLike, TaskLike, make_request
from bytemlperf.datasets import DatasetLoader
from bytemlperf.environment import NoiseWatch
from bytemlperf.errors import FailureCode, HarnessError, SpecError
from bytemlperf.evaluation.opened import Opened, opened
from bytemlperf.evaluation.performing import Timed
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.failure import error_of
from bytemlperf.metrics import throughput
from bytemlperf.scenarios import FixedBatch, Scenario, Seeds, Server, Warmup
from bytemlperf.spec import DType
from bytemlperf.spec.recipe import ConfigValue
from bytemlperf.studies.limit.result import Limit
from bytemlperf.studies.limit.search import Probe, Target, knee_of, search
from bytemlperf.trace import Trace
from bytemlperf.worker import Cancelled, Recording, Series, Worker
from bytemlperf.workload import DatasetRequest, Limits

CAPACITY_QUERIES: Final = 200
"""Of the closed loop by which the search learns where to begin."""
MOST_CLIENTS: Final = 8
_ENDING: Final = frozenset({FailureCode.CANCELLED, FailureCode.CRASH, FailureCode.TIME_LIMIT})
"""Failures after which nothing is tried any more; other queries without an answer count as over the bound."""
_WARM: Final = Warmup(max_queries=10)


def find_limit(
    task: TaskLike,
    *,
    backend: BackendLike | None = None,
    bound_ms: float,
    percentile: float = 0.99,
    level: float = 0.95,
    tolerance: float = 0.1,
    minutes: float = 10.0,
    batch_size: int = 1,
    precision: str | DType | None = None,
    weights: str | None = None,
    dataset: str | DatasetRequest | DatasetLoader | None = None,
    devices: Iterable[str] | None = None,
    options: Mapping[str, ConfigValue] | None = None,
    seed: int | None = None,
    limits: Limits | None = None,
    worker: Worker | None = None,
    cancel: Cancelled | None = None,
) -> Limit:
    """Find the highest rate of Poisson arrivals at which a percentile of latency keeps a bound.

    The backend is compiled once and kept; each rate is offered as MLPerf's Server scenario, with other arrivals each
    time. The method is that of `bytemlperf.studies.limit.search.search`.

    Args:
        task: As `run`.
        backend: As `run`.
        bound_ms: Bound of the percentile of latency, counted from when a query was due.
        percentile: As a share.
        level: Probability with which the limit is to lie between what holds and what is broken.
        tolerance: Relative distance of the two at which the search is content.
        minutes: How long queries may be offered, all rates together.
        batch_size: Samples that the engine takes at once; queries are of one sample, and joined by the harness.
        precision: As `run`.
        weights: As `run`.
        dataset: As `run`.
        devices: As `run`.
        options: As `run`.
        seed: As `run`; also of the arrivals.
        limits: As `run`.
        worker: As `run`.
        cancel: As `run`.

    Returns:
        The limit with its interval, and every rate that was tried.

    Raises:
        RequestError: If what was asked for cannot be.
        BenchmarkError: If the model cannot be compiled or asked at all.
    """
    target = Target(
        bound_ms=bound_ms, percentile=percentile, level=level, tolerance=tolerance, seconds=_seconds(minutes)
    )
    fields = {
        "precision": precision,
        "weights": weights,
        "batch_sizes": (batch_size,),
        "devices": devices,
        "options": options,
        "seed": seed,
        "limits": limits,
        "checks": ("performance",),
    }
    request = make_request(task, backend=backend, dataset=dataset, worker=worker, fields=fields)
    started_s = time.time()
    with opened(attrs.evolve(request, cancel=cancel)) as ready, ready.subject.bench() as bench:
        limit = _search(ready, bench, batch_size, target)
    return attrs.evolve(limit, started_utc=_utc(started_s), duration_s=time.time() - started_s)


def _seconds(minutes: float) -> float:
    if not minutes > 0:
        raise SpecError("no time to look", where="$.minutes", got=minutes, expected="a number above 0")
    return minutes * 60


def _utc(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _search(ready: Opened, bench: Workbench, batch_size: int, target: Target) -> Limit:
    subject = ready.subject
    timed = Timed(subject)
    asked = _Asked(bench=bench, batch_size=batch_size, timed=timed, target=target)
    devices = timed.devices(bench.compile(batch_size).info)
    with subject.session.hold(devices):
        watch = NoiseWatch()
        capacity = _capacity(asked)
        found = search(_probe(asked, seed=subject.session.job.seed), target, capacity_qps=capacity)
        during = tuple(f"while it was measured {each}" for each in watch.end().reasons)
    return Limit(
        task=subject.session.job.task,
        backend=subject.session.job.backend,
        batch_size=batch_size,
        target=target,
        rate_qps=found.low_qps,
        broken_qps=found.high_qps,
        capacity_qps=capacity,
        knee_qps=knee_of(found.points),
        points=found.points,
        consistent=found.consistent,
        ended=found.ended,
        noise=ready.facts.noise,
        warnings=(*ready.warnings, *during),
    )


@attrs.frozen(kw_only=True, eq=False)
class _Asked:
    """What is asked, and where."""

    bench: Workbench
    batch_size: int
    timed: Timed
    target: Target

    def issue(self, scenario: Scenario, *, number: int, step: str) -> Recording:
        """Issue a scenario's queries; the number chooses arrivals and samples."""
        batches = self.timed.asked(self.bench, self.batch_size, scenario)
        plan = scenario.plan(len(batches), Seeds(samples=number, schedule=number))
        batching = scenario.batching(self.batch_size)
        return self.bench.issue(Series(plan=plan, batches=batches, batching=batching, step=step))


def _capacity(asked: _Asked) -> float:
    """Measure how many samples a second a closed loop of as many clients as are taken at once works through."""
    clients = min(asked.bench.compile(asked.batch_size).info.max_in_flight or MOST_CLIENTS, MOST_CLIENTS)
    scenario = FixedBatch(clients=clients, iterations=max(CAPACITY_QUERIES // clients, 1), warmup=_WARM)
    recording = asked.issue(scenario, number=0, step="capacity")
    if recording.failures:
        raise error_of(recording.failures[0])
    found = throughput(recording.trace)["throughput/samples_per_s"].value
    if not found:
        raise HarnessError("no query of the closed loop was answered")
    return found


def _probe(asked: _Asked, *, seed: int) -> Probe:
    numbers = itertools.count(seed + 1)
    target = asked.target

    def offer(rate_qps: float, seconds: float) -> NDArray[np.float64]:
        scenario = Server(
            target_qps=rate_qps,
            min_duration_s=seconds,
            min_queries=1,
            bound_ms=target.bound_ms,
            percentile=target.percentile,
            warmup=_WARM,
        )
        recording = asked.issue(scenario, number=next(numbers), step=f"{rate_qps:.4g} queries/s")
        for failure in recording.failures:
            if failure.code in _ENDING or not recording.trace.answered.any():
                raise error_of(failure)
        return latencies_of(recording.trace)

    return offer


def latencies_of(trace: Trace) -> NDArray[np.float64]:
    """Return latencies in ns in the order in which queries were due, infinite where no answer came."""
    due = np.argsort(trace.scheduled_ns, kind="stable")
    latencies = np.where(trace.answered, trace.done_ns - trace.scheduled_ns, np.inf)
    found: NDArray[np.float64] = latencies[due].astype(np.float64)
    return found
