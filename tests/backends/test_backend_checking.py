"""What does not fit is refused with the name of what does not."""

from __future__ import annotations

import re

import ml_dtypes
import numpy as np
import pytest
from tests.tiny_models import spec_of_conv

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.checking import (
    InputCheck,
    model_file,
    one_device,
    operator_in,
    own_precision,
    owned,
)
from bytemlperf.backends.compiled import CompileOptions
from bytemlperf.errors import CompileError, InputMismatchError, WeightsUnavailableError
from bytemlperf.sample import Batch
from bytemlperf.spec import DType, Format, TensorSpec

INPUTS = (
    TensorSpec(name="ids", shape=("26*batch", 2), dtype="int64"),
    TensorSpec(name="scale", shape=(5,), dtype="fp32"),
)


def _batch(size=3, **changed):
    given = {"scale": np.ones(5, np.float32), "ids": np.zeros((26 * size, 2), np.int64), **changed}
    return Batch(inputs={name: each for name, each in given.items() if each is not None}, size=size)


def test_arrays_come_in_the_engines_order_and_uncopied():
    batch = _batch()
    ids, scale = InputCheck(INPUTS).arrays(batch)
    assert ids is batch.inputs["ids"]
    assert scale is batch.inputs["scale"]


def test_each_batch_size_has_its_own_shapes():
    check = InputCheck(INPUTS)
    assert [len(check.arrays(_batch(size))[0]) for size in (3, 1, 3)] == [78, 26, 78]


@pytest.mark.parametrize(
    ("changed", "tensor", "words"),
    [
        ({"ids": None}, "ids", "missing"),
        ({"ids": None, "idz": np.zeros(1)}, "ids", "missing"),
        ({"more": np.zeros(1)}, "more", "not asked for"),
        ({"ids": np.zeros((78, 2), np.int32)}, "ids", "dtype"),
        ({"scale": np.ones(5)}, "scale", "dtype"),
        ({"ids": np.zeros((52, 2), np.int64)}, "ids", "shape"),
        ({"scale": np.ones((5, 1), np.float32)}, "scale", "shape"),
    ],
)
def test_what_does_not_fit_is_named(changed, tensor, words):
    with pytest.raises(InputMismatchError, match=words) as caught:
        InputCheck(INPUTS).arrays(_batch(**changed))
    assert caught.value.tensor == tensor
    assert repr(tensor) in str(caught.value)


def test_an_axis_that_is_not_the_batch_is_free():
    check = InputCheck((TensorSpec(name="x", shape=("batch", "length"), dtype="fp32"),))
    for length in (1, 7):
        check.arrays(Batch(inputs={"x": np.zeros((2, length), np.float32)}, size=2))
    with pytest.raises(InputMismatchError, match=r"expected \[2, any\]"):
        check.arrays(Batch(inputs={"x": np.zeros((3, 7), np.float32)}, size=2))


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.uint16, "V2", np.float32])
def test_bfloat16_comes_as_itself_its_bits_or_float32(dtype):
    check = InputCheck((TensorSpec(name="x", shape=("batch",), dtype="bf16"),))
    array = np.zeros(2, dtype)
    assert check.arrays(Batch(inputs={"x": array}, size=2))[0] is array


@pytest.mark.parametrize("array", [np.array(["a", "bc"]), np.array([b"a", b"b"]), np.array(["a", None], object)])
def test_text_comes_in_any_of_numpys_forms(array):
    check = InputCheck((TensorSpec(name="x", shape=("batch",), dtype="str"),))
    assert check.arrays(Batch(inputs={"x": array}, size=2))[0] is array
    with pytest.raises(InputMismatchError, match="expected str"):
        check.arrays(Batch(inputs={"x": np.zeros(2)}, size=2))


def test_four_bits_come_as_themselves():
    check = InputCheck((TensorSpec(name="x", shape=("batch",), dtype="int4"),))
    array = np.zeros(2, ml_dtypes.int4)
    assert check.arrays(Batch(inputs={"x": array}, size=2))[0] is array
    with pytest.raises(InputMismatchError, match="expected int4"):
        check.arrays(Batch(inputs={"x": np.zeros(2, np.int8)}, size=2))


def test_one_device_at_most():
    assert one_device(CompileOptions(), "cpu") == "cpu"
    assert one_device(CompileOptions(devices=("cuda:1",)), "cpu") == "cuda:1"
    with pytest.raises(CompileError, match="one device"):
        one_device(CompileOptions(devices=("cuda:0", "cuda:1")), "cpu")


def test_a_backend_that_casts_nothing_has_the_models_own_precision():
    artifact = ModelArtifact(spec=spec_of_conv(), format=Format.ONNX)
    assert own_precision(artifact, CompileOptions(), "x") is DType.FLOAT32
    assert own_precision(artifact, CompileOptions(precision="fp32"), "x") is DType.FLOAT32
    with pytest.raises(CompileError, match=r"got 'float16'; expected one of fp32"):
        own_precision(artifact, CompileOptions(precision="fp16"), "x")


@pytest.mark.parametrize("path", [None, "gone.onnx"])
def test_a_missing_file_is_told(path):
    with pytest.raises(WeightsUnavailableError, match="conv-torch-fp32"):
        model_file(ModelArtifact(spec=spec_of_conv(), format=Format.ONNX, path=path))


def test_the_first_pattern_that_matches_names_the_operator():
    patterns = (re.compile(r"no (\w+)"), re.compile(r"op (\w+)"))
    assert operator_in("op Foo is bad", patterns) == "Foo"
    assert operator_in("op Foo: no Bar", patterns) == "Bar"
    assert operator_in("nothing", patterns) is None


def test_bfloat16_answers_become_float32_and_others_stay():
    assert owned(np.ones(2, ml_dtypes.bfloat16)).dtype == np.float32
    for value in (np.ones(2, np.float16), None, [1]):
        assert owned(value) is value
