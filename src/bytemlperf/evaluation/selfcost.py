"""What the harness itself costs: the same path with a backend that answers at once."""

from __future__ import annotations

from typing import Final

import numpy as np

from bytemlperf.errors import BenchmarkError, CancelledError, HarnessError
from bytemlperf.evaluation.session import Session
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.workbench import Opener, Workbench
from bytemlperf.failure import error_of
from bytemlperf.metrics import Estimate, Metrics
from bytemlperf.registry import backends
from bytemlperf.sample import BatchSet
from bytemlperf.scenarios import FixedBatch, Seeds
from bytemlperf.statistics import percentile, quantile_interval
from bytemlperf.trace import Trace
from bytemlperf.worker import Isolation, Recording, Series

QUERIES: Final = 2000


def self_cost(subject: Subject) -> Metrics:
    """Measure the harness on this machine, where the backend runs: inline or in a worker.

    Raises:
        HarnessError: If the null backend cannot be run: that is no failure of the backend under test.
        CancelledError: If the caller asks to stop.
        BenchmarkError: If the whole job's time is used up.
    """
    session = subject.session
    try:
        recording = _issued(subject, session)
        if recording.failures:
            raise error_of(recording.failures[0])
    except BenchmarkError as error:
        if isinstance(error, CancelledError) or error.limit == "total_s":
            raise
        raise HarnessError("the harness' own cost could not be measured", got=f"{error.code}: {error}") from error
    return _figures(recording.trace)


def _issued(subject: Subject, session: Session) -> Recording:
    options = {"work_dir": str(session.scratch / "null-work")}
    with Workbench(
        _opener(subject, session),
        artifact=subject.artifact,
        options=options,
        watch=session.own_watch,
        on_trouble=lambda problem: session.warn("crash_at_exit", f"the null backend: {problem}"),
        max_crashes=0,
    ) as bench:
        batches = _nothing()
        plan = FixedBatch(iterations=QUERIES).plan(len(batches), Seeds())
        bench.compile(batches.size)
        with session.hold(("cpu",)):
            return bench.issue(Series(plan=plan, batches=batches, step="self-cost"))


def _opener(subject: Subject, session: Session) -> Opener:
    plugin = backends.find("null")
    inline = subject.opener.isolation is Isolation.INLINE
    instance = backends.get("null")() if inline else None
    return Opener(reference=plugin.reference, instance=instance, folder=session.scratch / "null")


def _nothing() -> BatchSet:
    return BatchSet(inputs={}, size=1, padding=np.zeros(1, dtype=np.int64), samples=np.zeros((1, 1), dtype=np.int64))


def _figures(trace: Trace) -> Metrics:
    taken = trace.done_ns - trace.sent_ns
    period = np.diff(trace.scheduled_ns)
    return Metrics(
        {
            "harness/query_p50": _estimate(taken, "sent to done with a backend that answers at once, median"),
            "harness/period_p50": _estimate(period, "from one query's start to the next one's, same backend, median"),
        }
    )


def _estimate(values: np.ndarray, definition: str) -> Estimate:
    interval = quantile_interval(values, 0.5)
    return Estimate(
        value=float(percentile(values, 0.5)),
        unit="ns",
        low=interval.low,
        high=interval.high,
        level=interval.level,
        n=len(values),
        definition=definition,
    )
