import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bytemlperf.statistics import bootstrap_interval


def mean_of_rows(rows):
    return rows.mean(axis=1)


def ratio_of_rows(rows):
    return rows[..., 0].sum(axis=1) / rows[..., 1].sum(axis=1)


@pytest.mark.parametrize("n", [15, 75])
@pytest.mark.parametrize("statistic", [np.mean, np.median, np.std])
def test_bootstrap_agrees_with_scipys_bca_on_the_same_drawings(statistic, n):
    values = np.sort(np.random.default_rng(4).lognormal(size=n))[::-1]  # the outliers come first
    expected = stats.bootstrap((values,), statistic, n_resamples=20_000, method="BCa", rng=np.random.default_rng(5))
    interval = bootstrap_interval(values, lambda rows: statistic(rows, axis=1), seed=5, resamples=20_000)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected.confidence_interval), rel=1e-9)


def test_many_samples_are_drawn_in_chunks_that_agree_with_students_t():
    values = np.random.default_rng(8).normal(10, 2, size=20_000)
    interval = bootstrap_interval(values, mean_of_rows, seed=9, resamples=500)
    half_width = 1.96 * 2 / math.sqrt(20_000)
    assert interval.low == pytest.approx(10 - half_width, abs=half_width)
    assert interval.width == pytest.approx(2 * half_width, rel=0.15)


def test_columns_of_one_sample_are_drawn_together():
    words = np.random.default_rng(1).integers(5, 30, size=80)
    interval = bootstrap_interval(np.stack([words / 10, words], axis=1), ratio_of_rows, seed=2)
    assert (interval.low, interval.high) == pytest.approx((0.1, 0.1))


def test_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(3).exponential(size=30)
    first, again, other = (bootstrap_interval(values, mean_of_rows, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_coverage_of_a_skewed_mean_is_near_the_level():
    rng = np.random.default_rng(12)
    draws = rng.exponential(size=(400, 50))
    hits = [
        bootstrap_interval(draw, mean_of_rows, seed=seed, resamples=500).contains(1) for seed, draw in enumerate(draws)
    ]
    assert 0.90 <= np.mean(hits) <= 0.98


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), two=st.tuples(st.floats(0.01, 0.999), st.floats(0.01, 0.999)).map(sorted))
def test_interval_widens_as_the_level_rises(seed, two):
    values = np.random.default_rng(seed).exponential(size=25)
    narrow, wide = (bootstrap_interval(values, mean_of_rows, seed=1, resamples=200, level=level) for level in two)
    assert wide.low <= narrow.low
    assert wide.high >= narrow.high


@pytest.mark.parametrize("statistic", [lambda rows: rows.max(axis=1), lambda rows: rows.min(axis=1)])
def test_an_extreme_figure_still_gives_bounds_among_the_values(statistic):
    values = np.random.default_rng(7).exponential(size=40)
    interval = bootstrap_interval(values, statistic, seed=1, level=0.999)
    assert values.min() <= interval.low <= interval.high <= values.max()


def test_a_figure_that_drawing_only_lowers_is_not_read_past_the_drawn_ones():
    # The number of distinct samples: every drawing lies far below the estimate.
    distinct = lambda rows: np.array([float(np.unique(row).size) for row in rows])
    interval = bootstrap_interval(np.arange(30), distinct, seed=1, resamples=200)
    assert 0 < interval.low <= interval.high <= 30


def test_values_that_are_all_the_same_give_no_width():
    interval = bootstrap_interval([3.0] * 20, mean_of_rows, seed=1)
    assert (interval.low, interval.high) == (3, 3)


def test_one_sample_bounds_nothing():
    interval = bootstrap_interval([3.0], mean_of_rows, seed=1)
    assert (interval.low, interval.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("values", [[], [[[1.0]]], [1.0, math.nan]])
def test_values_that_cannot_be_drawn_are_refused(values):
    with pytest.raises(ValueError, match="values must be"):
        bootstrap_interval(values, mean_of_rows, seed=1)


def test_statistic_that_forgets_the_rows_is_refused():
    with pytest.raises(ValueError, match="one figure per row"):
        bootstrap_interval([1.0, 2.0], lambda rows: rows.mean(), seed=1)


def test_statistic_that_is_not_finite_for_some_drawing_is_refused():
    with pytest.raises(ValueError, match=r"statistic's figures must be finite"):
        bootstrap_interval([0.0, 1.0], lambda rows: np.where(rows.sum(axis=1) > 0, 1.0, np.nan), seed=1)


@pytest.mark.parametrize(("keywords", "message"), [({"resamples": 99}, "resamples"), ({"level": 95}, "level must lie")])
def test_settings_that_make_no_interval_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval([1.0, 2.0], mean_of_rows, seed=1, **keywords)
