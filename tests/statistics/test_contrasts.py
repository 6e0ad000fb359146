"""A contrast's tests and interval, held against Student's and Welch's as scipy has them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bytemlperf.statistics import (
    Interval,
    StandardError,
    StudentContrast,
    error_of_interval,
    mean_error,
    mean_interval,
    rate_error,
    rate_interval,
    rate_per_s,
    student_contrast,
)

errors = st.floats(1e-3, 1e3)
degrees = st.one_of(st.floats(1, 500), st.just(math.inf))
contrasts = st.builds(StudentContrast, distance=st.floats(-10, 10), below=errors, above=errors, degrees=degrees)


def sample_error(values):
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return StandardError(value=float(np.mean(values)), below=error, above=error, degrees=len(values) - 1)


@pytest.fixture
def samples():
    rng = np.random.default_rng(3)
    return rng.normal(10, 1, 12), rng.normal(11, 3, 7)


def test_two_means_are_compared_as_welch_does(samples):
    contrast = student_contrast(*map(sample_error, samples))
    reference = stats.ttest_ind(samples[1], samples[0], equal_var=False)
    assert contrast.degrees == pytest.approx(reference.df)
    assert contrast.p_difference() == pytest.approx(reference.pvalue)
    expected = reference.confidence_interval(0.9)
    interval = contrast.interval(level=0.9)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("margin", [0.0, 1.0, 4.0])
def test_equivalence_is_two_one_sided_tests(samples, margin):
    contrast = student_contrast(*map(sample_error, samples))
    above = stats.ttest_ind(samples[1] + margin, samples[0], equal_var=False, alternative="greater").pvalue
    below = stats.ttest_ind(samples[1] - margin, samples[0], equal_var=False, alternative="less").pvalue
    assert contrast.p_equivalence(margin) == pytest.approx(max(above, below))


@pytest.mark.parametrize("margin", [-0.1, math.inf, math.nan])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(ValueError, match="margin"):
        StudentContrast(distance=0, below=1, above=1, degrees=5).p_equivalence(margin)


@given(contrast=contrasts, level=st.floats(0.5, 0.999))
def test_an_interval_ends_where_the_one_sided_tests_refuse(contrast, level):
    interval = contrast.interval(level=level)
    assert contrast.p_above(interval.low) == pytest.approx((1 - level) / 2, rel=1e-6)
    assert contrast.p_below(interval.high) == pytest.approx((1 - level) / 2, rel=1e-6)


@given(contrast=contrasts, bound=st.floats(-20, 20), further=st.floats(0, 20))
def test_a_bound_further_down_is_refused_the_more(contrast, bound, further):
    assert contrast.p_above(bound - further) <= contrast.p_above(bound) + 1e-12
    assert contrast.p_below(bound + further) <= contrast.p_below(bound) + 1e-12


def test_unequal_sides_add_where_they_work_together():
    a = StandardError(value=1, below=3, above=5)
    b = StandardError(value=2, below=12, above=4)
    contrast = student_contrast(a, b)
    assert (contrast.below, contrast.above) == (13, 5)


def test_a_side_without_a_bound_decides_nothing():
    a = StandardError(value=1, below=0.1, above=0.1)
    contrast = student_contrast(a, StandardError(value=9, below=math.inf, above=0.1))
    assert (contrast.p_above(0), contrast.p_difference()) == (0.5, 1.0)
    assert contrast.interval().low == -math.inf
    assert student_contrast(a, StandardError(value=9, below=0.1, above=math.inf)).p_difference() < 1e-9


def test_without_any_error_a_difference_is_certain_and_equality_is_open():
    certain = [StandardError(value=value, below=0, above=0) for value in (1, 2)]
    assert student_contrast(*certain).p_difference() == 0
    assert student_contrast(certain[0], certain[0]).p_difference() == 1


def test_a_logarithm_divides_the_errors_by_the_figure():
    error = StandardError(value=100.0, below=1.0, above=2.0, degrees=4).logarithm()
    assert (error.value, error.below, error.above, error.degrees) == (math.log(100), 0.01, 0.02, 4)
    with pytest.raises(ValueError, match="above 0"):
        StandardError(value=0.0, below=1, above=1).logarithm()


@pytest.mark.parametrize("n", [3, 30])
def test_an_interval_gives_back_the_error_it_was_made_with(n):
    values = np.random.default_rng(n).normal(10, 1, n)
    error = error_of_interval(float(values.mean()), mean_interval(values, level=0.8), degrees=n - 1)
    assert (error.below, error.above) == pytest.approx((sample_error(values).below,) * 2)


def test_a_figure_outside_its_interval_is_refused():
    with pytest.raises(ValueError, match="in its interval"):
        error_of_interval(3.0, Interval(low=1, high=2, level=0.95))


def test_the_error_of_a_mean_of_independent_values_is_students():
    values = [1.0, 2.0, 3.0, 4.0, 3.0, 1.0, 2.0, 4.0, 1.0, 3.0]
    error = mean_error(values)
    assert (error.value, error.below) == pytest.approx((2.4, stats.sem(values)))
    assert error.degrees == 9


def test_one_value_has_no_error_that_is_known():
    assert mean_error([5.0]).below == math.inf
    assert rate_error([7, 9], start_ns=0).value == pytest.approx(rate_per_s([7, 9], start_ns=0))
    assert rate_error([7], start_ns=0).below == math.inf


def test_the_error_of_a_rate_gives_nearly_fiellers_interval():
    done = np.cumsum(np.random.default_rng(5).gamma(100, 1e4, size=2000)).astype(np.int64)
    error = rate_error(done, start_ns=0)
    interval = rate_interval(done, start_ns=0)
    t = stats.t.ppf(0.975, error.degrees)
    assert (error.value - t * error.below, error.value + t * error.above) == pytest.approx(
        (interval.low, interval.high), rel=2e-4
    )
