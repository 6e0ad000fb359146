import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import signal, stats

from bytemlperf.statistics import (
    autocorrelated_mean_interval,
    effective_sample_size,
    mean_interval,
    mean_interval_of_moments,
)

levels = st.floats(0.01, 0.999)
series = hnp.arrays(np.float64, st.integers(2, 50), elements=st.floats(-1e6, 1e6, width=32))
INTERVALS = [mean_interval, autocorrelated_mean_interval]


def autoregressive(rng, *, n, memory):
    """A normal series of variance 1 and mean 0 whose neighbours correlate with `memory`, in its steady state."""
    first = rng.standard_normal(1)
    noise = rng.standard_normal(n) * math.sqrt(1 - memory**2)
    return signal.lfilter([1], [1, -memory], noise, zi=memory * first)[0]


@given(values=series, level=levels)
def test_mean_interval_agrees_with_scipys_student_t(values, level):
    interval = mean_interval(values, level=level)
    if np.ptp(values) == 0:
        assert interval.width <= 1e-9 * (1 + abs(values[0]))
        return
    low, high = stats.t.interval(level, values.size - 1, loc=values.mean(), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-9, abs=1e-6)


def test_mean_interval_of_three_values_by_hand():
    # t(0.975, 2) = 4.30265, s = 1.
    interval = mean_interval([9, 10, 11])
    assert (interval.low, interval.high) == pytest.approx((10 - 4.30265 / 3**0.5, 10 + 4.30265 / 3**0.5), abs=1e-5)


@pytest.mark.parametrize("n", [1, 2, 40])
def test_moments_give_the_interval_of_the_values(n):
    values = np.random.default_rng(n).normal(5, 2, n)
    found = mean_interval_of_moments(n, float(values.mean()), float(values.var()), level=0.9)
    expected = mean_interval(values, level=0.9)
    assert (found.low, found.high, found.level) == (expected.low, expected.high, expected.level)


@pytest.mark.parametrize(
    ("n", "mean", "variance"), [(0, 1.0, 1.0), (3, math.nan, 1.0), (3, 1.0, math.inf), (3, 1.0, -1.0)]
)
def test_moments_of_nothing_bound_no_mean(n, mean, variance):
    with pytest.raises(ValueError, match="finite moments"):
        mean_interval_of_moments(n, mean, variance)


@pytest.mark.parametrize("function", INTERVALS)
@given(values=series, level=levels)
def test_interval_holds_the_mean(function, values, level):
    interval = function(values, level=level)
    assert interval.contains(values.mean())
    assert interval.level == level


@pytest.mark.parametrize("function", INTERVALS)
@given(values=series, two=st.tuples(levels, levels).map(sorted))
def test_interval_widens_as_the_level_rises(function, values, two):
    narrow, wide = (function(values, level=level) for level in two)
    assert wide.low <= narrow.low
    assert wide.high >= narrow.high


@pytest.mark.parametrize("function", INTERVALS)
def test_one_value_bounds_no_mean(function):
    interval = function([5])
    assert (interval.low, interval.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("function", [*INTERVALS, effective_sample_size])
@pytest.mark.parametrize("values", [[], [[1.0]], [1.0, math.nan], [1.0, math.inf]])
def test_values_without_a_mean_are_refused(function, values):
    with pytest.raises(ValueError, match="values must be"):
        function(values)


@pytest.mark.parametrize("function", INTERVALS)
def test_level_that_is_no_share_is_refused(function):
    with pytest.raises(ValueError, match="level must lie"):
        function([1.0, 2.0], level=95)


@given(values=series)
def test_effective_size_lies_between_one_and_n(values):
    assert 1 <= effective_sample_size(values) <= values.size


# In the last of them a pair of lags is greater than the one before it.
@pytest.mark.parametrize(("seed", "n"), [(5, 301), (6, 60), (7, 61), (9, 2000), (24, 60)])
def test_effective_size_is_the_one_that_plain_sums_give(seed, n):
    values = autoregressive(np.random.default_rng(seed), n=n, memory=0.9)
    centred = values - values.mean()
    covariances = [float(centred[: n - lag] @ centred[lag:]) for lag in range(n)]
    pairs, total = [], -covariances[0]
    for first in range(0, n - 1, 2):
        pairs.append(covariances[first] + covariances[first + 1])
        if pairs[-1] <= 0:
            break
        total += 2 * min(pairs)
    assert effective_sample_size(values) == pytest.approx(n * covariances[0] / total, rel=1e-9)


def test_interval_of_a_series_is_students_with_the_effective_size():
    values = autoregressive(np.random.default_rng(5), n=100, memory=0.8)
    size = effective_sample_size(values)
    error = math.sqrt(np.mean((values - values.mean()) ** 2) / (size - 1))
    low, high = stats.t.interval(0.9, size - 1, loc=values.mean(), scale=error)
    interval = autocorrelated_mean_interval(values, level=0.9)
    assert (interval.low, interval.high) == pytest.approx((low, high))


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_effective_size_of_an_autoregressive_series_is_the_known_one(memory):
    values = autoregressive(np.random.default_rng(1), n=200_000, memory=memory)
    assert effective_sample_size(values) == pytest.approx(200_000 * (1 - memory) / (1 + memory), rel=0.1)


def test_oscillation_is_not_rewarded():
    assert effective_sample_size(np.tile([1.0, 2.0], 500)) == 1000


@pytest.mark.parametrize("value", [0, 0.1, 1e9 + 0.3])
def test_values_that_are_all_the_same_count_in_full_in_spite_of_rounding(value):
    assert effective_sample_size([value] * 7) == 7
    assert autocorrelated_mean_interval([value] * 7).width <= 1e-6


def test_a_drifting_series_is_worth_few_values():
    assert effective_sample_size(np.arange(1000)) < 5


def test_both_intervals_are_equal_where_no_autocorrelation_is_found():
    values = [1.0, 3.0, 2.0, 4.0, 1.0, 3.0]
    assert effective_sample_size(values) == len(values)
    plain, wide = mean_interval(values), autocorrelated_mean_interval(values)
    assert (wide.low, wide.high) == pytest.approx((plain.low, plain.high))


@pytest.mark.parametrize(("memory", "n"), [(0.0, 200), (0.5, 500), (0.9, 2000)])
def test_autocorrelated_interval_covers_the_mean_about_as_often_as_it_says(memory, n):
    rng = np.random.default_rng(2)
    hits = [autocorrelated_mean_interval(autoregressive(rng, n=n, memory=memory)).contains(0) for _ in range(1000)]
    assert 0.92 <= np.mean(hits) <= 0.98


def test_plain_interval_would_be_far_too_narrow_for_such_a_series():
    rng = np.random.default_rng(2)
    hits = [mean_interval(autoregressive(rng, n=2000, memory=0.9)).contains(0) for _ in range(1000)]
    assert np.mean(hits) < 0.5
