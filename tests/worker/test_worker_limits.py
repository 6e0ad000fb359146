"""Every limit and the caller's wish to stop end a worker in time, whatever it is doing."""

import threading
import time

import numpy as np
import pytest
from tests.worker.asking import ARTIFACT, series, watch

from bytemlperf.errors import CancelledError, FailureCode, SpecError, TimeLimitError
from bytemlperf.scenarios import Warmup
from bytemlperf.trace import read_columns

SLACK_S = 8.0
"""What a loaded machine may add to a bound."""


class OnceSent:
    """A wish to stop that comes when so many queries of a target's last series were sent."""

    def __init__(self, target, queries):
        self._folder, self._queries = target._folder, queries
        self._before = set(self._traces())

    def _traces(self):
        return self._folder.glob("series-*/trace.bin")

    def is_set(self):
        for trace in set(self._traces()) - self._before:
            try:
                return np.count_nonzero(read_columns(trace, ["sent_ns"])["sent_ns"]) >= self._queries
            except SpecError:
                continue
        return False


class Soon:
    """A wish to stop that comes a little after it was first looked for."""

    def __init__(self):
        self._looks = 0

    def is_set(self):
        self._looks += 1
        return self._looks > 5


@pytest.fixture
def stopwatch():
    begun = time.monotonic()
    return lambda: time.monotonic() - begun


@pytest.mark.parametrize("fault", ["hang", "hang_with_interpreter"])
@pytest.mark.parametrize("clients", [1, 3])
def test_a_query_that_hangs_is_ended_by_query_s(compiled, nothing_left, fault, clients):
    target = compiled(in_predict=fault, after=3)
    recording = target.issue(series(9, clients=clients, keep=True), watch(query_s=0.5))
    (failure,) = recording.failures
    assert (failure.code, failure.limit) == (FailureCode.TIME_LIMIT, "query_s")
    assert recording.trace.answered.sum() == 3
    assert len(recording.answers) == 3
    assert nothing_left() == []


def test_a_hang_in_the_warm_up_is_ended_by_query_s(compiled, nothing_left):
    target = compiled(in_predict="hang", after=2)
    recording = target.issue(series(warmup=Warmup(max_queries=10)), watch(query_s=0.5))
    assert [(each.code, each.limit) for each in recording.failures] == [(FailureCode.TIME_LIMIT, "query_s")]
    assert recording.trace.status.tolist() == [0] * 8
    assert nothing_left() == []


def test_a_reply_that_never_comes_is_ended_by_query_s_and_the_worker_lives(lasting):
    target = lasting("Pushing", in_predict="silence")
    recording = target.issue(series(), watch(query_s=0.2))
    assert [(each.code, each.limit) for each in recording.failures] == [(FailureCode.TIME_LIMIT, "query_s")]
    assert recording.trace.status.tolist() == [2] + [0] * 7
    assert target.alive


def test_a_blocking_answer_that_came_too_late_is_over_query_s(compiled):
    target = compiled(in_predict="pause")
    recording = target.issue(series(1), watch(query_s=0.1))
    assert {(each.code, each.limit) for each in recording.failures} == {(FailureCode.TIME_LIMIT, "query_s")}


def test_a_series_is_ended_by_step_s(compiled, nothing_left):
    target = compiled(in_predict="pause", after=1)
    recording = target.issue(series(1000, keep=True), watch(step_s=1.0))
    assert [(each.code, each.limit) for each in recording.failures] == [(FailureCode.TIME_LIMIT, "step_s")]
    assert recording.trace.answered.any()
    assert len(recording.answers) == recording.trace.answered.sum()
    assert nothing_left() == []


@pytest.mark.parametrize("fault", ["hang", "hang_with_interpreter"])
def test_a_compile_is_ended_by_compile_s(start, nothing_left, stopwatch, fault):
    target = start()
    with pytest.raises(TimeLimitError, match="compile took longer than the limit compile_s") as caught:
        target.compile(ARTIFACT, {"in_compile": fault}, watch(compile_s=0.5))
    assert caught.value.limit == "compile_s"
    assert stopwatch() < 0.5 + SLACK_S
    assert nothing_left() == []


def test_a_start_is_ended_by_step_s(start, nothing_left):
    with pytest.raises(TimeLimitError, match="step_s"):
        start("SlowStart", looked_at_by=watch(step_s=1.5))
    assert nothing_left() == []


def test_the_jobs_own_time_is_named(start):
    target = start()
    with pytest.raises(TimeLimitError, match="total_s") as caught:
        target.compile(ARTIFACT, {"in_compile": "hang"}, watch(ends_s=time.monotonic() + 0.3))
    assert caught.value.limit == "total_s"


