"""Figures of two runs over the same units: against scipy's bootstrap and exact intervals, and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bytemlperf.statistics import (
    bootstrap_contrast,
    bounded_mean_contrast,
    grown_mean_contrast,
    paired_share_contrast,
)


def ratio_distance(a, b, words):
    return lambda counts: (counts @ (a - b)) / (counts @ words)


@pytest.fixture
def errors(rng):
    words = rng.integers(5, 30, 120).astype(float)
    a = rng.binomial(words.astype(int), 0.2).astype(float)
    return a, np.maximum(0, a + rng.integers(-1, 2, 120)), words


def test_a_contrast_is_scipys_paired_percentile_bootstrap_moved_out_to_students_t(errors):
    a, b, words = errors
    n, level = len(words), 0.9
    influence = (a - b) - words * (a - b).sum() / words.sum()
    kurtosis = stats.kurtosis(influence, fisher=False)
    t = stats.t.ppf((1 - level) / 2, min(n - 1, 2 * n / (kurtosis - 1)))
    expected = stats.bootstrap(
        (a, b, words),
        lambda a, b, words, axis: (a - b).sum(axis) / words.sum(axis),
        paired=True,
        n_resamples=40_000,
        method="percentile",
        confidence_level=1 - 2 * stats.norm.cdf(t * math.sqrt(n / (n - 1))),
        rng=np.random.default_rng(5),
    )
    found = bootstrap_contrast(ratio_distance(a, b, words), n, seed=5, resamples=40_000)
    interval = found.interval(level=level)
    assert found.estimate == pytest.approx((a - b).sum() / words.sum())
    assert (interval.low, interval.high) == pytest.approx(
        tuple(expected.confidence_interval), abs=0.03 * expected.standard_error
    )


def test_the_drawings_do_not_depend_on_how_many_fit_into_memory_at_a_time(errors):
    a, b, words = errors
    whole, bit = (
        bootstrap_contrast(ratio_distance(a, b, words), 120, seed=3, width=width) for width in (None, 4_000_000)
    )
    assert whole.interval() == bit.interval()
    assert bootstrap_contrast(ratio_distance(a, b, words), 120, seed=4).interval() != whole.interval()


def test_the_tests_say_what_the_interval_says(errors):
    contrast = bootstrap_contrast(ratio_distance(*errors), 120, seed=1)
    for level in (0.5, 0.9, 0.98):
        interval = contrast.interval(level=level)
        assert contrast.p_above(interval.low - 1e-9) <= (1 - level) / 2 + 1e-6
        assert contrast.p_below(interval.high + 1e-9) <= (1 - level) / 2 + 1e-6
        assert contrast.p_above(interval.low) > (1 - level) / 2 - 1e-6
    assert 1 / 2000 <= contrast.p_above(-1e9) < 1 / 1000
    assert contrast.p_difference() == pytest.approx(2 * min(contrast.p_above(0.0), contrast.p_below(0.0)))


def test_nothing_is_bounded_at_a_level_for_which_too_few_were_drawn(errors):
    drawn = bootstrap_contrast(ratio_distance(*errors), 120, seed=1)
    unseen = bounded_mean_contrast(errors[0], lowest=0, highest=30, seed=1)
    for contrast in (drawn, unseen):
        assert contrast.interval(level=0.98).bounded
        assert not contrast.interval(level=0.9998).bounded
    assert unseen.interval(level=0.999).bounded  # the first and the last of 2,000


def test_runs_that_are_alike_have_no_distance_and_no_evidence():
    alike = bootstrap_contrast(lambda counts: np.zeros(len(counts)), 30, seed=1)
    assert (alike.interval().low, alike.interval().high, alike.p_difference()) == (0, 0, 1)


def test_data_sets_without_a_figure_leave_the_interval_unbounded():
    rare = np.zeros(40)
    rare[0] = 1

    def distance(counts):
        with np.errstate(divide="ignore", invalid="ignore"):
            return (counts @ rare) / (counts @ rare) + counts[:, 1]

    interval = bootstrap_contrast(distance, 40, seed=1).interval()
    assert (interval.low, interval.high) == (-math.inf, math.inf)


def test_where_few_units_make_the_distance_its_interval_is_wider(rng):
    few = np.zeros(400)
    few[:8] = rng.normal(size=8)
    interval = bootstrap_contrast(lambda counts: counts @ few / 400, 400, seed=1).interval(level=0.9)
    plain = 2 * 1.645 * few.std() / 20
    assert 1.1 * plain < interval.width < 1.6 * plain


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n": 1}, "2 units"), ({"resamples": 99}, "resamples"), ({"distance": lambda c: np.array([np.nan])}, "finite")],
)
def test_what_cannot_be_drawn_is_refused(options, message):
    asked = {"distance": lambda counts: counts.mean(axis=1), "n": 20, "seed": 1} | options
    with pytest.raises(ValueError, match=message):
        bootstrap_contrast(asked.pop("distance"), asked.pop("n"), **asked)


@pytest.mark.parametrize("lost", [0, 1, 3, 10, 40])
def test_of_lost_units_the_bound_is_that_of_clopper_and_pearson(lost):
    values = np.zeros(500)
    values[:lost] = -1
    low = bounded_mean_contrast(values, lowest=-1, highest=1, seed=2, resamples=20_000).interval(level=0.9).low
    exact = stats.binomtest(lost, 500).proportion_ci(0.9, method="exact").high
    assert 500 * -low == pytest.approx(500 * exact, abs=1)  # drawn losses are whole numbers


@settings(max_examples=20)
@given(only_a=st.integers(0, 30), only_b=st.integers(0, 30))
def test_of_units_lost_and_won_it_is_about_the_exact_interval(only_a, only_b):
    values = np.repeat([-1.0, 1.0, 0.0], [only_a, only_b, 300 - only_a - only_b])
    found = bounded_mean_contrast(values, lowest=-1, highest=1, seed=2).interval(level=0.9)
    exact = paired_share_contrast(only_a, only_b, 300).interval(level=0.9)
    assert found.low == pytest.approx(exact.low, abs=0.2 * exact.width)
    assert found.high == pytest.approx(exact.high, abs=0.2 * exact.width)


@pytest.mark.parametrize(("lost", "n"), [(0.01, 100), (0.01, 512), (0.05, 100)])
def test_rare_losses_are_rarely_overlooked(rng, lost, n):
    """The bound that is to be wrong in 5 of 100 tries; a plain bootstrap's is in 37 or more of 100 at the first."""
    part = rng.random(300)
    missed = 0
    for seed in range(300):
        values = np.where(rng.random(n) < lost, -rng.choice(part, n), 0.0)
        found = bounded_mean_contrast(values, lowest=-1, highest=1, seed=seed, resamples=500)
        missed += found.interval(level=0.9).low > -lost * part.mean()
    assert missed / 300 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize("lost", [0, 5, 60])
