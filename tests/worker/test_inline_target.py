"""A backend in the caller's own process: the same answers, stamps and failures as in a worker, without isolation."""

import gc
import os
import threading
import time

import numpy as np
import pytest
from tests.worker import vendors
from tests.worker.asking import ARTIFACT, batches, series, watch

from bytemlperf.backends import CompiledModel, CompileInfo
from bytemlperf.errors import (
    BackendUnavailableError,
    CompileError,
    FailureCode,
    OutOfHostMemoryError,
    SpecError,
    UnsupportedOperatorError,
)
from bytemlperf.scenarios import Warmup
from bytemlperf.worker import InlineTarget, Isolation, inline


def target_of(name="Doubling", **options):
    target = InlineTarget(getattr(vendors, name)())
    target.compile(ARTIFACT, options, watch())
    return target


def test_what_the_caller_compiled_is_asked_as_it_is():
    backend = vendors.Doubling()
    compiled = CompiledModel(vendors.FaultOptions(), CompileInfo(precision="fp32"))
    recording = inline(backend, compiled).issue(series(keep=True), watch())
    assert recording.failures == ()
    assert recording.trace.answered.all()


@pytest.mark.parametrize("name", ["Doubling", "Streaming", "Pushing"])
@pytest.mark.parametrize("clients", [1, 3])
def test_inline_and_worker_answer_alike(lasting, name, clients):
    asked = batches(5)
    inline_recording = target_of(name).issue(series(11, clients=clients, keep=True, asked=asked), watch())
    worker_recording = lasting(name).issue(series(11, clients=clients, keep=True, asked=asked), watch())
    assert inline_recording.failures == worker_recording.failures == ()
    assert list(inline_recording.answers) == list(worker_recording.answers) == list(range(11))
    for query, answer in inline_recording.answers.items():
        np.testing.assert_array_equal(answer["y"], 2 * asked.inputs["x"][query % 5])
        np.testing.assert_array_equal(answer["y"], worker_recording.answers[query]["y"])
    for column in ("batch", "size", "client", "status", "tokens"):
        np.testing.assert_array_equal(
            getattr(inline_recording.trace, column), getattr(worker_recording.trace, column), err_msg=column
        )


def test_it_is_described_as_in_a_worker(lasting):
    assert target_of().description == lasting().description
    assert target_of().isolation is Isolation.INLINE


def test_it_compiles_in_this_process():
    compilation = target_of().compile(ARTIFACT, {}, watch())
    assert compilation.info.optimizations["pid"] == os.getpid()
    assert compilation.peak_rss_bytes > 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("raise", CompileError),
        ("sys_exit", CompileError),
        ("ours", UnsupportedOperatorError),
        ("out_of_memory", OutOfHostMemoryError),
    ],
)
@pytest.mark.parametrize("step", ["compile", "convert"])
def test_what_a_vendor_raises_is_typed(step, fault, kind):
    target = InlineTarget(vendors.Doubling())
    with pytest.raises(kind) as caught:
        getattr(target, step)(ARTIFACT, {f"in_{step}": fault}, watch())
    assert caught.type is kind


def test_what_is_no_compiled_model_is_refused():
    with pytest.raises(CompileError, match="NoneType"):
        target_of("Nothing")


def test_a_backend_that_cannot_describe_itself_is_unavailable():
    with pytest.raises(BackendUnavailableError, match="no driver"):
        _ = InlineTarget(vendors.Shouting()).description


def test_wrong_options_are_refused():
    target = InlineTarget(vendors.Doubling())
    with pytest.raises(SpecError, match="did you mean 'after'"):
        target.check_options({"aftre": 3})
    with pytest.raises(SpecError, match=r"\$\.options\.after"):
        target.compile(ARTIFACT, {"after": "3"}, watch())


@pytest.mark.parametrize(
    ("fault", "code"),
    [("raise", FailureCode.PREDICT_ERROR), ("sys_exit", FailureCode.PREDICT_ERROR), ("ours", "unsupported_operator")],
)
def test_a_failed_query_leaves_those_before_it(fault, code):
    recording = target_of(in_predict=fault, after=3).issue(series(keep=True), watch())
    assert recording.trace.status.tolist() == [1, 1, 1, 2, 2, 2, 2, 2]
    assert [each.code for each in recording.failures] == [code] * 5
    assert len(recording.answers) == 3


