"""The runner: one verb, what it refuses, and what it watches."""

import threading

import numpy as np
import pytest
from tests.worker import vendors
from tests.worker.asking import ARTIFACT, NO_WARMUP, batches, watch

from bytemlperf.errors import FailureCode, SpecError
from bytemlperf.runner import Runner
from bytemlperf.scenarios import FixedBatch, Plan, Seeds
from bytemlperf.worker import InlineTarget
from bytemlperf.workload import Limits


@pytest.fixture
def target():
    made = InlineTarget(vendors.Doubling())
    made.compile(ARTIFACT, {"in_predict": "pause", "after": 20}, watch())
    yield made
    made.close()


def plan(*picked, clients=1):
    return Plan(batch=np.array(picked, np.int64), clients=clients, warmup=NO_WARMUP)


def test_a_plan_is_issued_and_recorded(target):
    asked = batches(3)
    recording = Runner().run(target, plan(2, 0, 1, 2), asked, keep=True)
    assert recording.failures == ()
    assert recording.trace.batch.tolist() == [2, 0, 1, 2]
    np.testing.assert_array_equal(recording.answers[3]["y"], 2 * asked.inputs["x"][2])


def test_a_scenarios_plan_runs_as_it_is(target):
    asked = batches(3)
    scenario = FixedBatch(clients=2, iterations=4, warmup=NO_WARMUP)
    trace = Runner().run(target, scenario.plan(len(asked), Seeds()), asked).trace
    assert len(trace) == 8
    assert np.bincount(trace.client).tolist() == [4, 4]


def test_answers_are_kept_only_where_asked(target):
    assert len(Runner().run(target, plan(0, 1), batches(2)).answers) == 0


@pytest.mark.parametrize(("picked", "got"), [((0, 1, 5), 5), ((-1, 0), -1), ((0, -7, 9), -7)])
def test_a_batch_that_is_not_there_is_refused(target, picked, got):
    with pytest.raises(SpecError, match="a batch that is not there") as caught:
        Runner().run(target, plan(*picked), batches(3))
    assert caught.value.got == got
    assert caught.value.expected == "0 to 2"


def test_an_empty_plan_is_an_empty_recording(target):
    recording = Runner().run(target, plan(), batches(2))
    assert recording.failures == ()
    assert len(recording.trace) == 0


def test_failures_name_the_step():
    made = InlineTarget(vendors.Doubling())
    made.compile(ARTIFACT, {"in_predict": "raise"}, watch())
    (failure,) = Runner().run(made, plan(0), batches(1), step="performance/fixed_batch").failures
    assert (failure.step, failure.code) == ("performance/fixed_batch", FailureCode.PREDICT_ERROR)


def test_the_caller_can_stop_a_run(target):
    cancel = threading.Event()
    cancel.set()
    recording = Runner(cancel=cancel).run(target, plan(*[0] * 1000), batches(1))
    assert [each.code for each in recording.failures] == [FailureCode.CANCELLED]
    assert recording.trace.answered.sum() < 1000


def test_the_time_of_all_runs_is_bounded_together(target):
    runner = Runner(limits=Limits(total_s=0.3))
    recording = runner.run(target, plan(*[0] * 1000), batches(1))
    assert [each.limit for each in recording.failures] == ["total_s"]
    again = runner.run(target, plan(*[0] * 1000), batches(1))
    assert [each.limit for each in again.failures] == ["total_s"]


def test_progress_reaches_the_caller(target):
    heard = []
    Runner(progress=lambda done, total: heard.append((done, total))).run(target, plan(0, 0), batches(1))
    assert heard[-1] == (2, 2)