@pytest.mark.parametrize("level", [0.8, 0.9, 0.98])
def test_what_more_units_would_say_is_told_without_drawing_them(lost, level):
    values = np.repeat([-1.0, 0.5, 0.0], [lost, lost, 500 - 2 * lost])
    told = grown_mean_contrast(values, n=2000, lowest=-1, highest=1, seed=3).interval(level=level)
    taken = bounded_mean_contrast(np.tile(values, 4), lowest=-1, highest=1, seed=4, resamples=20_000)
    found = taken.interval(level=level)
    assert (told.low, told.high) == pytest.approx((found.low, found.high), abs=0.06 * found.width)


def test_bounded_values_must_be_bounded():
    with pytest.raises(ValueError, match="between -1 and 1"):
        bounded_mean_contrast([0.0, 1.5], lowest=-1, highest=1, seed=1)
    with pytest.raises(ValueError, match="finite"):
        bounded_mean_contrast([0.0, math.nan], lowest=-1, highest=1, seed=1)
    with pytest.raises(ValueError, match="resamples"):
        bounded_mean_contrast([0.0], lowest=-1, highest=1, seed=1, resamples=9)


def test_a_contrast_in_another_unit_says_the_same():
    plain = paired_share_contrast(12, 3, 200)
    percent = plain.scaled(100, plus=2)
    assert percent.estimate == pytest.approx(100 * plain.estimate + 2)
    assert percent.interval().low == pytest.approx(100 * plain.interval().low + 2)
    assert percent.p_above(2 - 7) == pytest.approx(plain.p_above(-0.07))
    assert percent.p_below(2) == pytest.approx(plain.p_below(0))
    for wrong in ({"factor": 0}, {"factor": 1, "plus": math.inf}):
        with pytest.raises(ValueError, match="positive factor"):
            plain.scaled(**wrong)
