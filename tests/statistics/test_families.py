"""Holm's correction: by hand, by its definition, and by what it promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytemlperf.statistics import holm

p_values = st.lists(st.floats(0, 1), max_size=20)


def test_holm_by_hand():
    # 0.01 x 4, 0.02 x 3, 0.03 x 2 raised to the one before, 0.9 x 1.
    assert holm([0.03, 0.01, 0.9, 0.02]).tolist() == pytest.approx([0.06, 0.04, 0.9, 0.06])


def test_none_and_one_stay_as_they_are():
    assert holm([]).tolist() == []
    assert holm([0.2]).tolist() == [0.2]


@given(p_values=p_values, alpha=st.floats(0.001, 0.999))
def test_it_refuses_what_the_step_down_procedure_refuses(p_values, alpha):
    refused, order = set(), sorted(range(len(p_values)), key=lambda index: p_values[index])
    for step, index in enumerate(order):
        if p_values[index] * (len(order) - step) > alpha:
            break
        refused.add(index)
    assert {index for index, p in enumerate(holm(p_values)) if p <= alpha} == refused


@pytest.mark.parametrize("bad", [[-0.1], [1.1], [np.nan], [[0.1]]])
def test_what_is_no_p_value_is_refused(bad):
    with pytest.raises(ValueError, match="p_values"):
        holm(bad)


def test_of_many_true_nulls_hardly_one_is_refused():
    draws = np.random.default_rng(0).random((2000, 12))
    assert np.mean([(holm(row) < 0.05).any() for row in draws]) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 2000)
