"""Ratios of two runs' figures, held against scipy, against sums written out, and against simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bytemlperf.statistics import (
    Interval,
    interval_log_ratio,
    mean_interval,
    mean_log_ratio,
    percentile,
    quantile_interval,
    quantile_log_ratio,
    repeats_log_ratio,
)

positive = st.lists(st.floats(1, 1e6), min_size=2, max_size=12)


def gamma(rng, n, *, mean=1e6, spread=0.05):
    return rng.gamma(1 / spread**2, mean * spread**2, n)


def test_repeats_are_compared_as_welch_does_on_logarithms():
    rng = np.random.default_rng(0)
    a, b = gamma(rng, 9), gamma(rng, 5, mean=1.1e6)
    reference = stats.ttest_ind(np.log(b), np.log(a), equal_var=False)
    contrast = repeats_log_ratio(a, b)
    assert contrast.p_difference() == pytest.approx(reference.pvalue)
    assert contrast.degrees == pytest.approx(reference.df)
    assert math.exp(contrast.estimate) == pytest.approx(stats.gmean(b) / stats.gmean(a))


def test_against_a_single_repeat_the_other_sides_spread_stands_for_both():
    a = np.array([1.0, 1.1, 0.9, 1.05])
    reference = stats.ttest_ind(np.log([1.4]), np.log(a), equal_var=True)  # pooled: one value adds no variance
    for contrast in (repeats_log_ratio(a, [1.4]), repeats_log_ratio([1.4], a)):
        assert contrast.p_difference() == pytest.approx(reference.pvalue)
        assert contrast.degrees == 3


def test_one_repeat_on_each_side_is_refused():
    with pytest.raises(ValueError, match="one repeat on each side"):
        repeats_log_ratio([1.0], [2.0])


@pytest.mark.parametrize("compare", [repeats_log_ratio, lambda a, b: quantile_log_ratio(a, b, 0.5)])
@pytest.mark.parametrize("bad", [[1.0, 0.0], [-1.0, 2.0], [], [1.0, math.nan]])
def test_what_has_no_ratio_is_refused(compare, bad):
    with pytest.raises(ValueError, match=r"above 0|not empty|finite"):
        compare(bad, [1.0, 2.0])


def test_independent_series_are_compared_by_first_order_welch():
    rng = np.random.default_rng(1)
    a, b = gamma(rng, 4000), gamma(rng, 4000, mean=1.01e6)
    reference = stats.ttest_ind(np.log(b), np.log(a), equal_var=False)
    contrast = mean_log_ratio(a, b)
    assert contrast.estimate == pytest.approx(math.log(b.mean() / a.mean()))
    assert contrast.estimate / contrast.below == pytest.approx(reference.statistic, rel=0.1)


def test_kept_intervals_of_repeats_give_nearly_the_same_as_the_repeats():
    rng = np.random.default_rng(2)
    a, b = gamma(rng, 6, spread=0.01), gamma(rng, 8, mean=1.02e6, spread=0.01)
    kept = interval_log_ratio(
        float(a.mean()), mean_interval(a), float(b.mean()), mean_interval(b), a_degrees=5, b_degrees=7
    )
    exact = repeats_log_ratio(a, b)
    assert kept.estimate == pytest.approx(exact.estimate, abs=1e-4)
    assert kept.p_difference() == pytest.approx(exact.p_difference(), rel=0.05)


def test_a_kept_interval_without_an_end_decides_only_the_other_way():
    whole, open_above = Interval(low=90, high=110, level=0.95), Interval(low=180, high=math.inf, level=0.95)
    faster = interval_log_ratio(100, whole, 200, open_above, a_degrees=math.inf, b_degrees=math.inf)
    assert faster.p_above(0) < 1e-6
    assert faster.interval().high == math.inf
    slower = interval_log_ratio(200, open_above, 100, whole, a_degrees=math.inf, b_degrees=math.inf)
    assert slower.p_below(0) < 1e-6
    with pytest.raises(ValueError, match="above 0"):
        interval_log_ratio(0, whole, 200, open_above, a_degrees=math.inf, b_degrees=math.inf)


def by_hand(a, b, p, bound):
    """P(b's lower neighbour <= a's upper one * e^bound), each sum written out."""
    a, b, total = np.sort(a), np.sort(b), 0.0
    for i in range(len(a) + 1):
        upper = a[i] if i < len(a) else math.inf
        for j in range(len(b) + 1):
            lower = b[j - 1] if j else 0.0
            if lower <= upper * math.exp(bound):
                total += stats.binom.pmf(i, len(a), p) * stats.binom.pmf(j, len(b), p)
    return total


@pytest.mark.parametrize(("p", "bound"), [(0.5, 0.0), (0.9, 0.1), (0.5, -0.05), (0.99, 0.0)])
def test_the_ratio_of_quantiles_by_the_sums_of_both_binomials(p, bound):
    # 0, 1, 2, ... in an order without autocorrelation: the effective number must be the number.
    a = 100 + (np.arange(11) * 7 % 11) * 2.0
    b = 101 + (np.arange(13) * 5 % 13) * 2.0
    contrast = quantile_log_ratio(a, b, p)
    assert contrast.p_above(bound) == pytest.approx(by_hand(a, b, p, bound), abs=1e-12)
    assert contrast.p_below(-bound) == pytest.approx(by_hand(b, a, p, bound), abs=1e-12)
    assert contrast.estimate == pytest.approx(math.log(percentile(b, p) / percentile(a, p)))


@pytest.mark.parametrize(("p", "stride"), [(0.5, 51), (0.9, 37)])
def test_against_a_value_that_is_known_it_is_the_exact_interval_of_a_quantile(p, stride):
    values = 1000.0 + np.arange(101) * stride % 101  # up and down, so that no neighbours are alike
    known = np.full(5000, 1000.0)
    interval = quantile_log_ratio(known, values, p).interval()
    exact = quantile_interval(values, p)
    assert (1000 * math.exp(interval.low), 1000 * math.exp(interval.high)) == pytest.approx((exact.low, exact.high))


def test_too_few_samples_leave_an_end_open():
    a = 1000.0 + np.arange(101) * 37 % 101
    contrast = quantile_log_ratio(a, 3 * a, 0.99)
    assert contrast.interval().high == math.inf
    assert contrast.interval().low == -math.inf
    assert contrast.p_difference() > 0.05


def test_swapping_the_sides_turns_it_round():
    rng = np.random.default_rng(4)
    a, b = gamma(rng, 200), gamma(rng, 300, mean=1.03e6)
    there, back = quantile_log_ratio(a, b, 0.9), quantile_log_ratio(b, a, 0.9)
    assert there.p_above(0.01) == pytest.approx(back.p_below(-0.01))
    assert there.interval().low == pytest.approx(-back.interval().high)


def test_neighbours_that_are_alike_count_for_less():
    rng = np.random.default_rng(5)
    independent, other = gamma(rng, 1000), gamma(rng, 1000)
    slow = np.repeat(gamma(rng, 50), 20)
    assert (
        quantile_log_ratio(independent, slow, 0.5).interval().width
        > 2 * quantile_log_ratio(independent, other, 0.5).interval().width
    )


@settings(max_examples=40, deadline=None)
@given(a=positive, b=positive, p=st.floats(0.05, 0.95), level=st.floats(0.5, 0.99))
def test_the_interval_holds_the_estimate_and_agrees_with_the_tests(a, b, p, level):
    contrast = quantile_log_ratio(a, b, p)
    interval, tail = contrast.interval(level=level), (1 - level) / 2
    assert interval.contains(contrast.estimate)
    if interval.low > -math.inf:
        assert contrast.p_above(interval.low - 1e-6) <= tail
    if interval.high < math.inf:
        assert contrast.p_below(interval.high + 1e-6) <= tail


@pytest.mark.parametrize("p", [0, 1, -0.1, 2])
def test_a_share_that_is_none_is_refused(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile_log_ratio([1.0], [1.0], p)


REPETITIONS = 300
SLACK = 2 * math.sqrt(0.05 * 0.95 / REPETITIONS)


@pytest.mark.parametrize("p", [0.5, 0.9, 0.99])
def test_equal_quantiles_are_told_apart_no_more_often_than_stated(p):
    rng = np.random.default_rng(6)
    told = sum(
        quantile_log_ratio(gamma(rng, 500), gamma(rng, 400), p).p_difference() < 0.05 for _ in range(REPETITIONS)
    )
    assert told / REPETITIONS <= 0.05 + SLACK


@pytest.mark.parametrize("p", [0.5, 0.9])
def test_the_interval_covers_the_true_ratio_of_quantiles(p):
    rng, truth = np.random.default_rng(7), math.log(1.1)
    covered = sum(
        quantile_log_ratio(gamma(rng, 300), gamma(rng, 300, mean=1.1e6), p).interval().contains(truth)
        for _ in range(REPETITIONS)
    )
    assert covered / REPETITIONS >= 0.95 - SLACK


def autoregressive(rng, n, memory=0.7):
    noise, values = rng.normal(size=n), np.zeros(n)
    for index in range(1, n):
        values[index] = memory * values[index - 1] + noise[index]
    return 1e6 * (1 + 0.02 * values)


@pytest.mark.parametrize("compare", [mean_log_ratio, lambda a, b: quantile_log_ratio(a, b, 0.5)])
def test_runs_with_memory_are_told_apart_no_more_often_than_stated(compare):
    rng = np.random.default_rng(8)
    told = sum(
        compare(autoregressive(rng, 600), autoregressive(rng, 600)).p_difference() < 0.05 for _ in range(REPETITIONS)
    )
    assert told / REPETITIONS <= 0.05 + SLACK
