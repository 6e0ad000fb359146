"""TensorFlow's answers are those of the graph's own mathematics, with arguments matched by name."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import attrs
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import Batch
from bytemlperf.backends.tensorflow import CPU, TensorFlowBackend, TensorFlowOptions
from bytemlperf.errors import (
    BackendUnavailableError,
    CompileError,
    InputMismatchError,
    OutOfDeviceMemoryError,
    PredictError,
    UnsupportedOperatorError,
    WeightsUnavailableError,
)
from bytemlperf.spec import DType, Format, Framework, ModelSpec, TensorSpec

WEIGHT = np.arange(6, dtype=np.float32).reshape(3, 2)


class _Difference(tf.Module):
    """Arguments whose order matters, in an order that is not the alphabet's."""

    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(WEIGHT)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 3], tf.float32, name="minuend"),
            tf.TensorSpec([None, 3], tf.float32, name="less"),
            tf.TensorSpec([], tf.int32, name="row"),
        ]
    )
    def serve(self, minuend, less, row):
        difference = minuend - less
        return {
            "scores": difference @ self.weight,
            "row": tf.gather(difference, row),
            "brief": tf.cast(difference, tf.bfloat16),
            "own": self.weight.read_value(),
            "given": tf.identity(minuend),
        }


class _Huge(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([], tf.int64, name="length")])
    def serve(self, length):
        return {"y": tf.random.uniform([length])}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tensorflow") / "model"
    module = _Difference()
    tf.saved_model.save(module, path, signatures={"serving_default": module.serve})
    return path


def _spec(**fields):
    rows = ("batch", 3)
    defaults = {
        "name": "difference-tf-fp32",
        "framework": Framework.TENSORFLOW,
        "format": Format.SAVED_MODEL,
        "inputs": (
            TensorSpec(name="a", original_name="minuend:0", shape=rows, dtype="fp32"),
            TensorSpec(name="b", original_name="less", shape=rows, dtype="fp32"),
            TensorSpec(name="row", shape=(), dtype="int32"),
        ),
        "outputs": (
            TensorSpec(name="scores", shape=("batch", 2), dtype="fp32"),
            TensorSpec(name="picked", original_name="row:0", shape=(3,), dtype="fp32"),
        ),
    }
    return ModelSpec(**{**defaults, **fields})


def _artifact(folder, **fields):
    return ModelArtifact(spec=_spec(**fields), format=Format.SAVED_MODEL, path=folder)


def _compile(artifact, **options):
    backend = TensorFlowBackend()
    return backend, backend.compile(artifact, TensorFlowOptions(**options))


def _batch(rng, size=3, row=0):
    a, b = (rng.standard_normal((size, 3)).astype(np.float32) for _ in range(2))
    return Batch(inputs={"row": np.array(row, np.int32), "b": b, "a": a}, size=size)


def _output(name, shape):
    return TensorSpec(name=name, shape=shape, dtype="fp32")


@pytest.mark.parametrize("size", [1, 2, 7])
def test_arguments_and_outputs_are_matched_by_name(folder, rng, size):
    backend, compiled = _compile(_artifact(folder))
    batch = _batch(rng, size)
    answer = backend.predict(compiled, batch)
    difference = batch.inputs["a"] - batch.inputs["b"]
    assert list(answer) == ["scores", "picked"]
    np.testing.assert_allclose(answer["scores"], difference @ WEIGHT, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(answer["picked"], difference[0], rtol=1e-6)


def test_bfloat16_answers_come_as_float32(folder, rng):
    outputs = (TensorSpec(name="brief", shape=("batch", 3), dtype="bf16"),)
    backend, compiled = _compile(_artifact(folder, outputs=outputs))
    batch = _batch(rng)
    answer = backend.predict(compiled, batch)["brief"]
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, batch.inputs["a"] - batch.inputs["b"], rtol=1e-2)


