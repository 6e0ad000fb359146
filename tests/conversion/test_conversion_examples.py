"""Example inputs fit the spec that they are made from."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tiny_models import model_spec, wide_and_deep_spec

from bytemlperf.conversion.examples import example_inputs
from bytemlperf.errors import SpecError
from bytemlperf.spec import DType, TensorSpec


def test_examples_have_the_declared_order_shapes_and_types():
    arrays = example_inputs(wide_and_deep_spec(), 3)
    assert [(name, array.shape, array.dtype.name) for name, array in arrays.items()] == [
        ("ids", (78, 2), "int64"),
        ("mask", (3, 7), "int64"),
        ("scale", (5,), "float32"),
    ]


def test_ids_stay_below_their_bound_and_reach_for_it():
    ids = example_inputs(wide_and_deep_spec(), 20)["ids"]
    assert ids.min() >= 0
    assert 40 < ids.max() < 50


def test_what_marks_valid_positions_is_all_ones():
    assert np.all(example_inputs(wide_and_deep_spec())["mask"] == 1)


def test_numbers_are_drawn_by_the_seed():
    spec = model_spec({"x": ("batch", 100)}, {})
    first, again, other = (example_inputs(spec, seed=seed)["x"] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert 0.8 < first.std() < 1.2


@pytest.mark.parametrize("dtype", [dtype for dtype in DType if dtype not in ("float8", "int4", "str", "bfloat16")])
def test_every_type_that_numpy_has_can_be_made(dtype):
    array = example_inputs(model_spec({"x": ("batch", 4)}, {}, dtype=dtype))["x"]
    assert array.dtype == np.dtype(dtype.value)


def test_bfloat16_is_given_as_float32():
    assert example_inputs(model_spec({"x": ("batch",)}, {}, dtype=DType.BFLOAT16))["x"].dtype == np.float32


def test_text_has_no_example():
    spec = wide_and_deep_spec()
    text = TensorSpec(name="text", shape=("batch",), dtype="str")
    with pytest.raises(SpecError, match="'text'") as caught:
        example_inputs(type(spec)(name="t", framework="onnx", format="onnx", inputs=(spec.inputs[0], text), outputs=()))
    assert caught.value.where == "$.inputs[1].dtype"
