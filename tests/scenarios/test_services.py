"""Load patterns of services against what probability says of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bytemlperf.errors import SpecError
from bytemlperf.scenarios import ClosedLoop, ConstantRate, GammaArrivals, Ramp, Replay, Seeds, Server

SEEDS = Seeds(samples=2, schedule=3)


@given(st.floats(0.01, 1e5), st.floats(0, 2), st.integers(1, 300))
def test_a_constant_rate_has_enough_queries_and_no_more(rate, duration_s, min_queries):
    scenario = ConstantRate(target_qps=rate, min_duration_s=duration_s, min_queries=min_queries)
    due = scenario.plan(3, SEEDS).scheduled_ns
    duration_ns = round(duration_s * 1e9)
    assert due[0] == 0
    assert due[-1] >= duration_ns
    assert len(due) >= min_queries
    assert len(due) == min_queries or due[-2] < duration_ns
    np.testing.assert_allclose(due, np.arange(len(due)) / rate * 1e9, rtol=1e-12, atol=1)


@pytest.mark.parametrize("burstiness", [0.25, 1.0, 4.0])
def test_gaps_are_gamma_distributed_around_the_rate(burstiness):
    scenario = GammaArrivals(target_qps=1000, burstiness=burstiness, min_queries=5000, min_duration_s=0)
    gaps_s = np.diff(scenario.plan(3, SEEDS).scheduled_ns) / 1e9
    assert len(gaps_s) == 4999
    law = stats.gamma(burstiness, scale=1 / (1000 * burstiness))
    assert stats.kstest(gaps_s, law.cdf).pvalue > 1e-4


@pytest.mark.parametrize(
    "scenario", [GammaArrivals(target_qps=700, min_duration_s=1), Server(target_qps=700, min_duration_s=1)]
)
def test_random_arrivals_go_on_until_the_duration_is_reached(scenario):
    due = scenario.plan(3, SEEDS).scheduled_ns
    assert due[0] == 0
    assert due[-2] < 1e9 <= due[-1]


def test_a_longer_run_begins_like_a_shorter_one():
    short = GammaArrivals(target_qps=700, min_duration_s=1).plan(3, SEEDS).scheduled_ns
    long = GammaArrivals(target_qps=700, min_duration_s=3).plan(3, SEEDS).scheduled_ns
    np.testing.assert_array_equal(long[: len(short)], short)


@pytest.mark.parametrize(("start", "end"), [(0, 2000), (2000, 0), (500, 1500), (1000, 1000)])
def test_a_ramp_is_a_poisson_process_on_its_own_scale(start, end):
    due_s = Ramp(start_qps=start, end_qps=end, duration_s=4).plan(3, SEEDS).scheduled_ns / 1e9
    integrated = start * due_s + (end - start) / 8 * due_s**2
    total = (start + end) / 2 * 4
    assert abs(len(due_s) - total) < 5 * total**0.5
    assert due_s[-1] < 4
    assert stats.kstest(np.diff(integrated), stats.expon.cdf).pvalue > 1e-4


@pytest.mark.parametrize("ramp", [Ramp(start_qps=0, end_qps=0), Ramp(start_qps=1e-9, end_qps=1e-9)])
def test_a_ramp_without_queries_is_refused(ramp):
    with pytest.raises(SpecError, match="no query"):
        ramp.plan(3, SEEDS)


def test_a_replay_keeps_the_times_of_an_array():
    times = np.array([0, 10, 10, 70], np.int64)
    assert Replay(scheduled_ns=times).plan(3, SEEDS).scheduled_ns.tolist() == [0, 10, 10, 70]
    assert Replay(scheduled_ns=times, stretch=0.5).plan(3, SEEDS).scheduled_ns.tolist() == [0, 5, 5, 35]


def test_samples_are_drawn_evenly():
    plan = ClosedLoop(clients=2, queries=6000).plan(6, SEEDS)
    assert plan.clients == 2
    assert plan.scheduled_ns is None
    assert not plan.stop.early
    assert stats.chisquare(np.bincount(plan.batch, minlength=6)).pvalue > 1e-4


def test_a_closed_loop_may_be_bound_in_time():
    assert ClosedLoop(max_duration_s=2).plan(6, SEEDS).stop.max_duration_ns == 2_000_000_000