def test_answers_are_the_callers_own(folder, rng):
    outputs = (_output("own", (3, 2)), _output("given", ("batch", 3)))
    backend, compiled = _compile(_artifact(folder, outputs=outputs))
    batch = _batch(rng)
    kept = batch.inputs["a"].copy()
    answer = backend.predict(compiled, batch)
    answer["own"][:] = 99
    answer["given"][:] = 99
    np.testing.assert_array_equal(batch.inputs["a"], kept)
    again = backend.predict(compiled, _batch(rng))
    np.testing.assert_array_equal(again["own"], WEIGHT)
    assert np.all(answer["own"] == 99)


def test_read_only_inputs_are_taken(folder, rng):
    backend, compiled = _compile(_artifact(folder))
    batch = _batch(rng)
    expected = backend.predict(compiled, batch)["scores"]
    for array in batch.inputs.values():
        array.flags.writeable = False
    np.testing.assert_array_equal(backend.predict(compiled, batch)["scores"], expected)


def test_queries_side_by_side_get_their_own_answers(folder, rng):
    backend, compiled = _compile(_artifact(folder))
    assert compiled.info.max_in_flight is None
    batches = [_batch(rng, size) for size in (1, 2, 3, 4) * 8]
    alone = [backend.predict(compiled, batch)["scores"] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda batch: backend.predict(compiled, batch)["scores"], batches))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_argument_of_another_type_than_the_spec_is_told_to_the_harness(folder):
    inputs = (*_spec().inputs[:2], TensorSpec(name="row", shape=(), dtype="int64"))
    _, compiled = _compile(_artifact(folder, inputs=inputs))
    assert [tensor.dtype for tensor in compiled.info.inputs] == [DType.FLOAT32, DType.FLOAT32, DType.INT32]
    assert _compile(_artifact(folder))[1].info.inputs is None


@pytest.mark.parametrize(
    ("fields", "tensor"),
    [
        ({"inputs": (*_spec().inputs[:2], TensorSpec(name="rank", shape=(), dtype="int32"))}, "rank"),
        ({"inputs": _spec().inputs[:2]}, "row"),
        ({"outputs": (_output("logits", ("batch", 2)),)}, "logits"),
    ],
    ids=["unknown input", "input that nothing feeds", "unknown output"],
)
def test_a_signature_that_does_not_fit_the_spec_is_refused(folder, fields, tensor):
    with pytest.raises(CompileError, match="difference-tf-fp32") as caught:
        _compile(_artifact(folder, **fields))
    assert caught.value.tensor == tensor


def test_a_model_of_which_no_signature_fits_is_refused(tmp_path):
    tf.saved_model.save(_Huge(), tmp_path / "model", signatures={"other": _Huge().serve})
    with pytest.raises(CompileError, match=r"no signature of the SavedModel.*other"):
        _compile(_artifact(tmp_path / "model"))


def test_the_signature_that_fits_the_spec_is_taken_whatever_its_name(folder, tmp_path):
    loaded = tf.saved_model.load(str(folder))
    signatures = {"another": loaded.signatures["serving_default"]}
    tf.saved_model.save(loaded, str(tmp_path / "model"), signatures=signatures)
    assert _compile(_artifact(tmp_path / "model"))


def _changed(folder, tmp_path, change):
    copy = shutil.copytree(folder, tmp_path / "copy")
    file = copy / "saved_model.pb"
    model = saved_model_pb2.SavedModel()
    model.ParseFromString(file.read_bytes())
    nodes = [node for function in model.meta_graphs[0].graph_def.library.function for node in function.node_def]
    change(nodes)
    file.write_bytes(model.SerializeToString())
    return copy


def test_an_unknown_operator_is_named(folder, tmp_path):
    def change(nodes):
        for node in nodes:
            node.op = node.op.replace("MatMul", "ChipMul")

    with pytest.raises(UnsupportedOperatorError) as caught:
        _compile(_artifact(_changed(folder, tmp_path, change)))
    assert caught.value.operator == "ChipMul"


def test_a_file_that_is_no_saved_model_is_refused(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"garbage")
    with pytest.raises(CompileError, match="TensorFlow cannot load difference-tf-fp32"):
        _compile(_artifact(tmp_path))
    with pytest.raises(WeightsUnavailableError):
        _compile(_artifact(tmp_path / "gone"))