@pytest.mark.parametrize("fault", ["hang", "hang_with_interpreter"])
def test_cancel_during_compile_returns_within_its_grace(start, nothing_left, stopwatch, fault):
    target = start()
    with pytest.raises(CancelledError):
        target.compile(ARTIFACT, {"in_compile": fault}, watch(cancel=Soon(), grace_s=0.5))
    assert stopwatch() < 0.5 + 1.0 + SLACK_S
    assert nothing_left() == []


@pytest.mark.parametrize("fault", ["hang", "hang_with_interpreter"])
def test_cancel_during_a_query_that_hangs_returns_within_its_grace(compiled, nothing_left, stopwatch, fault):
    target = compiled(in_predict=fault, after=3)
    recording = target.issue(series(keep=True), watch(cancel=OnceSent(target, 4), grace_s=0.5))
    assert [each.code for each in recording.failures] == [FailureCode.CANCELLED]
    assert recording.trace.answered.sum() == len(recording.answers) == 3
    assert stopwatch() < 0.5 + 1.0 + SLACK_S
    assert nothing_left() == []


def test_cancel_during_a_run_leaves_the_worker_alive(lasting):
    target = lasting(in_predict="pause", after=1)
    recording = target.issue(series(1000, keep=True), watch(cancel=OnceSent(target, 2), grace_s=60.0))
    assert [each.code for each in recording.failures] == [FailureCode.CANCELLED]
    assert 0 < recording.trace.answered.sum() < 1000
    assert target.alive


def test_cancel_during_the_warm_up_times_nothing(lasting):
    target = lasting(in_predict="pause", after=1)
    asked = series(warmup=Warmup(max_queries=1000, window=100))
    recording = target.issue(asked, watch(cancel=Soon(), grace_s=60.0))
    assert [each.code for each in recording.failures] == [FailureCode.CANCELLED]
    assert recording.trace.status.tolist() == [0] * 8


def test_cancel_asks_for_an_end_of_what_is_in_flight(lasting):
    target = lasting("Stubborn")
    recording = target.issue(series(2), watch(cancel=OnceSent(target, 1), grace_s=60.0))
    assert recording.trace.status.tolist() == [2, 0]
    assert "stopped by its cancel" in recording.failures[0].message


def test_cancel_before_anything_begins(start, nothing_left):
    event = threading.Event()
    event.set()
    with pytest.raises(CancelledError):
        start("SlowStart", looked_at_by=watch(cancel=event, grace_s=0.1))
    assert nothing_left() == []


def test_a_whole_series_is_no_cancelled_one(lasting):
    target = lasting(in_predict="pause")
    cancel = OnceSent(target, 1)
    recording = target.issue(series(1), watch(cancel=cancel, grace_s=60.0))
    assert cancel.is_set()
    assert recording.failures == ()
    assert recording.trace.answered.all()


def test_once_cancelled_a_target_is_closed_without_waiting(start, nothing_left, stopwatch):
    event = threading.Event()
    target = start(looked_at_by=watch(cancel=event, grace_s=300.0))
    target.compile(ARTIFACT, {"in_compile": "hang_at_exit"}, watch())
    event.set()
    assert target.close() is None
    assert stopwatch() < 60
    assert nothing_left() == []


def test_progress_is_told_while_a_series_runs(lasting):
    heard = []
    target = lasting(in_predict="pause", after=1)
    target.issue(series(4), watch(progress=lambda done, total: heard.append((done, total))))
    assert heard
    assert {total for _, total in heard} == {4}
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


@pytest.mark.parametrize("threads", [2, 8])
def test_workers_in_parallel_threads_do_not_meet(start, nothing_left, threads):
    recordings, errors = {}, []

    def use(number):
        try:
            target = start(folder=f"worker-{number}")
            compilation = target.compile(ARTIFACT, {"in_predict": "segfault" if number == 1 else ""}, watch())
            recordings[number] = (compilation.info.optimizations["pid"], target.issue(series(keep=True), watch()))
            target.close()
        except BaseException as error:  # noqa: BLE001 - a thread's exception would be lost
            errors.append(error)

    pool = [threading.Thread(target=use, args=(number,)) for number in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    assert errors == []
    assert len({pid for pid, _ in recordings.values()}) == threads
    for number, (_, recording) in recordings.items():
        expected = [FailureCode.CRASH] if number == 1 else []
        assert [each.code for each in recording.failures] == expected
        assert len(recording.answers) == (0 if number == 1 else 8)
    assert nothing_left() == []
