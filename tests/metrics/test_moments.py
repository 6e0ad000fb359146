import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytemlperf.metrics.moments import Moments


def together(values, cuts):
    total = Moments()
    for part in np.split(np.asarray(values, np.float64), sorted(cuts)):
        total = total.plus(Moments.of(part))
    return total


@given(
    values=st.lists(st.floats(0, 1e6), min_size=1, max_size=50),
    cuts=st.lists(st.integers(0, 50), max_size=6),
)
def test_parts_add_up_to_the_moments_of_the_whole(values, cuts):
    total = together(values, cuts)
    assert total.n == len(values)
    assert total.mean == pytest.approx(np.mean(values), rel=1e-12)
    assert total.std == pytest.approx(np.std(values), rel=1e-9, abs=1e-9 * max(values))
    assert total.peak == max(values)


def test_the_spread_of_nearly_equal_values_is_not_lost():
    """A sum of squares less the square of the sum would give 0 or a negative variance here."""
    assert together([1e9, 1e9 + 1, 1e9 + 2], [1]).std == pytest.approx(np.sqrt(2 / 3), rel=1e-12)


def test_without_values_everything_is_zero():
    assert (Moments().plus(Moments()).std, Moments.of(np.zeros(0)).n) == (0.0, 0)
