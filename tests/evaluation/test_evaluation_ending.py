"""A caller who wants to stop, and limits of the whole job: it ends soon, and what is finished stands."""

from __future__ import annotations

import threading
import time

import pytest
from tests.waves import ECHO, FAULTY, ITERATIONS, SLEEP, codes, evaluate, keys, labelled, load, samples

from bytemlperf import ArrayLoader, Limits, SpecError
from bytemlperf.evaluation import EventKind
from bytemlperf.report import Report, Status
from bytemlperf.workload import MEASURED

GRACE_S = 1.0
SLACK_S = 20.0
"""For a busy machine; what is ended here would go on for a minute and more."""


class Stop:
    """Asks to stop a while after a step has begun, and knows when that was."""

    def __init__(self, step, after_s=0.3, kind=EventKind.STEP_STARTED):
        self._step, self._after_s, self._kind = step, after_s, kind
        self._event = threading.Event()
        self.asked_s = None

    def __call__(self, event):
        if event.kind is self._kind and event.step.startswith(self._step) and self.asked_s is None:
            self.asked_s = time.monotonic() + self._after_s
            threading.Timer(self._after_s, self._event.set).start()

    def is_set(self):
        return self._event.is_set()


def _stopped(artifact, backend, stop, **fields):
    report = evaluate(artifact, backend, on_event=stop, cancel=stop, limits=Limits(grace_s=GRACE_S), **fields)
    assert time.monotonic() - stop.asked_s < GRACE_S + SLACK_S
    return report


@pytest.mark.parametrize("fault", ["hang", "hang_gil"])
def test_a_compile_is_cancelled(artifact, left, fault):
    options = {"fault": fault, "when": "compile"}
    report = _stopped(artifact, FAULTY, Stop("compile/batch=1"), options=options)
    assert (codes(report), report.failures[0].step) == (["cancelled"], "compile/batch=1")
    assert (report.status, report.rows) == (Status.CANCELLED, ())
    assert left() == []


def test_a_backend_that_is_being_loaded_is_cancelled(artifact, left):
    report = _stopped(artifact, "bytemlperf.testing.imports:HangingBackend", Stop("load backend"))
    assert (codes(report), report.status) == (["cancelled"], Status.CANCELLED)
    assert left() == []


class Slow(ArrayLoader):
    """Data that take for ever to be opened, as a folder on a lost network drive does."""

    def __init__(self):
        super().__init__(x=samples()[0])
        self.over = threading.Event()

    def fit(self, spec):
        self.over.wait(60)
        raise RuntimeError("nobody waits for this any more")


@pytest.fixture
def slow():
    loader = Slow()
    yield loader
    loader.over.set()


def test_data_that_are_being_opened_are_cancelled(artifact, left, slow):
    report = _stopped(artifact, ECHO, Stop("open data"), dataset=slow)
    assert (codes(report), report.failures[0].step) == (["cancelled"], "open data")
    assert left() == []


def test_data_that_are_being_opened_end_with_the_jobs_time(artifact, slow):
    report = evaluate(artifact, ECHO, dataset=slow, limits=Limits(total_s=6.0))
    (failure,) = report.failures
    assert (failure.step, failure.limit, str(failure.blame)) == ("open data", "total_s", "request")


def test_what_is_done_aside_raises_what_it_would_have_raised(artifact):
    loader = ArrayLoader(image=samples()[0])
    with pytest.raises(SpecError, match="are not the inputs of model 'waves'"):
        evaluate(artifact, ECHO, dataset=loader, cancel=threading.Event())


def test_a_timed_run_is_cancelled_and_rows_that_were_finished_stand(artifact, left, tmp_path):
    stop = Stop("performance/fixed_batch/clients=1/batch=4")
    loads = [load(iterations=100)]
    options = {"latency_us": 10_000}
    report = _stopped(artifact, SLEEP, stop, options=options, scenarios=loads, out=tmp_path / "out")
    assert (codes(report), report.status) == (["cancelled"], Status.CANCELLED)
    whole, cut = report.rows
    assert (whole.batch_size, whole.note, whole.metrics["queries/answered"].value) == (1, "", 100)
    answered = cut.metrics["queries/answered"].value
    assert 0 < answered < 100
    assert cut.note == f"cancelled: only {answered} of 100 queries were answered"
    assert Report.load(tmp_path / "out") == report
    assert left() == []


def test_a_query_that_hangs_is_cancelled(artifact, left):
    options = {"fault": "hang", "after": 1 + ITERATIONS + 1 + 3}
    report = _stopped(artifact, FAULTY, Stop("performance/fixed_batch/clients=1/batch=4"), options=options)
    assert (codes(report), report.status, keys(report)) == (["cancelled"], Status.CANCELLED, [1, 4])
    assert left() == []


def test_a_reference_that_is_being_asked_is_cancelled(artifact, left):
    report = _stopped(artifact, ECHO, Stop("numeric/reference", after_s=0.05), checks=["numeric", "performance"])
    assert (codes(report), report.status, report.rows) == (["cancelled"], Status.CANCELLED, ())
    assert left() == []


def test_what_is_cancelled_before_it_begins_starts_nothing(artifact, left):
    stop = threading.Event()
    stop.set()
    report = evaluate(artifact, ECHO, cancel=stop)
    assert (codes(report), report.failures[0].step) == (["cancelled"], "load backend")
    assert (report.status, report.rows, report.artifact) == (Status.CANCELLED, (), None)
    assert left() == []


