"""What holds of plans, keys and JSON of every scenario."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from bytemlperf.errors import SpecError
from bytemlperf.scenarios import (
    ClosedLoop,
    ConstantRate,
    FixedBatch,
    GammaArrivals,
    MultiStream,
    Offline,
    Plan,
    Ramp,
    Replay,
    Scenario,
    Seeds,
    Server,
    SingleStream,
    Stop,
    Warmup,
)
from bytemlperf.spec import canonical_json, from_json, to_json
from bytemlperf.spec.reading import kinds_of

SEEDS = Seeds(loaded=1, samples=2, schedule=3)
SCENARIOS = [
    FixedBatch(clients=2, iterations=7),
    SingleStream(min_duration_s=0.01, min_queries=20, whole_permutations=True),
    MultiStream(min_duration_s=0.01, expected_latency_ms=1, min_queries=5, samples_per_query=3, performance_samples=4),
    Server(target_qps=500, min_duration_s=0.1, min_queries=20, bound_ms=12.5, ttft_bound_ms=3, tpot_bound_ms=1),
    Offline(expected_qps=100, min_duration_s=0.5, performance_samples=5),
    ClosedLoop(clients=3, queries=50, max_duration_s=4),
    ConstantRate(target_qps=300, min_duration_s=0.1, min_queries=10),
    GammaArrivals(target_qps=300, burstiness=0.25, min_duration_s=0.1, min_queries=10),
    Ramp(start_qps=10, end_qps=500, duration_s=0.5),
    Replay(scheduled_ns=(0, 5, 5, 900), stretch=2.5),
]
each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.kind_name)


def test_every_kind_is_tried_here():
    assert {type(each) for each in SCENARIOS} == set(kinds_of(Scenario).values())


@each_scenario
def test_a_scenario_goes_through_json(scenario):
    assert from_json(Scenario, to_json(scenario)) == scenario


@each_scenario
def test_a_plan_is_the_same_every_time(scenario):
    first, again = scenario.plan(9, SEEDS), scenario.plan(9, SEEDS)
    np.testing.assert_array_equal(first.batch, again.batch)
    np.testing.assert_array_equal(first.scheduled_ns, again.scheduled_ns)


@each_scenario
def test_a_plan_asks_only_for_what_is_there(scenario):
    plan = scenario.plan(9, SEEDS)
    asked = set(plan.batch.tolist())
    assert asked <= set(range(9))
    assert plan.loaded is None or asked <= set(plan.loaded.tolist())
    assert plan.queries.shape == (len(plan), plan.samples_per_query)


@each_scenario
def test_a_plan_over_nothing_is_refused(scenario):
    with pytest.raises(SpecError, match="no batch to ask for"):
        scenario.plan(0, SEEDS)


@each_scenario
def test_the_warm_up_makes_no_other_scenario_and_is_in_the_plan(scenario):
    warmed = attrs.evolve(scenario, warmup=Warmup(max_queries=3))
    assert warmed.key == scenario.key
    assert warmed.plan(9, SEEDS).warmup.max_queries == 3


@pytest.mark.parametrize(
    ("scenario", "key"),
    [
        (SingleStream(), "single_stream"),
        (SingleStream(percentile=0.95), "single_stream/percentile=0.95"),
        (MultiStream(), "multi_stream/samples_per_query=8"),
        (Server(target_qps=1000), "server/target_qps=1000"),
        (Server(target_qps=40, bound_ms=15), "server/target_qps=40/bound_ms=15"),
        (Server(target_qps=100000.1, whole_permutations=True), "server/target_qps=100000.1/whole_permutations=true"),
        (Offline(), "offline"),
        (ClosedLoop(clients=4), "closed_loop/clients=4"),
        (ConstantRate(target_qps=2.5), "constant_rate/target_qps=2.5"),
        (GammaArrivals(burstiness=0.5), "gamma_arrivals/target_qps=1/burstiness=0.5"),
        (Ramp(start_qps=0), "ramp/start_qps=0/end_qps=10"),
    ],
)
def test_a_key_names_what_is_not_usual(scenario, key):
    assert scenario.key == key


def test_a_replays_key_tells_its_times_apart_and_stays_short():
    scenario, other = Replay(scheduled_ns=range(5000)), Replay(scheduled_ns=range(1, 5001))
    assert scenario.key.startswith("replay/trace=")
    assert len(scenario.key) < 30
    assert scenario.key != other.key
    assert attrs.evolve(scenario, stretch=2).key == f"{scenario.key}/stretch=2"


def test_whole_numbers_and_floats_are_one_value():
    assert canonical_json(to_json(Server(target_qps=40))) == canonical_json(to_json(Server(target_qps=40.0)))


@pytest.mark.parametrize(
    ("kind", "fields", "where"),
    [
        (SingleStream, {"percentile": 1.0}, "$.percentile"),
        (SingleStream, {"expected_latency_ms": 0}, "$.expected_latency_ms"),
        (SingleStream, {"min_queries": 0}, "$.min_queries"),
        (SingleStream, {"min_duration_s": -1}, "$.min_duration_s"),
        (SingleStream, {"min_duration_s": "10"}, "$.min_duration_s"),
        (MultiStream, {"samples_per_query": True}, "$.samples_per_query"),
        (Server, {"target_qps": float("nan")}, "$.target_qps"),
        (Server, {"target_qps": True}, "$.target_qps"),
        (Server, {"target_qps": 10**400}, "$.target_qps"),
        (Server, {"ttft_bound_ms": 5}, "$.tpot_bound_ms"),
        (Server, {"tpot_bound_ms": 5}, "$.ttft_bound_ms"),
        (Server, {"max_queries": 0}, "$.max_queries"),
        (Offline, {"performance_samples": 0}, "$.performance_samples"),
        (ClosedLoop, {"clients": 0}, "$.clients"),
        (GammaArrivals, {"burstiness": 0}, "$.burstiness"),
        (Ramp, {"start_qps": -1}, "$.start_qps"),
        (Replay, {"scheduled_ns": (3, 1)}, "$.scheduled_ns"),
        (Replay, {"scheduled_ns": (-1, 1)}, "$.scheduled_ns"),
        (Replay, {"scheduled_ns": (0, 1.5)}, "$.scheduled_ns"),
        (Replay, {"scheduled_ns": ()}, "$.scheduled_ns"),
    ],
)
def test_a_wrong_field_is_named(kind, fields, where):
    with pytest.raises(SpecError) as caught:
        kind(**fields)
    assert caught.value.where == where


@pytest.mark.parametrize(
    "scenario",
    [
        SingleStream(expected_latency_ms=1e-6, min_duration_s=600),
        SingleStream(expected_latency_ms=1e-6, min_duration_s=600, whole_permutations=True),
        MultiStream(samples_per_query=10**9),
        Server(target_qps=1e9, min_duration_s=600),
        Server(min_queries=10**9),
        Offline(expected_qps=1e12),
        ClosedLoop(queries=10**9),
        ConstantRate(target_qps=1e9),
        GammaArrivals(min_queries=10**9),
        Ramp(end_qps=1e9),
    ],
)
def test_a_plan_that_no_memory_holds_is_refused(scenario):
    with pytest.raises(SpecError, match="too many samples"):
        scenario.plan(10, SEEDS)


def test_times_of_a_plan_go_forward_and_fit_its_queries():
    batch = np.zeros(4, np.int64)
    for times in ([0, 1, 2], [0, 2, 1, 3], [-1, 0, 1, 2]):
        with pytest.raises(SpecError, match="times do not fit"):
            Plan(batch=batch, scheduled_ns=np.array(times, np.int64))
    assert len(Plan(batch=batch, samples_per_query=2, scheduled_ns=np.array([0, 0], np.int64))) == 2


@pytest.mark.parametrize("samples_per_query", [0, 3])
def test_samples_of_a_plan_make_whole_queries(samples_per_query):
    with pytest.raises(SpecError, match="whole queries"):
        Plan(batch=np.zeros(4, np.int64), samples_per_query=samples_per_query)


@pytest.mark.parametrize(
    ("stop", "early"),
    [
        (Stop(min_queries=5, min_duration_ns=5), False),
        (Stop(when_enough=True), True),
        (Stop(max_duration_ns=1), True),
        (Stop(max_outstanding=1), True),
    ],
)
def test_a_stop_rule_tells_whether_the_run_may_end_early(stop, early):
    assert stop.early is early


def test_streams_end_when_they_have_enough_and_a_server_issues_all():
    for scenario in (SingleStream(min_duration_s=2), MultiStream(min_duration_s=2)):
        assert scenario.plan(4, SEEDS).stop == Stop(when_enough=True, min_queries=100, min_duration_ns=2_000_000_000)
    stop = Server(min_duration_s=0, max_duration_s=1.5, max_outstanding=7).plan(4, SEEDS).stop
    assert stop == Stop(min_queries=100, max_duration_ns=1_500_000_000, max_outstanding=7)
    assert not Offline().plan(4, SEEDS).stop.early


@pytest.mark.parametrize("kind", [SingleStream, MultiStream, Server])
def test_max_queries_cuts_a_plan_and_changes_nothing_before(kind):
    whole, cut = kind().plan(50, SEEDS), kind(max_queries=30).plan(50, SEEDS)
    assert len(cut) == 30
    np.testing.assert_array_equal(cut.queries, whole.queries[:30])
    if whole.scheduled_ns is not None:
        np.testing.assert_array_equal(cut.scheduled_ns, whole.scheduled_ns[:30])


def test_each_seed_moves_only_its_own_stream():
    def plan(**seeds):
        return Server(target_qps=500, min_duration_s=0.1).plan(50, attrs.evolve(SEEDS, **seeds))

    base, other_times, other_samples = plan(), plan(schedule=9), plan(samples=9)
    np.testing.assert_array_equal(base.batch[:20], other_times.batch[:20])
    assert base.scheduled_ns.tolist() != other_times.scheduled_ns.tolist()
    np.testing.assert_array_equal(base.scheduled_ns, other_samples.scheduled_ns)
    np.testing.assert_array_equal(base.loaded, other_samples.loaded)
    assert base.batch.tolist() != other_samples.batch.tolist()
    assert base.loaded.tolist() != plan(loaded=9).loaded.tolist()
