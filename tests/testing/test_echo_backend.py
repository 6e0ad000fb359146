"""The echo answers what its docstring says, at any batch size, for each sample by itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.tiny_models import model_spec, wide_and_deep_spec

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import Batch, CompileOptions
from bytemlperf.conversion.examples import example_inputs
from bytemlperf.errors import CompileError, InputMismatchError, PredictError
from bytemlperf.spec import DType, Format, Framework, ModelSpec, TensorSpec
from bytemlperf.testing import EchoBackend, echo


def _artifact(spec):
    return ModelArtifact(spec=spec, format=Format.STABLEHLO)


def _spec(*outputs):
    inputs = (
        TensorSpec(name="x", shape=(2, "3*batch"), dtype="fp32"),
        TensorSpec(name="bias", shape=(2,), dtype="int64"),
    )
    return ModelSpec(name="t", framework=Framework.ONNX, format=Format.ONNX, inputs=inputs, outputs=tuple(outputs))


def _batch(rng, size):
    x = rng.standard_normal((2, 3 * size)).astype(np.float32)
    return Batch(inputs={"x": x, "bias": np.array([1, 2])}, size=size)


def _sum(batch, sample):
    return float(batch.inputs["x"][:, 3 * sample : 3 * sample + 3].astype(np.float64).sum() + 3)


def test_fractions_are_the_cosine_that_is_promised(rng):
    batch = _batch(rng, 4)
    answer = echo(_spec(TensorSpec(name="y", shape=("batch", 5), dtype="fp64")), batch)["y"]
    for sample in range(4):
        for position in range(5):
            assert answer[sample, position] == pytest.approx(math.cos(_sum(batch, sample) + position / 10), abs=1e-6)


def test_a_sample_of_several_rows_has_them_together(rng):
    batch = _batch(rng, 3)
    answer = echo(_spec(TensorSpec(name="y", shape=(2, "4*batch"), dtype="fp64")), batch)["y"]
    assert answer.shape == (2, 12)
    for sample in range(3):
        rows = [[math.cos(_sum(batch, sample) + (2 * row + side) / 10) for row in range(4)] for side in range(2)]
        np.testing.assert_allclose(answer[:, 4 * sample : 4 * sample + 4], rows, atol=1e-6)


def test_whole_numbers_stay_below_their_bound(rng):
    batch = _batch(rng, 2)
    outputs = (
        TensorSpec(name="ids", shape=("batch", 40), dtype="int32", high=7),
        TensorSpec(name="classes", shape=("batch", 40), dtype="int64"),
        TensorSpec(name="flags", shape=("batch", 40), dtype="bool"),
    )
    answer = echo(_spec(*outputs), batch)
    first = math.floor(abs(_sum(batch, 1)))
    assert answer["ids"][1].tolist() == [(first + position) % 7 for position in range(40)]
    assert answer["classes"][1].tolist() == [(first + position) % 10 for position in range(40)]
    assert answer["flags"][1].tolist() == [bool((first + position) % 2) for position in range(40)]


def test_an_unbatched_output_does_not_depend_on_the_batch(rng):
    spec = _spec(TensorSpec(name="y", shape=(2, 2), dtype="fp32"))
    answers = [echo(spec, _batch(rng, size))["y"] for size in (1, 4)]
    assert all(np.array_equal(answer, np.cos([[0, 0.1], [0.2, 0.3]]).astype(np.float32)) for answer in answers)


@pytest.mark.parametrize("spec", [wide_and_deep_spec(), model_spec({"x": ("batch", 3)}, {"y": ("batch", 3)})])
def test_a_samples_answer_is_the_same_in_any_batch(spec):
    backend = EchoBackend()
    compiled = backend.compile(_artifact(spec), CompileOptions())
    inputs = example_inputs(spec, 5)
    whole = backend.predict(compiled, Batch(inputs=inputs, size=5))
    for sample in range(5):
        part = {}
        for tensor in spec.inputs:
            rows = len(inputs[tensor.name]) // 5
            part[tensor.name] = (
                inputs[tensor.name]
                if tensor.batch_axis is None
                else inputs[tensor.name][rows * sample : rows * sample + rows]
            )
        alone = backend.predict(compiled, Batch(inputs=part, size=1))
        for name, array in whole.items():
            np.testing.assert_array_equal(array[sample : sample + 1], alone[name])


def test_answers_have_the_specs_types_and_are_not_shared(rng):
    outputs = tuple(
        TensorSpec(name=f"y_{dtype.name.lower()}", shape=("batch",), dtype=dtype)
        for dtype in DType
        if dtype not in (DType.STRING, DType.FLOAT8, DType.INT4)
    )
    first, again = (echo(_spec(*outputs), _batch(rng, 2)) for _ in range(2))
    for tensor in outputs:
        expected = "float32" if tensor.dtype is DType.BFLOAT16 else tensor.dtype.value
        assert first[tensor.name].dtype.name == expected
        assert not np.shares_memory(first[tensor.name], again[tensor.name])


def test_it_refuses_inputs_that_do_not_fit(rng):
    backend = EchoBackend()
    compiled = backend.compile(_artifact(_spec()), CompileOptions(precision="fp16"))
    assert compiled.info.precision is DType.FLOAT16
    assert backend.version() == "for tests"
    with pytest.raises(InputMismatchError):
        backend.predict(compiled, Batch(inputs=_batch(rng, 2).inputs, size=3))


def test_it_refuses_outputs_that_numpy_cannot_hold():
    with pytest.raises(CompileError, match="'y'"):
        EchoBackend().compile(
            _artifact(_spec(TensorSpec(name="y", shape=("batch",), dtype="float8"))), CompileOptions()
        )


def test_release_ends_it(rng):
    backend = EchoBackend()
    compiled = backend.compile(_artifact(_spec()), CompileOptions())
    backend.release(compiled)
    backend.release(compiled)
    with pytest.raises(PredictError, match="released"):
        backend.predict(compiled, _batch(rng, 1))
