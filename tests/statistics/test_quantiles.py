import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from bytemlperf.statistics import PercentileRule, percentile, quantile_interval, quantile_ranks, samples_needed

RANK_RULES = [PercentileRule.LOADGEN, PercentileRule.NEAREST_RANK]
shares = st.floats(0, 1)
inner_shares = st.floats(0.001, 0.999)
levels = st.floats(0.01, 0.999)
latencies = hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 10**12))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(PercentileRule.LOADGEN, 100), (PercentileRule.NEAREST_RANK, 99), (PercentileRule.LINEAR, 99.01)],
)
def test_p99_of_a_hundred_values_depends_on_the_rule(rule, expected):
    assert percentile(np.arange(100, 0, -1), 0.99, rule=rule) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("p", "expected"), [(0, 10), (0.1, 10), (0.25, 20), (0.5, 30), (0.75, 40), (0.99, 40), (1, 40)]
)
def test_loadgen_rule_by_hand(p, expected):
    assert percentile(np.array([40, 10, 30, 20]), p) == expected


@pytest.mark.parametrize(
    ("p", "expected"), [(0, 10), (0.1, 10), (0.25, 10), (0.26, 20), (0.5, 20), (0.75, 30), (1, 40)]
)
def test_nearest_rank_rule_by_hand(p, expected):
    assert percentile(np.array([40, 10, 30, 20]), p, rule=PercentileRule.NEAREST_RANK) == expected


def test_loadgen_index_is_truncated_in_double_precision_as_loadgen_does():
    assert percentile(np.arange(100), 0.29) == 28


@given(values=latencies, p=shares)
def test_loadgen_rule_is_the_sorted_value_at_its_index(values, p):
    assert percentile(values, p) == sorted(values.tolist())[min(int(len(values) * p), len(values) - 1)]


@given(values=latencies, numerator=st.integers(0, 64))
def test_nearest_rank_agrees_with_numpys_inverted_distribution(values, numerator):
    expected = np.quantile(values, numerator / 64, method="inverted_cdf")
    assert percentile(values, numerator / 64, rule=PercentileRule.NEAREST_RANK) == expected


@given(values=latencies, p=shares)
def test_linear_rule_agrees_with_numpys_default_percentile(values, p):
    expected = np.percentile(values, 100 * p)
    assert percentile(values, p, rule=PercentileRule.LINEAR) == pytest.approx(expected, rel=1e-9, abs=1e-3)


@given(values=latencies, two=st.tuples(shares, shares).map(sorted), rule=st.sampled_from(PercentileRule))
def test_percentile_rises_with_p_and_stays_within_the_values(values, two, rule):
    low, high = (percentile(values, p, rule=rule) for p in two)
    assert values.min() <= low <= high <= values.max()


@given(values=latencies, p=shares, rule=st.sampled_from(PercentileRule))
def test_percentile_does_not_depend_on_order_nor_change_its_argument(values, p, rule):
    before = values.copy()
    assert percentile(values, p, rule=rule) == percentile(np.sort(values), p, rule=rule)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("rule", RANK_RULES)
def test_percentile_of_integers_stays_an_exact_int(rule):
    value = percentile(np.array([2**62 + 1]), 0.5, rule=rule)
    assert value == 2**62 + 1
    assert type(value) is int


def test_percentile_of_floats_is_a_float():
    assert type(percentile([0.5, 1.5], 0.9)) is float


def test_every_rule_is_defined_in_words_of_its_own():
    definitions = [rule.definition for rule in PercentileRule]
    assert len(set(definitions)) == len(definitions)
    assert "int(n * p)" in PercentileRule.LOADGEN.definition


@pytest.mark.parametrize("p", [-0.01, 1.01, 99, math.nan])
def test_percentile_refuses_a_p_that_is_no_share(p):
    with pytest.raises(ValueError, match="p must lie between 0 and 1"):
        percentile([1, 2], p)


@pytest.mark.parametrize("function", [percentile, quantile_interval])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "not empty"),
        ([[1, 2]], "one-dimensional"),
        ([1.0, math.nan, math.inf], "2 of 3 are NaN or infinite"),
        (["a"], "integers or floats"),
        ([True], "integers or floats"),
    ],
)
def test_values_that_cannot_be_ranked_are_refused(function, values, message):
    with pytest.raises(ValueError, match=message):
        function(values, 0.5)


def test_ranks_of_the_median_of_a_hundred_are_the_known_ones():
    ranks = quantile_ranks(100, 0.5)
    assert (ranks.lower, ranks.upper) == (40, 61)
    assert ranks.coverage == pytest.approx(0.9648, abs=5e-5)