def test_a_wish_to_stop_that_comes_too_late_changes_nothing(artifact):
    stop = Stop("", kind=EventKind.JOB_FINISHED, after_s=0)
    report = evaluate(artifact, ECHO, on_event=stop, cancel=stop, batch_sizes=[1])
    assert (codes(report), report.status) == ([], Status.COMPLETE)


def test_the_whole_jobs_time_ends_it_in_the_middle(artifact, left):
    limits = Limits(total_s=8.0, grace_s=GRACE_S)
    options = {"latency_us": 10_000}
    started = time.monotonic()
    report = evaluate(
        artifact,
        SLEEP,
        options=options,
        limits=limits,
        scenarios=[load(iterations=10), load(clients=2, iterations=5000)],
    )
    assert time.monotonic() - started < 8.0 + GRACE_S + SLACK_S
    (failure,) = report.failures
    assert (str(failure.code), failure.limit, str(failure.blame)) == ("time_limit", "total_s", "request")
    assert failure.step == "performance/fixed_batch/clients=2/batch=1/fp32/devices=1"
    assert [row.note[:10] for row in report.rows] == ["", "time_limit"]
    assert report.status is Status.PARTIAL
    assert left() == []


def test_no_step_begins_after_the_whole_jobs_time(artifact):
    report = evaluate(artifact, ECHO, limits=Limits(total_s=0.001))
    (failure,) = report.failures
    assert (str(failure.code), failure.limit, failure.step) == ("time_limit", "total_s", "load backend")


def test_files_that_grow_too_large_end_the_job(artifact, left, tmp_path):
    limits = Limits(disk_bytes=12 * 2**20, grace_s=5.0)
    report = evaluate(
        artifact, "tests.evaluation.vendors:Writing", batch_sizes=[1, 2, 4], limits=limits, out=tmp_path / "out"
    )
    (failure,) = report.failures
    assert (str(failure.code), failure.limit, str(failure.blame)) == ("disk_limit", "disk_bytes", "environment")
    assert failure.step == "performance/fixed_batch/clients=1/batch=2/fp32/devices=1"
    assert "expected 12,582,912 at most" in failure.message
    assert keys(report) == [1]
    assert left() == []


def test_files_within_their_limit_end_nothing(artifact):
    limits = Limits(disk_bytes=100 * 2**20, grace_s=5.0)
    report = evaluate(artifact, "tests.evaluation.vendors:Writing", batch_sizes=[1, 2], limits=limits)
    assert (report.failures, keys(report)) == ((), [1, 2])


def _told(artifact, tmp_path, backend=ECHO, **fields):
    """Run with a listener; return the report, what it heard and what the file holds."""
    import json

    heard = []
    report = evaluate(artifact, backend, on_event=heard.append, out=tmp_path / "out", **fields)
    lines = (tmp_path / "out" / "events.jsonl").read_text().splitlines()
    return report, heard, [json.loads(line) for line in lines]


ENDINGS = {
    "complete": {},
    "failed": {"backend": "bytemlperf.testing.imports:RaisingBackend"},
    "partial": {"backend": FAULTY, "options": {"fault": "sigkill", "after": 30}},
    "cancelled": {"cancel": True},
}


@pytest.mark.parametrize("status", ENDINGS)
def test_events_are_numbered_without_a_gap_and_the_last_comes_once(artifact, tmp_path, status):
    fields = dict(ENDINGS[status])
    if "cancel" in fields:
        fields["cancel"] = threading.Event()
        fields["cancel"].set()
    report, heard, written = _told(artifact, tmp_path, **fields)
    assert report.status == status
    assert [event.seq for event in heard] == list(range(1, len(heard) + 1))
    finished = [event for event in heard if event.kind is EventKind.JOB_FINISHED]
    assert finished == heard[-1:]
    assert (finished[0].message, heard[0].kind) == (status, EventKind.JOB_STARTED)
    assert {event.job for event in heard} == {report.job.key}
    assert [(line["seq"], line["kind"], line["step"], line["message"]) for line in written] == [
        (event.seq, event.kind, event.step, event.message) for event in heard
    ]


def test_events_tell_of_rows_steps_and_progress(artifact, tmp_path):
    loads = [load(iterations=100)]
    report, heard, _ = _told(
        artifact, tmp_path, SLEEP, options={"latency_us": 10_000}, scenarios=loads, batch_sizes=[2]
    )
    rows = [event.step for event in heard if event.kind is EventKind.ROW_FINISHED]
    assert rows == [row.key for row in report.rows]
    (key,) = rows
    told = [(event.done, event.total) for event in heard if event.kind is EventKind.STEP_PROGRESS and event.step == key]
    assert len(told) >= 2
    assert told == sorted(told)
    assert {total for _, total in told} == {100}


def test_a_listener_that_raises_is_harmless(artifact, tmp_path, caplog):
    def listen(event):
        raise RuntimeError("the listener's own")

    report = evaluate(artifact, ECHO, on_event=listen, batch_sizes=[1])
    assert report.status is Status.COMPLETE
    assert "a listener raised" in caplog.text


def test_every_kind_of_step_is_listed_once_in_a_whole_job(artifact, tmp_path):
    _, heard, _ = _told(artifact, tmp_path, checks=MEASURED, dataset=labelled(), numeric_samples=4)
    steps = [event.step for event in heard if event.kind is EventKind.STEP_STARTED]
    assert len(set(steps)) == len(steps)
    assert steps[:4] == ["load backend", "resolve model", "open data", "calibration"]
    assert steps[-2:] == ["compile/warm/batch=1", "performance/self-cost"]
