from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bytemlperf.datasets.casting import Kind, kind_of, misfit, numpy_dtype
from bytemlperf.errors import SpecError
from bytemlperf.spec import DType

INTEGERS = [DType.INT64, DType.INT32, DType.INT16, DType.INT8, DType.UINT8, DType.INT4, DType.BOOL]
FLOATS = [DType.FLOAT64, DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16]


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_every_type_of_numbers_is_numpys_type_of_that_name(dtype):
    assert numpy_dtype(dtype).name == dtype.value


@pytest.mark.parametrize("dtype", [DType.FLOAT8, DType.STRING])
def test_a_type_without_arrays_of_numbers_is_refused(dtype):
    with pytest.raises(SpecError, match="cannot be prepared"):
        numpy_dtype(dtype)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_whole_numbers_and_truth_values_are_one_kind(dtype):
    assert kind_of(numpy_dtype(dtype)) is Kind.INTEGER


@pytest.mark.parametrize("dtype", FLOATS)
def test_floating_point_numbers_are_one_kind(dtype):
    assert kind_of(numpy_dtype(dtype)) is Kind.FLOAT


@pytest.mark.parametrize("dtype", ["U3", "c8", "M8[s]", "O"])
def test_anything_else_is_of_another_kind(dtype):
    assert kind_of(np.dtype(dtype)) is Kind.OTHER


@settings(deadline=None)
@given(
    hnp.arrays(np.int64, st.integers(0, 5), elements=st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300)),
    st.sampled_from(INTEGERS),
)
def test_whole_numbers_fit_exactly_if_none_changes(array, dtype):
    if dtype is DType.BOOL:
        kept = all(value in (0, 1) for value in array.tolist())
    else:
        info = ml_dtypes.iinfo(numpy_dtype(dtype))
        kept = all(info.min <= value <= info.max for value in array.tolist())
    assert (misfit(array, dtype) is None) == kept


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(0, 5), elements=st.floats() | st.integers(-300, 300).map(float)),
    st.sampled_from(INTEGERS),
)
def test_floats_fit_an_integer_type_exactly_if_each_is_a_whole_number_of_it(array, dtype):
    def kept(value):
        if not np.isfinite(value) or not value.is_integer():
            return False
        if dtype is DType.BOOL:
            return value in (0, 1)
        info = ml_dtypes.iinfo(numpy_dtype(dtype))
        return info.min <= int(value) <= info.max

    assert (misfit(array, dtype) is None) == all(kept(value) for value in array.tolist())


@settings(deadline=None)
@given(
    hnp.arrays(np.int64, st.integers(1, 5), elements=st.integers(-(2**63), 2**63 - 1) | st.integers(-5000, 5000)),
    st.sampled_from(FLOATS),
)
def test_whole_numbers_that_fit_a_float_come_back_unchanged(array, dtype):
    if misfit(array, dtype) is None:
        back = [int(value) for value in array.astype(numpy_dtype(dtype)).astype(np.float64)]
        assert back == array.tolist()


@pytest.mark.parametrize(
    ("dtype", "largest"), [(DType.FLOAT16, 2048), (DType.BFLOAT16, 256), (DType.FLOAT32, 2**24), (DType.FLOAT64, 2**53)]
)
def test_whole_numbers_fit_a_float_up_to_the_first_gap(dtype, largest):
    assert misfit(np.array([-largest, largest]), dtype) is None
    assert misfit(np.array([largest + 1]), dtype) is not None
    assert float(np.array(largest + 1).astype(numpy_dtype(dtype))) != largest + 1


@pytest.mark.parametrize(
    ("value", "dtype", "fits"),
    [
        (65519.0, DType.FLOAT16, True),  # rounds to 65504, the largest
        (65520.0, DType.FLOAT16, False),
        (1e-30, DType.FLOAT16, True),  # rounds to 0
        (np.inf, DType.FLOAT16, True),  # was infinite already
        (np.nan, DType.FLOAT32, True),
        (1e39, DType.FLOAT32, False),
        (1e39, DType.BFLOAT16, False),
        (1e38, DType.BFLOAT16, True),
    ],
)
def test_a_float_may_be_rounded_but_not_become_infinite(value, dtype, fits):
    assert (misfit(np.array([0.0, value]), dtype) is None) == fits


def test_narrow_types_of_ml_dtypes_can_be_cast_too():
    assert misfit(np.array([1.5, -3], ml_dtypes.bfloat16), DType.FLOAT16) is None
    assert misfit(np.array([1e30], ml_dtypes.bfloat16), DType.FLOAT16) is not None
    assert misfit(np.array([1.5], ml_dtypes.bfloat16), DType.INT8) is not None
    assert misfit(np.array([-8, 7], ml_dtypes.int4), DType.INT64) is None
    assert misfit(np.array([-8, 7], ml_dtypes.int4), DType.UINT8) is not None


def test_an_array_of_the_type_itself_is_not_looked_at():
    assert misfit(np.array([np.nan]), DType.FLOAT64) is None
    assert misfit(np.empty((0, 3)), DType.BOOL) is None


def test_the_message_names_the_first_value_that_does_not_fit():
    assert misfit(np.array([1, 300, -1]), DType.UINT8) == "300 is none of the whole numbers from 0 to 255"
    assert misfit(np.array([1e9, 1e10]), DType.FLOAT16) == "1000000000.0 would become infinite"
