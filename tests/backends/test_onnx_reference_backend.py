"""ONNX's reference evaluator as a backend: what the standard says, worked out by hand or by numpy."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.tiny_models import conv_artifact, trained_conv, wide_and_deep

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import Batch, get
from bytemlperf.backends.compiled import CompileOptions
from bytemlperf.conversion import convert
from bytemlperf.conversion.examples import example_inputs
from bytemlperf.errors import (
    ArtifactError,
    BackendUnavailableError,
    CompileError,
    InputMismatchError,
    PredictError,
    UnsupportedOperatorError,
    WeightsUnavailableError,
)
from bytemlperf.spec import DType, Format, Framework, ModelSpec, TensorSpec

TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "bfloat16": TensorProto.BFLOAT16}


def _value(tensor, dtype=None):
    shape = [str(axis) if not isinstance(axis, int) else axis for axis in tensor.shape]
    return helper.make_tensor_value_info(tensor.file_name, TYPES[dtype or tensor.dtype.value], shape)


def _tensor(name, dtype="fp32", **fields):
    return TensorSpec(name=name, shape=("batch", 3), dtype=dtype, **fields)


def _model(folder, nodes, inputs, outputs, weights=(), **changed):
    graph = helper.make_graph(
        nodes,
        "g",
        [_value(each, changed.get(each.name)) for each in inputs],
        [_value(each) for each in outputs],
        weights,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.chip", 1)]
    path = folder / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    spec = ModelSpec(
        name="tiny-onnx-fp32", framework=Framework.ONNX, format=Format.ONNX, inputs=inputs, outputs=outputs
    )
    return ModelArtifact(spec=spec, format=Format.ONNX, path=path)


def _one(folder, operator, **fields):
    return _model(folder, [helper.make_node(operator, ["x"], ["y"], **fields)], (_tensor("x"),), (_tensor("y"),))


def _compile(artifact, **options):
    backend = get("onnx-reference")()
    return backend, backend.compile(artifact, CompileOptions(**options))


X = Batch(inputs={"x": np.arange(-3, 3, dtype=np.float32).reshape(2, 3)}, size=2)


@pytest.mark.parametrize("size", [1, 4])
def test_it_computes_what_the_module_computes(tmp_path, rng, size):
    import torch

    artifact = convert(conv_artifact(tmp_path), frozenset({Format.ONNX}), folder=tmp_path)
    backend, compiled = _compile(artifact)
    image = rng.standard_normal((size, 1, 8, 8)).astype(np.float32)
    with torch.no_grad():
        expected = trained_conv()(torch.from_numpy(image)).numpy()
    answer = backend.predict(compiled, Batch(inputs={"image": image}, size=size))
    assert list(answer) == ["logits"]
    np.testing.assert_allclose(answer["logits"], expected, rtol=1e-4, atol=1e-5)


def test_tensors_are_matched_by_name_and_not_by_position(tmp_path):
    artifact = convert(wide_and_deep(), frozenset({Format.ONNX}), folder=tmp_path)
    inputs = example_inputs(artifact.spec, 3)
    backend, compiled = _compile(artifact)
    answer = backend.predict(compiled, Batch(inputs=dict(reversed(inputs.items())), size=3))
    runtime = get("onnxruntime")()
    other = runtime.predict(runtime.compile(artifact, runtime.options_type(threads=1)), Batch(inputs=inputs, size=3))
    assert set(answer) == {tensor.name for tensor in artifact.spec.outputs}
    for name, value in answer.items():
        np.testing.assert_allclose(value, other[name], rtol=1e-5, err_msg=name)


def test_it_says_what_it_did(tmp_path):
    backend, compiled = _compile(_one(tmp_path, "Relu"))
    assert (compiled.info.precision, compiled.info.devices) == (DType.FLOAT32, ("cpu",))
    assert (compiled.info.coverage, compiled.info.segments[0].operators) == (1.0, 1)
    assert compiled.info.max_in_flight == 1
    assert compiled.info.inputs is None
    assert backend.version() == f"onnx {onnx.__version__}"
    assert [device.id for device in backend.devices()] == ["cpu"]


def test_answers_are_the_callers_own(tmp_path):
    weight = helper.make_tensor("w", TensorProto.FLOAT, (1, 3), [1.0, 2.0, 3.0])
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["w"], ["z"])]
    artifact = _model(tmp_path, nodes, (_tensor("x"),), (_tensor("y"), _tensor("z")), (weight,))
    backend, compiled = _compile(artifact)
    first = backend.predict(compiled, X)
    assert not np.shares_memory(first["y"], X.inputs["x"])
    first["z"][:] = 0
    np.testing.assert_array_equal(backend.predict(compiled, X)["z"], [[1, 2, 3]])


def test_bfloat16_is_widened(tmp_path):
    y = _tensor("y", dtype="bf16")
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)
    backend, compiled = _compile(_model(tmp_path, [cast], (_tensor("x"),), (y,)))
    answer = backend.predict(compiled, X)["y"]
    assert answer.dtype == np.float32
    np.testing.assert_array_equal(answer, X.inputs["x"])


def test_the_files_own_types_are_what_the_engine_takes(tmp_path):
    relu = helper.make_node("Relu", ["x"], ["y"])
    artifact = _model(tmp_path, [relu], (_tensor("x"),), (_tensor("y", dtype="fp64"),), x="float64")
    backend, compiled = _compile(artifact)
    assert [tensor.dtype for tensor in compiled.info.inputs] == [DType.FLOAT64]
    with pytest.raises(InputMismatchError, match="float64") as caught:
        backend.predict(compiled, X)
    assert caught.value.tensor == "x"
    taken = Batch(inputs={"x": X.inputs["x"].astype(np.float64)}, size=2)
    np.testing.assert_array_equal(backend.predict(compiled, taken)["y"], np.maximum(X.inputs["x"], 0))


@pytest.mark.parametrize("domain", ["", "my.chip"])
def test_an_operator_without_an_implementation_is_named(tmp_path, domain):
    with pytest.raises(UnsupportedOperatorError) as caught:
        _compile(_one(tmp_path, "Sparkle", domain=domain))
    assert caught.value.operator == "Sparkle"


def test_a_graph_that_breaks_the_standard_is_refused(tmp_path):
    with pytest.raises(CompileError, match="equation"):
        _compile(_one(tmp_path, "Einsum"))


def test_a_failing_operator_is_a_predict_error(tmp_path):
    shape = helper.make_tensor("s", TensorProto.INT64, (1,), [7])
    reshape = helper.make_node("Reshape", ["x", "s"], ["y"])
    backend, compiled = _compile(_model(tmp_path, [reshape], (_tensor("x"),), (_tensor("y"),), (shape,)))
    with pytest.raises(PredictError, match="reshape"):
        backend.predict(compiled, X)


def test_names_that_the_file_does_not_have_are_refused(tmp_path):
    relu = helper.make_node("Relu", ["x"], ["y"])
    path = _model(tmp_path, [relu], (_tensor("x"),), (_tensor("y"),)).path
    for inputs, outputs, wrong in (("z", "y", "z"), ("x", "q", "q")):
        spec = ModelSpec(
            name="t", framework=Framework.ONNX, format=Format.ONNX,
            inputs=(_tensor(inputs),), outputs=(_tensor(outputs),),
        )  # fmt: skip
        with pytest.raises(CompileError, match="not those of its file") as caught:
            _compile(ModelArtifact(spec=spec, format=Format.ONNX, path=path))
        assert caught.value.tensor == wrong


def test_what_is_no_model_or_not_there_is_said(tmp_path):
    artifact = _one(tmp_path, "Relu")
    artifact.path.write_bytes(b"no model")
    with pytest.raises(ArtifactError):
        _compile(artifact)
    artifact.path.unlink()
    with pytest.raises(WeightsUnavailableError):
        _compile(artifact)


def test_it_has_one_device_and_one_precision(tmp_path):
    artifact = _one(tmp_path, "Relu")
    with pytest.raises(BackendUnavailableError, match="cuda:0"):
        _compile(artifact, devices=("cuda:0",))
    with pytest.raises(CompileError, match="float16"):
        _compile(artifact, precision="fp16")


def test_release_twice_is_harmless_and_ends_it(tmp_path):
    backend, compiled = _compile(_one(tmp_path, "Relu"))
    backend.release(compiled)
    backend.release(compiled)
    with pytest.raises(PredictError, match="released"):
        backend.predict(compiled, X)
