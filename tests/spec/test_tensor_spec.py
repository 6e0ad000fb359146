"""Tensors as data: axes in `batch`, names, dtypes."""

import numpy as np
import pytest

from bytemlperf.errors import SpecError
from bytemlperf.spec import Axis, DType, TensorSpec


def tensor(**fields):
    return TensorSpec(**{"name": "x", "shape": ("batch", 3), "dtype": "fp32", **fields})


# --------------------------------------------------------------------------------------------------------------- axes


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("batch", Axis()),
        ("26*batch", Axis("batch", 26)),
        (" 26 * batch ", Axis("batch", 26)),
        ("1*batch", Axis()),
        ("rows", Axis("rows")),
    ],
)
def test_an_axis_is_read_from_text(text, axis):
    assert Axis.of(text) == axis
    assert Axis.of(str(axis)) == axis


@pytest.mark.parametrize(
    "text", ["", "0*batch", "-1*batch", "batch*26", "2**batch", "1.5*batch", "26 batch", "9" * 30 + "*b"]
)
def test_text_that_is_no_expression_in_batch_is_refused(text):
    with pytest.raises(SpecError, match="no expression in batch"):
        Axis.of(text)


@pytest.mark.parametrize("times", [0, -1, 1.5, True, "2"])
def test_an_axis_times_something_else_than_a_whole_number_is_refused(times):
    with pytest.raises(SpecError, match=r"\$\.times"):
        Axis("batch", times)


def test_axes_are_written_as_they_are_read():
    assert [str(axis) for axis in (Axis(), Axis("batch", 26), Axis("rows", 2))] == ["batch", "26*batch", "2*rows"]


# --------------------------------------------------------------------------------------------------------------- dtypes


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("fp32", DType.FLOAT32),
        ("float32", DType.FLOAT32),
        ("FLOAT32", DType.FLOAT32),
        ("LONG", DType.INT64),
        ("bf16", DType.BFLOAT16),
        ("half", DType.FLOAT16),
        ("double", DType.FLOAT64),
        ("BOOL", DType.BOOL),
        ("string", DType.STRING),
        (DType.INT8, DType.INT8),
    ],
)
def test_a_dtype_has_a_full_a_short_and_an_old_name(name, dtype):
    assert DType.of(name) is dtype


@pytest.mark.parametrize(("name", "guess"), [("fp23", "fp32"), ("flaot32", "float32"), ("bfloat61", "bfloat16")])
def test_an_unknown_dtype_is_refused_with_a_guess(name, guess):
    with pytest.raises(SpecError, match=f"did you mean '{guess}'"):
        DType.of(name)


@pytest.mark.parametrize("name", ["", "zzzz", 32, None, 1.5])
def test_what_is_no_name_of_a_dtype_is_refused(name):
    with pytest.raises(SpecError, match="unknown dtype"):
        DType.of(name)


@pytest.mark.parametrize("dtype", DType)
def test_short_names_lead_back(dtype):
    assert DType.of(dtype.short) is dtype


def test_full_names_are_numpys_where_it_has_them():
    for dtype in set(DType) - {DType.BFLOAT16, DType.FLOAT8, DType.INT4, DType.STRING}:
        assert np.dtype(dtype.value).name == dtype.value
        assert dtype.is_float == (np.dtype(dtype.value).kind == "f")


# -------------------------------------------------------------------------------------------------------------- tensors


@pytest.mark.parametrize(
    ("shape", "batch", "sized", "axis"),
    [
        (("batch", 3, 224, 224), 2, (2, 3, 224, 224), 0),
        (("26*batch", 2), 4, (104, 2), 0),
        ((77, Axis()), 5, (77, 5), 1),
        ((1, 77), 8, (1, 77), None),
        ((), 8, (), None),
        ((0, "batch"), 1, (0, 1), 1),
        ([np.int64(3).item(), "batch"], 2, (3, 2), 1),
    ],
)
def test_a_shape_grows_with_the_batch(shape, batch, sized, axis):
    made = tensor(shape=shape)
    assert made.sized(batch) == sized
    assert made.batch_axis == axis


@pytest.mark.parametrize("shape", ["batch", 3, None, (1.5,), (True,), (-1,), (None,), (("batch",),), b"ab"])
def test_what_is_no_shape_is_refused(shape):
    with pytest.raises(SpecError, match=r"shape|axis"):
        tensor(shape=shape)


@pytest.mark.parametrize("name", ["", "input:0", "1x", "a b", "class", "a.b", 3, None])
def test_a_name_that_is_no_identifier_is_refused_with_the_way_out(name):
    with pytest.raises(SpecError, match="original_name"):
        tensor(name=name)


def test_the_files_name_is_its_own_or_the_canonical_one():
    assert tensor(original_name="input:0").file_name == "input:0"
    assert tensor().file_name == "x"


@pytest.mark.parametrize("high", [0, -1, 1.5, True])
def test_a_vocabulary_has_at_least_one_word(high):
    with pytest.raises(SpecError, match=r"\$\.high"):
        tensor(high=high)


def test_a_tensor_cannot_be_changed_and_has_a_hash():
    made = tensor()
    with pytest.raises(AttributeError):
        made.name = "y"
    assert len({made, tensor(), tensor(name="y")}) == 2
