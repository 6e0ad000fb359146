"""Stopping at a stated certainty: fixed looks, and a confidence that holds however often was looked."""

from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.issuer.certain import is_certain
from bytemlperf.metrics import certain
from bytemlperf.scenarios import Certainty, ClosedLoop, ConstantRate, Seeds, Stop
from bytemlperf.spec import to_json
from bytemlperf.statistics import quantile_ranks
from bytemlperf.trace import OK, empty


@pytest.mark.parametrize("certainty", [Certainty(), Certainty(percentile=0.5, level=0.9), Certainty(percentile=0.9)])
@pytest.mark.parametrize("most", [10, 400, 700, 50_000])
def test_looks_share_the_error(certainty, most):
    looks = certainty.looks(most)
    level = 1 - (1 - certainty.level) / max(len(looks), 1)
    for look in looks:
        ranks = quantile_ranks(look.n, certainty.percentile, level=level)
        assert look.n <= most
        assert look.low + 1 <= ranks.lower  # at least as far out as the shared error asks for
        assert look.high + 1 >= ranks.upper
        assert look.low <= look.value <= look.high
    assert [look.n for look in looks] == sorted({look.n for look in looks})


def test_too_few_queries_have_no_look():
    assert Certainty().looks(367) == ()


def test_a_run_with_looks_may_end_early():
    stop = ClosedLoop(queries=1000, certainty=Certainty(percentile=0.5)).plan(4, Seeds()).stop
    assert stop.early
    assert stop.within == 0.05
    assert not Stop().early
    assert ConstantRate(target_qps=100, certainty=Certainty()).plan(4, Seeds()).stop.looks


def stopped_at(values, certainty, looks):
    """Return (value, low, high) of the look that stops, or None."""
    columns = {
        "status": np.full(len(values), OK),
        "done_ns": values.astype(np.int64),
        "scheduled_ns": np.zeros(len(values), np.int64),
    }
    for look in looks:
        if is_certain(columns, to_json(look), certainty.within):
            low, value, high = np.sort(columns["done_ns"][: look.n])[[look.low, look.value, look.high]]
            return low, value, high
    return None


def test_the_interval_at_the_stop_covers_as_often_as_it_says():
    certainty = Certainty(percentile=0.5, within=0.1, level=0.9)
    looks, rng, runs = certainty.looks(3000), np.random.default_rng(1), 400
    truth, covered, ended = 1e6 * np.log(2), 0, 0
    for _ in range(runs):
        found = stopped_at(rng.exponential(1e6, 3000), certainty, looks)
        if found is not None:
            ended += 1
            covered += found[0] <= truth <= found[2]
    assert ended > 0.8 * runs
    assert (ended - covered) / runs <= 0.1 + 2 * np.sqrt(0.09 / runs)


def test_naive_looking_does_not_cover():
    """The same runs, looked at 95 % each time without sharing: what the fixed looks are for."""
    certainty = Certainty(percentile=0.5, within=0.1, level=0.9)
    rng, truth, covered, ended = np.random.default_rng(1), 1e6 * np.log(2), 0, 0
    for _ in range(300):
        values = rng.exponential(1e6, 1500)
        for n in range(20, 1500, 5):
            ranks = quantile_ranks(n, 0.5, level=0.9)
            low, value, high = np.partition(values[:n], (ranks.lower - 1, n // 2, ranks.upper - 1))[
                [ranks.lower - 1, n // 2, ranks.upper - 1]
            ]
            if value - low <= 0.1 * value and high - value <= 0.1 * value:
                ended += 1
                covered += low <= truth <= high
                break
    assert covered / ended < certainty.level - 0.03


def trace_of(latencies_ns):
    trace = empty(len(latencies_ns))
    trace.status[:], trace.done_ns[:] = OK, latencies_ns
    return trace


def test_the_figure_is_that_of_the_look_that_stopped():
    certainty = Certainty(percentile=0.5, within=0.5)
    values = np.random.default_rng(0).exponential(1e6, 900)
    looks = certainty.looks(900)
    figure = certain(trace_of(values), certainty, looks)["certain/p50"]
    assert (figure.low, figure.value, figure.high) == stopped_at(values, certainty, looks)
    assert (figure.level, figure.note) == (0.95, "")


def test_a_figure_that_was_not_reached_says_so():
    certainty = Certainty(percentile=0.5, within=0.0001)
    figure = certain(trace_of(np.random.default_rng(0).exponential(1e6, 100)), certainty, certainty.looks(100))
    assert "not within 0.01 %" in figure["certain/p50"].note
    nothing = certain(trace_of(np.ones(3)), certainty, certainty.looks(3))["certain/p50"]
    assert (nothing.value, nothing.note) == (None, "too few queries for any look")