def test_an_operator_that_fails_is_told(folder, rng):
    backend, compiled = _compile(_artifact(folder))
    with pytest.raises(PredictError, match="not in") as caught:
        backend.predict(compiled, _batch(rng, row=9))
    assert "Gather" in caught.value.operator
    assert type(caught.value) is PredictError


@pytest.mark.slow  # TensorFlow's allocator waits ten seconds for memory to come back
def test_too_little_memory_is_told_as_such(tmp_path):
    module = _Huge()
    tf.saved_model.save(module, tmp_path / "model", signatures={"serving_default": module.serve})
    inputs = (TensorSpec(name="length", shape=(), dtype="int64"),)
    backend, compiled = _compile(_artifact(tmp_path / "model", inputs=inputs, outputs=(_output("y", ("batch",)),)))
    with pytest.raises(OutOfDeviceMemoryError, match="smaller batch"):
        backend.predict(compiled, Batch(inputs={"length": np.array(2**44)}, size=1))


def test_wrong_inputs_name_the_tensor(folder, rng):
    backend, compiled = _compile(_artifact(folder))
    batch = _batch(rng)
    with pytest.raises(InputMismatchError) as caught:
        backend.predict(compiled, attrs.evolve(batch, inputs={**batch.inputs, "b": np.zeros((3, 3))}))
    assert caught.value.tensor == "b"


def test_another_precision_than_the_models_is_refused(folder):
    with pytest.raises(CompileError, match="expected one of fp32"):
        _compile(_artifact(folder), precision="bf16")
    assert _compile(_artifact(folder), precision="fp32")[1].info.precision is DType.FLOAT32


@pytest.mark.parametrize("device", ["CPU:0", "cpu", "/CPU:0", "/device:CPU:0"])
def test_the_cpu_has_tensorflows_own_names(folder, rng, device):
    backend, compiled = _compile(_artifact(folder), devices=(device,))
    assert compiled.info.devices == (CPU,)
    assert backend.predict(compiled, _batch(rng))["scores"].shape == (3, 2)


@pytest.mark.parametrize("device", ["GPU:99", "CPU:1", "chip"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(folder, device):
    with pytest.raises(BackendUnavailableError, match=CPU):
        _compile(_artifact(folder), devices=(device,))


def test_release_is_harmless_twice_and_ends_queries(folder, rng):
    backend, compiled = _compile(_artifact(folder))
    backend.release(compiled)
    backend.release(compiled)
    with pytest.raises(PredictError, match="released"):
        backend.predict(compiled, _batch(rng))


def test_it_tells_its_versions_and_devices():
    backend = TensorFlowBackend()
    assert tf.__version__ in backend.version()
    assert CPU in [device.id for device in backend.devices()]


def test_threads_cannot_be_chosen_once_tensorflow_has_run(folder, rng):
    backend, compiled = _compile(_artifact(folder))
    backend.predict(compiled, _batch(rng))
    with pytest.raises(CompileError, match="worker of its own"):
        _compile(_artifact(folder), threads=3)


PROGRAM = """
import sys
from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.tensorflow import TensorFlowBackend, TensorFlowOptions
from bytemlperf.spec import from_json
import json, tensorflow as tf
artifact = from_json(ModelArtifact, json.loads(sys.argv[1]))
compile = TensorFlowBackend().compile
print(compile(artifact, TensorFlowOptions(threads=3)).info.optimizations["threads"])
print(compile(artifact, TensorFlowOptions(threads=3)).info.optimizations["threads"])
print(tf.config.threading.get_intra_op_parallelism_threads())
"""


@pytest.mark.slow
def test_threads_can_be_chosen_in_a_new_process(folder):
    import json

    from bytemlperf.spec import to_json

    argument = json.dumps(to_json(_artifact(folder)))
    done = subprocess.run([sys.executable, "-c", PROGRAM, argument], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["3", "3", "3"]
