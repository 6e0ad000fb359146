import math
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytemlperf.metrics.histogram import BINS, HistogramState, Magnitudes

finite = st.floats(-(2.0**1023), 2.0**1023)
some = st.lists(finite | st.floats(-10, 10) | st.sampled_from([0.0, -0.0, 5e-324]), max_size=60)


def counted(values, cuts=()):
    state = HistogramState()
    for part in np.split(np.asarray(values, np.float64), sorted(cuts)):
        state.update(part)
    return state.compute()


@given(values=some, cuts=st.lists(st.integers(0, 60), max_size=5))
def test_however_values_are_cut_into_parts_the_counts_are_the_same(values, cuts):
    assert counted(values, cuts) == counted(values)


@given(values=some)
def test_every_value_is_counted_in_the_bin_that_holds_it(values):
    histogram = counted(values)
    assert sum(histogram.counts) == len(values)
    assert len(histogram.counts) <= BINS
    expected = [0] * len(histogram.counts)
    low, width = Fraction(histogram.low), Fraction(histogram.width)
    for value in values:
        expected[math.floor((Fraction(value) - low) / width)] += 1
    assert list(histogram.counts) == expected


def test_it_agrees_with_numpy_over_its_own_edges(rng):
    values = rng.normal(size=5000)
    histogram = counted(values, [100, 101, 4000])
    counts, edges = np.histogram(values, bins=np.array(histogram.edges))
    assert tuple(counts) == histogram.counts
    assert BINS / 2 <= len(histogram.counts) <= BINS
    assert np.ptp(np.diff(edges)) == 0


def test_equal_values_fill_one_bin():
    histogram = counted([0.1] * 5)
    assert histogram.counts == (5,)
    assert histogram.low <= 0.1 < histogram.edges[-1]


def test_the_largest_doubles_are_counted_though_their_edge_is_beyond_them():
    histogram = counted([-sys.float_info.max, 0.0, sys.float_info.max])
    assert (histogram.counts[0], sum(histogram.counts), histogram.low) == (1, 3, -sys.float_info.max)


def test_without_values_there_is_no_bin():
    assert counted([]).counts == ()
    assert counted([]).edges == (0.0,)


def magnitudes(values, cuts=()):
    state = Magnitudes()
    for part in np.split(np.asarray(values, np.float64), sorted(cuts)):
        state.update(part)
    return state


@given(
    values=st.lists(st.floats(1e-300, 1e300) | st.floats(0.5, 2) | st.just(0.0), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    p=st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]),
)
def test_quantiles_are_within_their_bound_of_the_exact_rank(values, cuts, p):
    exact = sorted(values)[min(int(len(values) * p), len(values) - 1)]
    assert magnitudes(values, cuts).quantile(p) == pytest.approx(exact, rel=2**-8, abs=0)


def test_a_quantile_of_nothing_is_zero():
    assert magnitudes([]).quantile(0.5) == 0.0


def test_negative_zero_is_zero():
    assert magnitudes([-0.0, 0.0]).quantile(0.5) == 0.0
