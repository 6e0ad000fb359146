"""ByteMLPerf's own load pattern as a plan; seeds, warm-up and plans as values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytemlperf.errors import SpecError
from bytemlperf.scenarios import FixedBatch, Plan, Seeds, Warmup


@given(clients=st.integers(1, 20), iterations=st.integers(1, 50), samples=st.integers(1, 30))
def test_a_plan_goes_round_the_batches_so_often_for_each_client(clients, iterations, samples):
    plan = FixedBatch(clients=clients, iterations=iterations).plan(samples, Seeds())
    assert len(plan) == clients * iterations
    assert plan.clients == clients
    assert plan.batch.tolist() == [i % samples for i in range(clients * iterations)]
    assert plan.batch.dtype == np.int64


def test_a_plan_is_the_same_every_time():
    scenario = FixedBatch(clients=3, iterations=7)
    first, second = (scenario.plan(4, seeds) for seeds in (Seeds(), Seeds(samples=5, schedule=9)))
    np.testing.assert_array_equal(first.batch, second.batch)


def test_the_warm_up_goes_along():
    warmup = Warmup(max_queries=3, window=1)
    assert FixedBatch(warmup=warmup).plan(1, Seeds()).warmup is warmup


@pytest.mark.parametrize("samples", [0, -1])
def test_nothing_to_ask_for_is_refused(samples):
    with pytest.raises(SpecError, match="no batch to ask for"):
        FixedBatch().plan(samples, Seeds())


def test_the_key_tells_scenarios_apart():
    assert FixedBatch(clients=2).key == "fixed_batch/clients=2"
    assert FixedBatch(clients=2, iterations=5).key == FixedBatch(clients=2).key
    assert FixedBatch(clients=1).key != FixedBatch(clients=2).key


@pytest.mark.parametrize("field", ["clients", "iterations"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2", None])
def test_numbers_of_clients_and_iterations_are_whole_and_above_0(field, value):
    with pytest.raises(SpecError, match=rf"\$\.{field}"):
        FixedBatch(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_queries", -1),
        ("max_queries", 1.5),
        ("window", 0),
        ("tolerance", 0),
        ("tolerance", float("nan")),
        ("max_seconds", float("inf")),
        ("max_seconds", -1.0),
    ],
)
def test_a_warm_up_has_bounds_that_can_be_kept(field, value):
    with pytest.raises(SpecError, match=rf"\$\.{field}"):
        Warmup(**{field: value})


def test_no_warm_up_at_all_can_be_asked_for():
    assert Warmup(max_queries=0).max_queries == 0


@pytest.mark.parametrize("clients", [0, -2, True])
def test_a_plan_has_clients(clients):
    with pytest.raises(SpecError, match=r"\$\.clients"):
        Plan(batch=np.zeros(3, np.int64), clients=clients)
