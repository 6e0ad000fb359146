"""ONNX Runtime's answers are those of ONNX's own evaluator, by the original's names."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import attrs
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from tests.tiny_models import conv_artifact, wide_and_deep

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import Batch
from bytemlperf.backends.onnxruntime import CPU, OnnxRuntimeBackend, OnnxRuntimeOptions
from bytemlperf.conversion import convert
from bytemlperf.conversion.examples import example_inputs
from bytemlperf.errors import (
    BackendUnavailableError,
    CompileError,
    InputMismatchError,
    OutOfDeviceMemoryError,
    PredictError,
    SpecError,
    UnsupportedOperatorError,
)
from bytemlperf.spec import DType, Format, Framework, ModelSpec, TensorSpec

TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "int32": TensorProto.INT32}


def _value(tensor, dtype=None):
    shape = [str(axis) if not isinstance(axis, int) else axis for axis in tensor.shape]
    return helper.make_tensor_value_info(tensor.file_name, TYPES[dtype or tensor.dtype.value], shape)


def _tensor(name, shape=("batch", 3), dtype="fp32", **fields):
    return TensorSpec(name=name, shape=shape, dtype=dtype, **fields)


def _model(folder, nodes, inputs, outputs, **changed):
    """An artifact of a graph made by hand; `changed` gives inputs another type in the file."""
    graph = helper.make_graph(
        nodes, "g", [_value(each, changed.get(each.name)) for each in inputs], [_value(each) for each in outputs]
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.chip", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    spec = ModelSpec(
        name="tiny-onnx-fp32", framework=Framework.ONNX, format=Format.ONNX, inputs=inputs, outputs=outputs
    )
    return ModelArtifact(spec=spec, format=Format.ONNX, path=path)


def _one(folder, operator, **fields):
    x, y = _tensor("x"), _tensor("y")
    return _model(folder, [helper.make_node(operator, ["x"], ["y"], **fields)], (x,), (y,))


def _compile(artifact, **options):
    backend = OnnxRuntimeBackend()
    return backend, backend.compile(artifact, OnnxRuntimeOptions(**{"threads": 1, **options}))


X = Batch(inputs={"x": np.arange(-3, 3, dtype=np.float32).reshape(2, 3)}, size=2)


@pytest.fixture(scope="module")
def conv(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conv")
    return convert(conv_artifact(folder), frozenset({Format.ONNX}), folder=folder)


@pytest.fixture(scope="module")
def widedeep(tmp_path_factory):
    return convert(wide_and_deep(), frozenset({Format.ONNX}), folder=tmp_path_factory.mktemp("widedeep"))


@pytest.mark.parametrize("size", [1, 2, 7])
def test_the_reference_evaluator_gives_the_same(conv, rng, size):
    backend, compiled = _compile(conv)
    image = rng.standard_normal((size, 1, 8, 8)).astype(np.float32)
    answer = backend.predict(compiled, Batch(inputs={"image": image}, size=size))
    expected = ReferenceEvaluator(str(conv.path)).run(["out.logits:0"], {"image": image})[0]
    assert list(answer) == ["logits"]
    np.testing.assert_allclose(answer["logits"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("level", ["disable", "basic", "extended", "all"])
def test_rewriting_the_graph_leaves_the_answer(conv, rng, level):
    backend, compiled = _compile(conv, graph_optimization=level)
    assert compiled.info.optimizations["graph_optimization"] == level
    image = rng.standard_normal((2, 1, 8, 8)).astype(np.float32)
    expected = ReferenceEvaluator(str(conv.path)).run(["out.logits:0"], {"image": image})[0]
    answer = backend.predict(compiled, Batch(inputs={"image": image}, size=2))["logits"]
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


def test_the_level_of_optimisation_reaches_the_session(conv):
    levels = {}
    for level in ("disable", "all"):
        _, compiled = _compile(conv, graph_optimization=level, parallel_threads=2, memory_arena=False, spinning=False)
        options = compiled.handle.session.get_session_options()
        levels[level] = options.graph_optimization_level
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 2)
        assert options.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
        assert not options.enable_cpu_mem_arena
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert levels["disable"] == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert levels["all"] == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL


@pytest.mark.parametrize("size", [1, 3])
def test_tensors_are_matched_by_the_originals_names(widedeep, size):
    backend, compiled = _compile(widedeep)
    inputs = example_inputs(widedeep.spec, size)
    answer = backend.predict(compiled, Batch(inputs=dict(reversed(inputs.items())), size=size))
    names = {"new_categorical:0": "ids", "mask": "mask", "scale": "scale"}
    feed = {in_file: inputs[name] for in_file, name in names.items()}
    score, kept, is_long = ReferenceEvaluator(str(widedeep.path)).run(["score:0", "kept:0", "is_long"], feed)
    np.testing.assert_allclose(answer["score"], score, rtol=1e-5)
    np.testing.assert_array_equal(answer["kept"], kept)
    np.testing.assert_array_equal(answer["is_long"], is_long)


def test_segments_count_the_operators_of_the_file(conv):
    _, compiled = _compile(conv)
    (segment,) = compiled.info.segments
    assert segment.device == CPU
    assert not segment.fallback
    assert segment.operators == len(onnx.load(conv.path).graph.node)
    assert compiled.info.coverage == 1.0


def test_what_falls_back_is_counted_by_provider():
    from bytemlperf.backends.onnxruntime import _segments

    class Part:
        def __init__(self, name, nodes):
            self.ep_name, self._nodes = name, nodes

        def get_nodes(self):
            return ["node"] * self._nodes

    class Session:
        def get_provider_graph_assignment_info(self):
            return [Part("Chip", 3), Part("CPUExecutionProvider", 1), Part("Chip", 4)]

    fallback, chip = _segments(Session(), "Chip")
    assert (chip.operators, chip.fallback) == (7, False)
    assert (fallback.operators, fallback.fallback) == (1, True)
    assert _segments(object(), "Chip") is None


def test_an_input_of_another_type_in_the_file_is_told_to_the_harness(tmp_path):
    ids, y = _tensor("ids", ("batch",), "int64"), _tensor("y", ("batch",), "int64")
    nodes = [helper.make_node("Cast", ["ids"], ["y"], to=TensorProto.INT64)]
    backend, compiled = _compile(_model(tmp_path, nodes, (ids,), (y,), ids="int32"))
    assert [tensor.dtype for tensor in compiled.info.inputs] == [DType.INT32]
    answer = backend.predict(compiled, Batch(inputs={"ids": np.array([5, 6], np.int32)}, size=2))
    np.testing.assert_array_equal(answer["y"], [5, 6])


def test_a_half_precision_model_runs_in_half_precision(tmp_path, rng):
    artifact = convert(conv_artifact(tmp_path, precision="fp16"), frozenset({Format.ONNX}), folder=tmp_path)
    backend, compiled = _compile(artifact)
    assert compiled.info.precision is DType.FLOAT16
    assert [tensor.dtype for tensor in compiled.info.inputs] == [DType.FLOAT16]
    image = rng.standard_normal((2, 1, 8, 8)).astype(np.float16)
    answer = backend.predict(compiled, Batch(inputs={"image": image}, size=2))["logits"]
    expected = ReferenceEvaluator(str(artifact.path)).run(None, {"image": image})[0]
    assert answer.dtype == np.float16
    np.testing.assert_allclose(answer, expected, atol=1e-2 * np.abs(expected).max())


def test_answers_stay_as_they_are_when_more_queries_come(conv, rng):
    backend, compiled = _compile(conv)
    batches = [Batch(inputs={"image": rng.standard_normal((3, 1, 8, 8)).astype(np.float32)}, size=3) for _ in range(4)]
    first = backend.predict(compiled, batches[0])["logits"]
    before = first.copy()
    for batch in batches[1:]:
        backend.predict(compiled, batch)
    np.testing.assert_array_equal(first, before)


def test_an_answer_that_is_the_input_is_a_copy(tmp_path):
    backend, compiled = _compile(_one(tmp_path, "Identity"))
    answer = backend.predict(compiled, X)["y"]
    assert not np.shares_memory(answer, X.inputs["x"])
    np.testing.assert_array_equal(answer, X.inputs["x"])


def test_read_only_inputs_are_taken(tmp_path):
    array = X.inputs["x"].copy()
    array.flags.writeable = False
    backend, compiled = _compile(_one(tmp_path, "Relu"))
    answer = backend.predict(compiled, Batch(inputs={"x": array}, size=2))["y"]
    np.testing.assert_array_equal(answer, np.maximum(array, 0))


def test_queries_side_by_side_get_their_own_answers(conv, rng):
    backend, compiled = _compile(conv)
    assert compiled.info.max_in_flight is None
    batches = [
        Batch(inputs={"image": rng.standard_normal((size, 1, 8, 8)).astype(np.float32)}, size=size)
        for size in (1, 2, 3, 4) * 8
    ]
    alone = [backend.predict(compiled, batch)["logits"] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda batch: backend.predict(compiled, batch)["logits"], batches))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "operator"),
    [({}, "Fooify"), ({"domain": "my.chip"}, "my.chip:Fooify")],
    ids=["standard domain", "vendor's domain"],
)
def test_an_unknown_operator_is_named(tmp_path, fields, operator):
    with pytest.raises(UnsupportedOperatorError, match="tiny-onnx-fp32") as caught:
        _compile(_one(tmp_path, "Fooify", **fields))
    assert caught.value.operator == operator


def test_an_operator_without_a_kernel_for_its_type_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(TYPES, "float32", TensorProto.BFLOAT16)
    with pytest.raises(UnsupportedOperatorError) as caught:
        _compile(_one(tmp_path, "Erf"))
    assert caught.value.operator == "Erf"


def test_a_file_that_is_no_onnx_is_refused(tmp_path, capfd):
    artifact = _one(tmp_path, "Relu")
    artifact.path.write_bytes(os.urandom(100))
    with pytest.raises(CompileError, match="cannot compile tiny-onnx-fp32"):
        _compile(artifact)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("changed", "tensor"),
    [
        ({"inputs": (_tensor("x", original_name="X:0"),)}, "x"),
        ({"inputs": (_tensor("x"), _tensor("z"))}, "z"),
        ({"inputs": ()}, "x"),
        ({"outputs": (_tensor("logits"),)}, "logits"),
    ],
)
def test_a_file_with_other_names_than_the_spec_is_refused(tmp_path, changed, tensor):
    artifact = _one(tmp_path, "Relu")
    with pytest.raises(CompileError, match="are not those of its file") as caught:
        _compile(attrs.evolve(artifact, spec=attrs.evolve(artifact.spec, **changed)))
    assert caught.value.tensor == tensor


def test_outputs_that_the_spec_leaves_out_are_left_out(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    artifact = _model(tmp_path, nodes, (_tensor("x"),), (_tensor("y"), _tensor("z")))
    backend, compiled = _compile(
        attrs.evolve(artifact, spec=attrs.evolve(artifact.spec, outputs=artifact.spec.outputs[1:]))
    )
    answer = backend.predict(compiled, X)
    assert list(answer) == ["z"]
    np.testing.assert_array_equal(answer["z"], -X.inputs["x"])


def test_a_file_for_one_batch_size_refuses_others_and_names_the_input(tmp_path):
    artifact = _model(
        tmp_path,
        [helper.make_node("Relu", ["in"], ["y"])],
        (_tensor("x", (1, 3), original_name="in"),),
        (_tensor("y", (1, 3)),),
    )
    dynamic = attrs.evolve(artifact.spec, inputs=(_tensor("x", original_name="in"),))
    backend, compiled = _compile(attrs.evolve(artifact, spec=dynamic))
    with pytest.raises(InputMismatchError) as caught:
        backend.predict(compiled, X)
    assert caught.value.tensor == "x"


def test_an_operator_that_fails_is_named(tmp_path, capfd):
    row, y = _tensor("row", (1,), "int64"), _tensor("y", (1, 3))
    nodes = [helper.make_node("Gather", ["x", "row"], ["y"], axis=0)]
    backend, compiled = _compile(_model(tmp_path, nodes, (_tensor("x"), row), (y,)))
    with pytest.raises(PredictError, match="out of data bounds") as caught:
        backend.predict(compiled, Batch(inputs={**X.inputs, "row": np.array([9])}, size=2))
    assert caught.value.operator == "Gather"
    assert type(caught.value) is PredictError


def test_too_little_memory_is_told_as_such(tmp_path):
    length, y = _tensor("length", (1,), "int64"), _tensor("y", ("n",))
    artifact = _model(tmp_path, [helper.make_node("ConstantOfShape", ["length"], ["y"])], (length,), (y,))
    backend, compiled = _compile(artifact)
    with pytest.raises(OutOfDeviceMemoryError):
        backend.predict(compiled, Batch(inputs={"length": np.array([2**44])}, size=1))


def test_wrong_inputs_name_the_tensor(conv):
    backend, compiled = _compile(conv)
    with pytest.raises(InputMismatchError) as caught:
        backend.predict(compiled, Batch(inputs={"image": np.zeros((2, 1, 8, 7), np.float32)}, size=2))
    assert caught.value.tensor == "image"


def test_another_precision_than_the_files_is_refused(conv):
    with pytest.raises(CompileError, match="expected one of fp32"):
        _compile(conv, precision="fp16")
    _, compiled = _compile(conv, precision="fp32")
    assert compiled.info.precision is DType.FLOAT32


@pytest.mark.parametrize("device", ["CUDAExecutionProvider", "cpu"])
def test_a_provider_that_is_not_there_is_refused_with_those_that_are(conv, device, recwarn):
    with pytest.raises(BackendUnavailableError, match=CPU):
        _compile(conv, devices=(device,))
    assert not recwarn.list


def test_release_is_harmless_twice_and_ends_queries(tmp_path):
    backend, compiled = _compile(_one(tmp_path, "Relu"))
    backend.release(compiled)
    backend.release(compiled)
    with pytest.raises(PredictError, match="released"):
        backend.predict(compiled, X)


def test_it_tells_its_versions_and_devices():
    backend = OnnxRuntimeBackend()
    assert onnxruntime.__version__ in backend.version()
    assert CPU in [device.id for device in backend.devices()]


def test_an_unknown_level_is_refused():
    with pytest.raises(SpecError, match="one of disable, basic, extended, all"):
        OnnxRuntimeOptions(graph_optimization="most")
