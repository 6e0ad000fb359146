import numpy as np
import pytest

from bytemlperf.metrics import performance, steadiness, unsteady


def closed_loop(make_trace, latencies):
    done = np.cumsum(np.asarray(latencies, np.int64))
    return make_trace(scheduled=np.concatenate([[0], done[:-1]]), done=done)


@pytest.fixture
def steady(rng):
    return (1e6 + 3e4 * rng.standard_normal(400)).astype(np.int64)


def test_a_steady_run_warns_of_nothing_and_says_so(make_trace, steady):
    trace = closed_loop(make_trace, steady)
    assert unsteady(trace) == ()
    figures = steadiness(trace)
    assert figures["steadiness/effective_n"].value > 200
    assert "not shown at 99 %" in figures["steadiness/drift"].note
    assert all(each.definition for each in figures.values())


def test_a_step_in_the_middle_is_told_with_its_place(make_trace, steady):
    steady[200:] = steady[200:] * 13 // 10
    (found,) = [each for each in unsteady(closed_loop(make_trace, steady)) if each.code == "drift"]
    assert "steps by +30" in found.message or "steps by +29" in found.message


def test_a_trend_is_told(make_trace, steady):
    trace = closed_loop(make_trace, steady + np.linspace(0, 4e5, 400).astype(np.int64))
    assert "drift" in {each.code for each in unsteady(trace)}
    assert steadiness(trace)["steadiness/drift"].value == pytest.approx(0.33, abs=0.07)


def test_a_slow_start_is_told(make_trace, steady):
    steady[:40] *= 4
    (found,) = [each for each in unsteady(closed_loop(make_trace, steady)) if each.code == "not_steady"]
    assert "the first 40 of 400" in found.message
    assert "warm up longer" in found.message


def test_a_run_that_never_settles_is_told(make_trace):
    trace = closed_loop(make_trace, np.linspace(9e6, 1e6, 200).astype(np.int64))
    assert any("no steady state" in each.message for each in unsteady(trace))


def test_queries_that_are_all_due_at_once_have_no_course(make_trace):
    trace = make_trace(scheduled=[0] * 100, done=list(range(1, 101)))
    assert unsteady(trace) == ()
    assert dict(steadiness(trace)) == {}


def test_what_a_series_is_worth_is_told_beside_n_where_it_matters(make_trace, rng):
    slow = np.repeat(rng.integers(1_000_000, 2_000_000, 40), 25)
    figure = performance(closed_loop(make_trace, slow))["latency/p50"]
    assert figure.n == 1000
    assert "neighbours are alike: worth" in figure.note
    assert "worth" not in performance(closed_loop(make_trace, rng.permutation(slow)))["latency/p50"].note


def test_few_queries_say_that_they_are_few(make_trace):
    figures = steadiness(closed_loop(make_trace, [5, 6, 7]))
    assert figures["steadiness/drift"].value is None
    assert "too few" in figures["steadiness/start"].note
