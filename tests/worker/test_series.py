"""Every plan is issued: in this process and in a worker, to backends that block and to those that do not."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from tests.worker.asking import ARTIFACT, NO_WARMUP, batches, watch

from bytemlperf.backends.null import NullAsyncBackend, NullBackend
from bytemlperf.errors import SpecError
from bytemlperf.metrics import performance
from bytemlperf.runner import Runner
from bytemlperf.scenarios import (
    Batching,
    ClosedLoop,
    ConstantRate,
    FixedBatch,
    GammaArrivals,
    MultiStream,
    Offline,
    Plan,
    Ramp,
    Replay,
    Seeds,
    Server,
    SingleStream,
    Stop,
)
from bytemlperf.spec import Format
from bytemlperf.testing import AsyncSleepBackend, SleepBackend
from bytemlperf.trace import Ended
from bytemlperf.worker import InlineTarget, ProcessTarget, Series, Worker

SHORT = {"min_duration_s": 0.05, "min_queries": 5, "warmup": NO_WARMUP}
SCENARIOS = [
    FixedBatch(clients=2, iterations=4, warmup=NO_WARMUP),
    SingleStream(**SHORT),
    MultiStream(**SHORT, samples_per_query=4),
    Server(**SHORT, target_qps=200),
    Offline(**SHORT, expected_qps=1000),
    ClosedLoop(clients=2, queries=100_000, max_duration_s=0.05, warmup=NO_WARMUP),
    ConstantRate(**SHORT, target_qps=200),
    GammaArrivals(**SHORT, target_qps=200),
    Ramp(start_qps=50, end_qps=200, duration_s=0.1, warmup=NO_WARMUP),
    Replay(scheduled_ns=(0, 10_000_000, 10_000_000, 30_000_000), warmup=NO_WARMUP),
]
BACKENDS = [NullBackend, AsyncSleepBackend]


def samples(count=8):
    """Single samples that can be joined."""
    return attrs.evolve(batches(count, size=1), axes={"x": 0})


def check_issued(plan, trace):
    """Hold what was issued against the plan: the same batches, at their times or in order, each answered."""
    assert trace.answered.all()
    assert trace.samples_per_query == plan.samples_per_query
    if not plan.stop.early:
        assert len(trace) == len(plan.batch)
    assert trace.batch.tolist() == plan.batch[: len(trace)].tolist()
    assert (trace.started_ns <= trace.scheduled_ns).all()
    assert (trace.scheduled_ns <= trace.sent_ns).all()
    assert (trace.sent_ns <= trace.first_ns).all()
    assert (trace.first_ns <= trace.done_ns).all()
    if plan.scheduled_ns is not None:
        due = np.repeat(plan.scheduled_ns, plan.samples_per_query)[: len(trace)]
        assert (trace.scheduled_ns - trace.started_ns).tolist() == due.tolist()


@pytest.fixture(params=BACKENDS, ids=lambda each: each.name, scope="module")
def inline_target(request):
    made = InlineTarget(request.param())
    made.compile(ARTIFACT, {"batch_size": 1}, watch())
    yield made
    made.close()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.kind_name)
def test_every_scenario_is_issued(inline_target, scenario):
    asked = samples()
    plan = scenario.plan(len(asked), Seeds.derived(0))
    recording = Runner().run(inline_target, plan, asked)
    assert recording.failures == ()
    check_issued(plan, recording.trace)


@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if each.by_sample], ids=lambda each: each.kind_name)
def test_single_samples_are_joined_into_calls(inline_target, scenario):
    asked = samples()
    plan = scenario.plan(len(asked), Seeds.derived(0))
    recording = Runner().run(inline_target, plan, asked, batching=Batching(size=3))
    assert recording.failures == ()
    check_issued(plan, recording.trace)
    calls = np.unique(np.stack([recording.trace.sent_ns, recording.trace.client]), axis=1, return_counts=True)[1]
    assert calls.max() <= 3
    if isinstance(scenario, Offline | MultiStream):
        assert calls.max() == 3


@pytest.fixture(params=[SleepBackend, AsyncSleepBackend], ids=lambda each: each.name, scope="module")
def worker_target(request, tmp_path_factory):
    kind = request.param
    folder = tmp_path_factory.mktemp("worker")
    made = ProcessTarget(f"{kind.__module__}:{kind.__name__}", worker=Worker(), folder=folder, watch=watch())
    made.compile(ARTIFACT, {"batch_size": 1}, watch())
    yield made
    made.close()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.kind_name)
def test_a_worker_issues_every_scenario(worker_target, scenario):
    asked = samples()
    plan = scenario.plan(len(asked), Seeds.derived(0))
    batching = Batching(size=3, max_delay_ns=1_000_000) if isinstance(scenario, Server | Offline) else None
    recording = Runner().run(worker_target, plan, asked, batching=batching)
    assert recording.failures == ()
    check_issued(plan, recording.trace)


@pytest.mark.parametrize("facts", [{"dynamic_batch": False}, {"fixed_batch_formats": frozenset({Format.ONNX})}])
def test_a_joined_call_asks_for_the_right_samples_and_pads_at_the_end(facts):
    class Fixed(SleepBackend):
        dynamic_batch = facts.get("dynamic_batch", True)
        fixed_batch_formats = facts.get("fixed_batch_formats", frozenset())

        def predict(self, compiled, batch):
            seen.append((batch.inputs["x"].copy(), batch.size, batch.padding))
            return super().predict(compiled, batch)

    seen, asked = [], samples()
    target = InlineTarget(Fixed())
    target.compile(ARTIFACT, {"batch_size": 3, "in_flight": 1, "latency_us": 0}, watch())
    plan = Plan(
        batch=np.array([5, 1, 2, 0, 7]), samples_per_query=5, scheduled_ns=np.zeros(1, np.int64), warmup=NO_WARMUP
    )
    trace = Runner().run(target, plan, asked, batching=Batching(size=3)).trace
    assert [(size, padding) for _, size, padding in seen] == [(3, 0), (3, 1)]
    x = asked.inputs["x"][:, 0]
    np.testing.assert_array_equal(seen[0][0], x[[5, 1, 2]])
    np.testing.assert_array_equal(seen[1][0], x[[0, 7, 7]])
    assert trace.size.tolist() == [1] * 5


@pytest.mark.parametrize(
    ("plan", "asked", "phased", "what"),
    [
        ({}, batches(4, size=2), False, "batches of 2 samples"),
        ({"clients": 2}, samples(), False, "a closed loop of 2 clients"),
        ({}, samples(), True, "a pass by phases"),
    ],
)
def test_what_cannot_be_joined_is_refused(plan, asked, phased, what):
    with pytest.raises(SpecError, match=what):
        Series(plan=Plan(batch=np.arange(4), **plan), batches=asked, batching=Batching(size=2), phased=phased)


def stopped(kind, stop, *, latency_us=1000, in_flight=0, scheduled=None, queries=10_000, clients=1):
    target = InlineTarget(kind())
    target.compile(ARTIFACT, {"latency_us": latency_us, "in_flight": in_flight}, watch())
    plan = Plan(
        batch=np.zeros(queries, np.int64),
        clients=clients,
        scheduled_ns=None if scheduled is None else np.arange(queries) * scheduled,
        warmup=NO_WARMUP,
        stop=stop,
    )
    recording = Runner().run(target, plan, samples())
    assert recording.failures == ()
    assert recording.trace.answered.all()
    target.close()
    return recording.trace


@pytest.mark.parametrize("kind", [SleepBackend, AsyncSleepBackend])
@pytest.mark.parametrize("clients", [1, 3])
def test_a_closed_loop_ends_when_it_has_enough(kind, clients):
    trace = stopped(kind, Stop(when_enough=True, min_queries=7, min_duration_ns=20_000_000), clients=clients)
    assert trace.ended is Ended.ENOUGH
    assert 7 <= len(trace) < 1000
    assert trace.sent_ns.max() - trace.started_ns >= 20_000_000


@pytest.mark.parametrize("kind", [SleepBackend, AsyncSleepBackend])
@pytest.mark.parametrize("scheduled", [None, 1_000_000])
def test_no_query_is_issued_long_after_the_longest_time(kind, scheduled):
    trace = stopped(kind, Stop(max_duration_ns=30_000_000), scheduled=scheduled)
    assert trace.ended is Ended.MAX_DURATION
    assert 0 < len(trace) < 5000
    assert (trace.sent_ns - trace.started_ns > 30_000_000).any()


@pytest.mark.parametrize("kind", [SleepBackend, AsyncSleepBackend])
def test_a_run_ends_when_too_many_queries_wait(kind):
    trace = stopped(kind, Stop(max_outstanding=20), latency_us=5000, in_flight=1, scheduled=100_000)
    assert trace.ended is Ended.MAX_OUTSTANDING
    assert len(trace) < 1000


@pytest.mark.parametrize("kind", [SleepBackend, AsyncSleepBackend])
@pytest.mark.parametrize("in_flight", [1, 3])
def test_open_loops_keep_to_the_bound_of_calls(kind, in_flight):
    trace = stopped(kind, Stop(), latency_us=2000, in_flight=in_flight, scheduled=100_000, queries=60)
    by_time = sorted([(ns, 1) for ns in trace.sent_ns] + [(ns, -1) for ns in trace.done_ns])
    assert max(np.cumsum([step for _, step in by_time])) <= in_flight
    assert (trace.latency_ns >= trace.sent_ns - trace.scheduled_ns).all()


def test_a_thread_is_looked_at_where_threads_share_the_process():
    late = stopped(AsyncSleepBackend, Stop(), scheduled=2_000_000, queries=30).probe_late_ns
    assert len(late)
    assert (late > 0).all()
    assert not len(stopped(SleepBackend, Stop(), queries=30).probe_late_ns)


def test_what_an_engine_reports_is_carried_into_the_recording():
    class Reporting(NullAsyncBackend):
        def submit(self, compiled, batch, reply):
            reply.done({}, reported={"queue_ms": 1.5, "state": "warm"})

    target = InlineTarget(Reporting())
    target.compile(ARTIFACT, {}, watch())
    plan = Plan(batch=np.zeros(2, np.int64), warmup=NO_WARMUP)
    assert Runner().run(target, plan, samples()).reported == {0: {"queue_ms": 1.5}, 1: {"queue_ms": 1.5}}


class OnDevices(SleepBackend):
    """A sleeping backend whose replicas remember the device that they are for."""

    def compile(self, artifact, options):
        compiled = super().compile(artifact, options)
        return attrs.evolve(compiled, info=attrs.evolve(compiled.info, devices=options.devices))


def many_replicas(kind, *, in_flight=1, devices=("chip:0", "chip:1", "chip:2"), plan):
    target = InlineTarget(kind())
    options = {"latency_us": 3000, "in_flight": in_flight, "devices": list(devices)}
    info = target.compile(ARTIFACT, options, watch()).info
    recording = Runner().run(target, plan, samples())
    target.close()
    assert recording.failures == ()
    assert recording.trace.answered.all()
    return info, recording.trace


@pytest.mark.parametrize("kind", [OnDevices, AsyncSleepBackend])
@pytest.mark.parametrize(
    "plan",
    [
        Plan(batch=np.zeros(60, np.int64), clients=6, warmup=NO_WARMUP),
        Plan(batch=np.zeros(60, np.int64), samples_per_query=60, scheduled_ns=np.zeros(1, np.int64), warmup=NO_WARMUP),
        Plan(batch=np.zeros(60, np.int64), scheduled_ns=np.arange(60) * 500_000, warmup=NO_WARMUP),
    ],
    ids=["closed", "at once", "open"],
)
def test_every_device_has_a_replica_and_works(kind, plan):
    info, trace = many_replicas(kind, plan=plan)
    assert set(trace.replica) == {0, 1, 2}
    assert np.bincount(trace.replica).min() >= 10
    for replica in range(3):
        own = trace.replica == replica
        order = np.argsort(trace.sent_ns[own])
        assert (trace.done_ns[own][order][:-1] <= trace.sent_ns[own][order][1:]).all()
    assert info.instances == 3
    if kind is OnDevices:
        assert info.devices == ("chip:0", "chip:1", "chip:2")


def test_a_backend_that_spans_devices_is_compiled_once():
    class Spanning(OnDevices):
        spans_devices = True

    plan = Plan(batch=np.zeros(6, np.int64), clients=3, warmup=NO_WARMUP)
    info, trace = many_replicas(Spanning, plan=plan)
    assert info.devices == ("chip:0", "chip:1", "chip:2")
    assert set(trace.replica) == {0}


def test_replicas_in_a_worker(worker_target):
    worker_target.compile(ARTIFACT, {"batch_size": 1, "in_flight": 1, "devices": ["a", "b"]}, watch())
    plan = Plan(batch=np.zeros(30, np.int64), clients=4, warmup=NO_WARMUP)
    trace = Runner().run(worker_target, plan, samples()).trace
    assert trace.answered.all()
    assert set(trace.replica) == {0, 1}


@pytest.mark.slow
def test_a_million_samples_take_48_bytes_each():
    target = InlineTarget(NullBackend())
    target.compile(ARTIFACT, {}, watch())
    scenario = Offline(min_queries=1_000_000, min_duration_s=0, senders=1, warmup=NO_WARMUP)
    trace = Runner().run(target, scenario.plan(8, Seeds()), samples()).trace
    columns = [getattr(trace, field.name) for field in attrs.fields(type(trace))]
    held = sum(each.nbytes for each in columns if getattr(each, "shape", None) == (len(trace),))
    assert (len(trace), trace.samples_per_query, held) == (1_000_000, 1_000_000, 48_000_000)
    figures = performance(trace)
    assert (figures["queries/answered"].value, figures["latency/p50"].n) == (1, 1_000_000)
    assert len(set(trace.scheduled_ns)) == 1
