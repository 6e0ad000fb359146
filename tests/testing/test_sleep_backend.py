"""The delay is the one that was asked for, however many queries there are."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.tiny_models import spec_of_conv

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import Batch
from bytemlperf.errors import CancelledError, PredictError
from bytemlperf.spec import Format
from bytemlperf.testing import AsyncSleepBackend, SleepBackend, SleepOptions, echo

SPEC = spec_of_conv()
ARTIFACT = ModelArtifact(spec=SPEC, format=Format.ONNX)
BOTH = pytest.mark.parametrize("backend", [SleepBackend(), AsyncSleepBackend()], ids=lambda backend: backend.name)


def _batch(value=1.0):
    return Batch(inputs={"image": np.full((2, 1, 8, 8), value, np.float32)}, size=2)


class Kept:
    """A reply that keeps what came, when and where."""

    cancelled = False

    def __init__(self):
        self.ended, self.at, self.thread, self.error, self.calls = threading.Event(), 0.0, "", None, 0

    def done(self, outputs=None, tokens=None, reported=None):
        self.at, self.thread, self.outputs = time.perf_counter(), threading.current_thread().name, outputs
        self.calls += 1
        self.ended.set()

    def fail(self, error):
        self.error = error
        self.calls += 1
        self.ended.set()


@BOTH
def test_the_answer_comes_no_earlier_than_its_time_and_soon_after(backend):
    compiled = backend.compile(ARTIFACT, SleepOptions(latency_us=20_000))
    late = []
    while len(late) < 3 or (sorted(late)[2] >= 0.005 and len(late) < 200):  # others share the machine: the best count
        started = time.perf_counter()
        answer = backend.predict(compiled, _batch())
        late.append(time.perf_counter() - started - 0.020)
        np.testing.assert_array_equal(answer["logits"], echo(SPEC, _batch())["logits"])
    backend.release(compiled)
    assert min(late) >= 0
    assert sorted(late)[2] < 0.005


@BOTH
def test_queries_do_not_hold_each_other_up(backend):
    compiled = backend.compile(ARTIFACT, SleepOptions(latency_us=400_000))
    assert compiled.info.max_in_flight is None
    started = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda value: backend.predict(compiled, _batch(value))["logits"], range(8)))
    assert time.perf_counter() - started < 8 * 0.4 / 2
    for value, answer in enumerate(answers):
        np.testing.assert_array_equal(answer, echo(SPEC, _batch(value))["logits"])
    backend.release(compiled)


@BOTH
def test_a_bound_of_queries_is_told(backend):
    compiled = backend.compile(ARTIFACT, SleepOptions(in_flight=3))
    assert compiled.info.max_in_flight == 3
    backend.release(compiled)


@BOTH
def test_release_ends_it(backend):
    compiled = backend.compile(ARTIFACT, SleepOptions())
    backend.release(compiled)
    backend.release(compiled)
    with pytest.raises(PredictError, match="released"):
        backend.predict(compiled, _batch())


def _submit(latency_us, count=1):
    backend = AsyncSleepBackend()
    compiled = backend.compile(ARTIFACT, SleepOptions(latency_us=latency_us))
    replies = [Kept() for _ in range(count)]
    cancels = [backend.submit(compiled, _batch(), reply) for reply in replies]
    return backend, compiled, replies, cancels


def test_submit_returns_at_once_and_the_reply_comes_from_another_thread():
    started = time.perf_counter()
    backend, compiled, replies, _ = _submit(200_000, count=5)
    assert time.perf_counter() - started < 5 * 0.2
    for reply in replies:
        assert reply.ended.wait(20)
        assert reply.thread == "completer"
    assert all(reply.at - started >= 0.2 for reply in replies)
    assert [reply.at for reply in replies] == sorted(reply.at for reply in replies)
    backend.release(compiled)


def test_a_cancelled_query_fails_at_once_and_only_once():
    backend, compiled, (reply,), (cancel,) = _submit(400_000)
    cancel()
    assert isinstance(reply.error, CancelledError)
    cancel()
    time.sleep(0.5)
    backend.release(compiled)
    assert reply.calls == 1


def test_queries_that_wait_when_the_model_is_released_fail():
    backend, compiled, replies, _ = _submit(60_000_000, count=3)
    backend.release(compiled)
    assert all(isinstance(reply.error, PredictError) for reply in replies)


def test_release_leaves_no_thread():
    before = set(threading.enumerate())
    backend, compiled, _, _ = _submit(1000)
    (own,) = set(threading.enumerate()) - before
    backend.release(compiled)
    assert not own.is_alive()
