import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import signal, stats

from bytemlperf.statistics import (
    autocorrelated_quantile_interval,
    drift,
    quantile_interval,
    quantile_worth,
    steady_start,
)

series = hnp.arrays(np.float64, st.integers(50, 120), elements=st.floats(1, 1e6, width=32))


def autoregressive(rng, *, n, memory):
    noise = rng.standard_normal(n) * math.sqrt(1 - memory**2)
    return signal.lfilter([1], [1, -memory], noise, zi=memory * rng.standard_normal(1))[0]


def mser_by_definition(values):
    batches = np.asarray(values[: len(values) // 5 * 5], float).reshape(-1, 5).mean(axis=1)
    errors = [batches[d:].var() / (len(batches) - d) for d in range(len(batches) // 2 + 1)]
    return errors, batches


@given(values=series)
def test_the_start_is_where_mser_is_least(values):
    errors, batches = mser_by_definition(values)
    found = steady_start(values)
    assert found.truncated % 5 == 0
    assert errors[found.truncated // 5] == pytest.approx(min(errors), rel=1e-6, abs=1e-9 * float(np.ptp(batches)) ** 2)
    assert found.steady_mean == pytest.approx(values[found.truncated :].mean())


@pytest.mark.parametrize("function", [steady_start, drift])
def test_too_few_values_say_nothing(function):
    assert function(np.arange(1, 50)) is None
    assert function(np.arange(1, 51)) is not None


def test_a_warm_up_that_dies_away_is_left_out(rng):
    found = [
        steady_start(100 + 5 * rng.standard_normal(500) + 60 * np.exp(-np.arange(500) / 15)).truncated
        for _ in range(50)
    ]
    assert 25 <= np.median(found) <= 80


def test_a_series_that_never_settles_is_told():
    assert not steady_start(np.linspace(100, 1, 200)).settled


def test_a_step_is_placed_and_measured(rng):
    values = 100 + 3 * rng.standard_normal(600)
    values[200:] += 20
    found = drift(values)
    assert abs(found.shift_at - 200) <= 30
    assert found.shift == pytest.approx(0.2, abs=0.02)
    assert found.p < 1e-4
    assert found.shown()


def test_a_trend_is_measured(rng):
    found = drift(100 + 3 * rng.standard_normal(600) + np.linspace(-10, 10, 600))
    assert found.trend == pytest.approx(0.2, abs=0.03)
    assert found.trend_p < 1e-6


def test_a_change_that_does_not_matter_is_not_shown(rng):
    values = 100 + 0.1 * rng.standard_normal(600)
    values[300:] += 1
    found = drift(values)
    assert found.p < 1e-6
    assert not found.shown(least=0.05)
    assert found.shown(least=0.005)


def test_stray_values_are_no_drift(rng):
    values = 100 + rng.standard_normal(400)
    values[[380, 390, 399]] = 5000
    assert not drift(values).shown()


@pytest.mark.parametrize(("memory", "n"), [(0.0, 200), (0.5, 400), (0.9, 2000)])
def test_a_steady_series_seldom_passes_for_a_drift(rng, memory, n):
    runs = 250
    alarms = sum(drift(100 + autoregressive(rng, n=n, memory=memory)).p <= 0.05 for _ in range(runs))
    assert alarms <= stats.binom.ppf(0.999, runs, 0.06)


def test_constant_values_neither_start_nor_drift():
    start, found = steady_start([7.0] * 100), drift([7.0] * 100)
    assert (start.truncated, start.settled) == (0, True)
    assert (found.p, found.size) == (1.0, 0.0)


@given(values=hnp.arrays(np.int64, st.integers(1, 300), elements=st.integers(0, 10**6)), p=st.sampled_from([0.5, 0.99]))
def test_the_interval_of_a_series_is_never_narrower_than_of_independent_values(values, p):
    exact, cautious = quantile_interval(values, p), autocorrelated_quantile_interval(values, p)
    assert cautious.low <= exact.low
    assert cautious.high >= exact.high
    assert 1 <= quantile_worth(values, p) <= max(values.size, 1)


def test_independent_values_keep_their_exact_interval(rng):
    same = [
        autocorrelated_quantile_interval(values, 0.9) == quantile_interval(values, 0.9)
        for values in rng.standard_normal((200, 400))
    ]
    assert sum(same) >= 170  # the test for likeness errs in 5 %


@pytest.mark.parametrize(("memory", "n", "p"), [(0.5, 500, 0.9), (0.9, 2000, 0.5), (0.9, 2000, 0.9)])
def test_quantile_intervals_of_a_series_with_memory_hold_the_truth(rng, memory, n, p):
    runs = 250
    held = sum(
        autocorrelated_quantile_interval(autoregressive(rng, n=n, memory=memory), p).contains(stats.norm.ppf(p))
        for _ in range(runs)
    )
    assert held >= stats.binom.ppf(0.001, runs, 0.94)


def test_intervals_for_independent_values_fail_on_a_series_with_memory(rng):
    held = sum(quantile_interval(autoregressive(rng, n=1000, memory=0.9), 0.5).contains(0.0) for _ in range(200))
    assert held < 120  # why the others are needed


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_a_share_that_is_none_is_refused(p):
    with pytest.raises(ValueError, match="strictly between"):
        quantile_worth([1, 2], p)
