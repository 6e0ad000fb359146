"""StableHLO from torch, run by XLA: equal to torch, at the batch sizes that there are, and typed errors else."""

from __future__ import annotations

import json

import attrs
import numpy as np
import pytest
import torch

from bytemlperf import zoo
from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.compiled import CompileOptions
from bytemlperf.backends.stablehlo import StableHloBackend
from bytemlperf.conversion import convert
from bytemlperf.conversion.torch_module import torch_artifact_module
from bytemlperf.errors import (
    ArtifactError,
    BackendUnavailableError,
    CompileError,
    ConversionError,
    InputMismatchError,
    PredictError,
)
from bytemlperf.sample import Batch
from bytemlperf.spec import Format, Framework, ModelSpec, TensorSpec

ADDING = """module {
  func.func @main(%a: tensor<2x3xi64>) -> tensor<2x3xi64> {
    %0 = stablehlo.add %a, %a : tensor<2x3xi64>
    return %0 : tensor<2x3xi64>
  }
}"""


@pytest.fixture(scope="module")
def torch_artifact(tmp_path_factory):
    return zoo.resolve("digits-resnet-torch-fp32", cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def artifact(torch_artifact, tmp_path_factory):
    few = attrs.evolve(torch_artifact, spec=attrs.evolve(torch_artifact.spec, batch_sizes=(3,)))
    return convert(few, frozenset({Format.STABLEHLO}), folder=tmp_path_factory.mktemp("converted"))


class Fallen(torch.nn.Module):
    def forward(self, image):
        return torch.special.bessel_j0(image)


def test_an_operator_that_torch_mlir_does_not_know_is_told(tmp_path, rng):
    live = zoo.from_module(Fallen(), rng.random((2, 3), dtype=np.float32))

    with pytest.raises(ConversionError, match="torch-mlir cannot bring Fallen"):
        convert(live, frozenset({Format.STABLEHLO}), folder=tmp_path)


def batch_of(images):
    return Batch(inputs={"image": images}, size=len(images))


@pytest.mark.parametrize("size", [1, 3])
def test_xla_answers_as_torch(artifact, torch_artifact, size, rng):
    images = rng.random((size, 1, 8, 8), dtype=np.float32)
    backend = StableHloBackend()

    compiled = backend.compile(artifact, CompileOptions(batch_size=size))
    logits = backend.predict(compiled, batch_of(images))["logits"]

    with torch.no_grad():
        expected = torch_artifact_module(torch_artifact)(torch.from_numpy(images)).numpy()
    assert np.abs(logits - expected).max() / np.abs(expected).max() < 1e-5
    assert logits.flags.owndata


def test_weights_are_arguments_and_not_in_the_text(artifact):
    index = json.loads(artifact.path.read_text())

    assert "fc.weight" in index["arguments"]
    assert set(index["modules"]) == {"1", "3"}
    assert set(index["sha256"]) == {"batch-1.mlir", "batch-3.mlir", "weights.safetensors"}
    assert artifact.path.with_name("batch-1.mlir").stat().st_size < 100_000


def test_another_batch_size_device_precision_or_input_is_refused(artifact):
    backend = StableHloBackend()
    compiled = backend.compile(artifact, CompileOptions(batch_size=3))

    with pytest.raises(CompileError, match="no module of this batch size; got 2"):
        backend.compile(artifact, CompileOptions(batch_size=2))
    with pytest.raises(BackendUnavailableError):
        backend.compile(artifact, CompileOptions(batch_size=1, devices=("tpu",)))
    with pytest.raises(CompileError):
        backend.compile(artifact, CompileOptions(batch_size=1, precision="int8"))
    with pytest.raises(InputMismatchError):
        backend.predict(compiled, batch_of(np.zeros((3, 1, 8, 9), np.float32)))
    backend.release(compiled)
    backend.release(compiled)
    with pytest.raises(PredictError):
        backend.predict(compiled, batch_of(np.zeros((3, 1, 8, 8), np.float32)))


def made(path, text):
    path.write_text(text)
    tensor = TensorSpec(name="a", shape=("batch", 3), dtype="int64")
    spec = ModelSpec(
        name="made-stablehlo-fp32",
        framework=Framework.STABLEHLO,
        format=Format.STABLEHLO,
        inputs=(tensor,),
        outputs=(attrs.evolve(tensor, name="b"),),
    )
    return ModelArtifact(spec=spec, format=Format.STABLEHLO, path=path)


def test_a_plain_module_keeps_whole_numbers_of_64_bits(tmp_path):
    backend = StableHloBackend()
    compiled = backend.compile(made(tmp_path / "m.mlir", ADDING), CompileOptions(batch_size=2))
    given = np.array([[1, 2, 3], [2**40, 0, -1]])

    found = backend.predict(compiled, Batch(inputs={"a": given}, size=2))["b"]

    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, 2 * given)


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("m.mlir", "module { nonsense }", CompileError),
        ("m.stablehlo", "no index", ArtifactError),
        ("m.stablehlo", '{"modules": {"2": "batch-2.mlir"}, "weights": "../w.safetensors"}', ArtifactError),
    ],
)
def test_files_that_are_none_are_refused(tmp_path, name, text, error):
    with pytest.raises(error):
        StableHloBackend().compile(made(tmp_path / name, text), CompileOptions(batch_size=2))