@pytest.mark.parametrize("answer", ["none", "list", "number", "objects", "text", "malformed"])
def test_what_is_no_answer_is_malformed_also_in_a_timed_run(answer):
    asked = series(3, warmup=Warmup(max_queries=1))
    recording = target_of("Answering", names=[answer]).issue(asked, watch())
    assert {each.code for each in recording.failures} == {FailureCode.MALFORMED_OUTPUT}
    assert recording.trace.status.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("names", "codes"), [(["other"], [FailureCode.MALFORMED_OUTPUT]), (["same"], [])])
def test_an_answer_that_a_later_call_changes_is_none(names, codes):
    recording = target_of("Reusing", names=names).issue(series(3, keep=True), watch())
    assert [each.code for each in recording.failures] == codes
    assert all("'y' of query 0 was changed after it had been given" in each.message for each in recording.failures)
    assert recording.trace.status.tolist() == [1, 1, 1]


def test_inputs_cannot_be_written_to():
    recording = target_of("Overwriting").issue(series(3), watch())
    assert [each.code for each in recording.failures] == [FailureCode.PREDICT_ERROR] * 3
    assert all("read-only" in each.message for each in recording.failures)


class AfterSome:
    """A wish to stop that comes when a backend has answered twice."""

    def __init__(self, backend):
        self._backend = backend

    def is_set(self):
        return self._backend.answered >= 2


def test_cancel_ends_a_run_between_queries():
    backend = vendors.Doubling()
    target = InlineTarget(backend)
    target.compile(ARTIFACT, {"in_predict": "pause", "after": 1}, watch())
    recording = target.issue(series(1000, keep=True), watch(cancel=AfterSome(backend)))
    assert [each.code for each in recording.failures] == [FailureCode.CANCELLED]
    assert 2 <= recording.trace.answered.sum() < 1000
    assert len(recording.answers) == recording.trace.answered.sum()
    assert gc.isenabled()


@pytest.mark.parametrize("name", ["step_s", "total_s"])
def test_time_that_is_used_up_ends_a_run_between_queries(name):
    within = watch(step_s=0.2) if name == "step_s" else watch(ends_s=time.monotonic() + 0.2)
    recording = target_of(in_predict="pause", after=1).issue(series(1000), within)
    assert [(each.code, each.limit) for each in recording.failures] == [(FailureCode.TIME_LIMIT, name)]
    assert recording.trace.answered.sum() < 1000


def test_an_answer_that_takes_too_long_is_over_query_s():
    recording = target_of(in_predict="pause").issue(series(1), watch(query_s=0.1))
    assert [(each.code, each.limit) for each in recording.failures] == [(FailureCode.TIME_LIMIT, "query_s")]
    assert recording.trace.answered.all()


def test_no_thread_is_left():
    before = set(threading.enumerate())
    target_of().issue(series(clients=4), watch(cancel=threading.Event()))
    assert set(threading.enumerate()) <= before


def test_progress_is_told_at_the_end():
    heard = []
    target_of().issue(series(5), watch(progress=lambda done, total: heard.append((done, total))))
    assert heard == [(5, 5)]


def test_release_gives_the_model_back_once():
    released = []

    class Counting(vendors.Doubling):
        def release(self, compiled):
            released.append(compiled)

    target = InlineTarget(Counting())
    target.compile(ARTIFACT, {}, watch())
    target.compile(ARTIFACT, {}, watch())
    assert len(released) == 1
    assert target.close() is None
    assert target.close() is None
    assert len(released) == 2


def test_a_failed_release_is_told_by_close():
    assert "the vendor says no" in target_of(in_release="raise").close()


def test_a_failed_release_does_not_fail_the_next_compile():
    target = target_of(in_release="raise")
    target.compile(ARTIFACT, {}, watch())
    assert target.issue(series(), watch()).failures == ()
    assert "the vendor says no" in target.close()


def test_answers_are_copies():
    class Reusing(vendors.Pushing):
        buffer = np.zeros((2, 3), np.float32)

        def submit(self, compiled, batch, reply):
            self.buffer[:] = batch.inputs["x"]
            reply.done({"y": self.buffer})

    target = InlineTarget(Reusing())
    target.compile(ARTIFACT, {}, watch())
    asked = batches(4)
    recording = target.issue(series(4, keep=True, asked=asked), watch())
    for query in range(4):
        np.testing.assert_array_equal(recording.answers[query]["y"], asked.inputs["x"][query])


def test_inputs_are_views_also_of_scalars():
    scalar = np.linspace(0, 1, 4)
    asked = batches(4, scalar=scalar)
    batch = asked.batch(2)
    assert batch.inputs["scalar"].shape == ()
    assert np.shares_memory(batch.inputs["scalar"], scalar)
    assert np.shares_memory(batch.inputs["x"], asked.inputs["x"])
