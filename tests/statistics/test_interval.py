import math

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytemlperf.statistics import Interval

finite = st.floats(-1e12, 1e12)


def test_interval_holds_its_bounds_and_what_lies_between():
    interval = Interval(low=1, high=3, level=0.95)
    assert [interval.contains(value) for value in (0.999, 1, 2, 3, 3.001)] == [False, True, True, True, False]


def test_width_is_the_distance_of_the_bounds():
    assert Interval(low=1, high=3, level=0.95).width == 2


@pytest.mark.parametrize(("low", "high"), [(-math.inf, 1), (1, math.inf), (-math.inf, math.inf), (math.inf, math.inf)])
def test_interval_with_an_infinite_side_is_not_bounded(low, high):
    interval = Interval(low=low, high=high, level=0.5)
    assert not interval.bounded
    assert interval.width == math.inf


def test_interval_of_one_point_is_bounded():
    assert Interval(low=2, high=2, level=0.5).bounded


def test_numbers_become_plain_floats():
    interval = Interval(low=np.int64(1), high=np.float32(2), level=0.95)
    assert [type(value) for value in attrs.astuple(interval)] == [float, float, float]


@given(bounds=st.tuples(finite, finite).map(sorted), factor=st.floats(1e-9, 1e9))
def test_scaling_converts_both_bounds_and_keeps_the_level(bounds, factor):
    low, high = bounds
    scaled = Interval(low=low, high=high, level=0.9).scaled(factor)
    assert scaled == Interval(low=low * factor, high=high * factor, level=0.9)


@pytest.mark.parametrize("factor", [0, -1, math.inf, math.nan])
def test_scaling_refuses_what_is_no_unit(factor):
    with pytest.raises(ValueError, match="factor must be positive"):
        Interval(low=1, high=2, level=0.9).scaled(factor)


@pytest.mark.parametrize(("low", "high"), [(2, 1), (math.nan, 1), (1, math.nan)])
def test_bounds_out_of_order_or_not_a_number_are_refused(low, high):
    with pytest.raises(ValueError, match="low <= high"):
        Interval(low=low, high=high, level=0.95)


@pytest.mark.parametrize("level", [0, 1, -0.1, 95, math.nan])
def test_level_that_is_no_share_is_refused(level):
    with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
        Interval(low=1, high=2, level=level)