@given(n=st.integers(1, 3000), p=inner_shares, level=levels)
def test_ranks_have_exactly_the_coverage_that_the_binomial_gives_and_no_less_than_asked(n, p, level):
    ranks = quantile_ranks(n, p, level=level)
    below = stats.binom.cdf(ranks.lower - 1, n, p) if ranks.lower else 0.0
    above = stats.binom.sf(ranks.upper - 1, n, p) if ranks.upper else 0.0
    assert ranks.coverage == pytest.approx(1 - below - above, abs=1e-9)
    assert ranks.coverage >= level - 1e-9


@given(n=st.integers(1, 3000), p=inner_shares, level=levels)
def test_ranks_cannot_be_drawn_closer(n, p, level):
    tail = (1 - level) / 2
    ranks = quantile_ranks(n, p, level=level)
    assert stats.binom.cdf(ranks.lower or 0, n, p) > tail - 1e-9
    assert stats.binom.sf((ranks.upper or n + 1) - 2, n, p) > tail - 1e-9


@given(n=st.integers(1, 500), p=inner_shares, two=st.tuples(levels, levels).map(sorted))
def test_ranks_move_apart_as_the_level_rises(n, p, two):
    narrow, wide = (quantile_ranks(n, p, level=level) for level in two)
    assert (wide.lower or 0) <= (narrow.lower or 0)
    assert (wide.upper or n + 1) >= (narrow.upper or n + 1)


@given(values=latencies, p=inner_shares, level=levels, rule=st.sampled_from(RANK_RULES))
def test_quantile_interval_holds_the_percentile(values, p, level, rule):
    assert quantile_interval(values, p, level=level).contains(percentile(values, p, rule=rule))


def test_quantile_interval_is_made_of_the_values_at_the_ranks():
    values = np.random.default_rng(3).permutation(np.arange(1, 1001)) * 1000
    ranks = quantile_ranks(1000, 0.9)
    interval = quantile_interval(values, 0.9)
    assert (interval.low, interval.high, interval.level) == (ranks.lower * 1000, ranks.upper * 1000, 0.95)


def test_quantile_interval_covers_the_true_quantile_of_a_skewed_distribution_as_often_as_it_says():
    rng = np.random.default_rng(11)
    true = stats.lognorm.ppf(0.9, 1.0)
    hits = [quantile_interval(rng.lognormal(size=200), 0.9).contains(true) for _ in range(2000)]
    exact = quantile_ranks(200, 0.9).coverage
    assert np.mean(hits) == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 2000))


def test_too_few_values_leave_the_upper_side_open():
    interval = quantile_interval(range(367), 0.99)
    assert interval.high == math.inf
    assert interval.low > 0


def test_one_value_bounds_nothing():
    interval = quantile_interval([5], 0.5)
    assert (interval.low, interval.high) == (-math.inf, math.inf)


@pytest.mark.parametrize(("p", "expected"), [(0.9, 44), (0.95, 90), (0.97, 152), (0.99, 459), (0.999, 4603)])
def test_one_sided_need_at_99_percent_is_mlperfs_early_stopping_minimum(p, expected):
    assert samples_needed(p, level=0.99, sides=1) == expected


@pytest.mark.parametrize(
    ("p", "level", "expected"), [(0.5, 0.95, 6), (0.99, 0.95, 368), (0.01, 0.95, 368), (0.9, 0.99, 51)]
)
def test_two_sided_need_by_hand(p, level, expected):
    assert samples_needed(p, level=level) == expected


@given(p=st.floats(0.01, 0.99), level=levels)
def test_interval_is_bounded_from_the_needed_number_on_and_not_before(p, level):
    n = samples_needed(p, level=level)
    assert quantile_interval(range(n), p, level=level).bounded
    assert n == 1 or not quantile_interval(range(n - 1), p, level=level).bounded


@given(p=inner_shares, level=levels)
def test_one_sided_need_is_the_least_power_below_the_tail(p, level):
    n = samples_needed(p, level=level, sides=1)
    assert p**n <= (1 - level) * (1 + 1e-9)
    assert p ** (n - 1) > (1 - level) * (1 - 1e-9)


@pytest.mark.parametrize("p", [0, 1, -1, math.nan])
def test_bounds_of_the_extremes_are_refused(p):
    for call in (lambda: quantile_ranks(10, p), lambda: quantile_interval([1, 2], p), lambda: samples_needed(p)):
        with pytest.raises(ValueError, match="p must lie strictly between 0 and 1"):
            call()


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_that_is_no_share_is_refused(level):
    for call in (lambda: quantile_interval([1, 2], 0.5, level=level), lambda: samples_needed(0.5, level=level)):
        with pytest.raises(ValueError, match="level must lie strictly"):
            call()


def test_ranks_of_no_values_are_refused():
    with pytest.raises(ValueError, match="n must be at least 1"):
        quantile_ranks(0, 0.5)
