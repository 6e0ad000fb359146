"""The reference gives each model to its own framework, through the registry."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from tests.tiny_models import conv_artifact, live, spec_of_conv, trained_conv

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import Batch
from bytemlperf.backends.cpu import ENGINES, CpuBackend, CpuOptions
from bytemlperf.conversion import convert
from bytemlperf.errors import BackendUnavailableError, CompileError, InputMismatchError, PredictError
from bytemlperf.registry import backends
from bytemlperf.spec import DType, Format


def _images(rng, size=3):
    return Batch(inputs={"image": rng.standard_normal((size, 1, 8, 8)).astype(np.float32)}, size=size)


def test_the_formats_are_those_of_the_frameworks_backends():
    engines = {name: backends.get(name) for name in set(ENGINES.values())}
    assert CpuBackend.formats == frozenset().union(*(engine.formats for engine in engines.values()))
    assert all(form in engines[name].formats for form, name in ENGINES.items())
    fixed = {form for form, name in ENGINES.items() if not engines[name].dynamic_batch}
    assert CpuBackend.fixed_batch_formats == fixed == {Format.STABLEHLO}


@pytest.mark.parametrize(
    ("form", "engine", "options"),
    [
        (Format.TORCH, "torch", {"threads": 1}),
        (Format.ONNX, "onnxruntime", {"threads": 1}),
        (Format.TORCHSCRIPT, "torch", {"threads": 1}),
        (Format.STABLEHLO, "stablehlo", {"batch_size": 3}),
    ],
)
def test_each_format_goes_to_its_framework_and_all_agree(tmp_path, rng, form, engine, options):
    artifact = convert(conv_artifact(tmp_path, batch_sizes=(3,)), frozenset({form}), folder=tmp_path)
    backend = CpuBackend()
    compiled = backend.compile(artifact, CpuOptions(**options))
    assert compiled.info.optimizations["engine"] == engine
    batch = _images(rng)
    with torch.no_grad():
        expected = trained_conv().double()(torch.tensor(batch.inputs["image"]).double()).numpy()
    answer = backend.predict(compiled, batch)["logits"]
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)
    backend.release(compiled)
    with pytest.raises(PredictError, match="released"):
        backend.predict(compiled, batch)


def test_what_the_framework_says_of_itself_is_passed_on(tmp_path):
    compiled = CpuBackend().compile(conv_artifact(tmp_path), CpuOptions(precision="fp16"))
    assert compiled.info.precision is DType.FLOAT16
    assert [tensor.dtype for tensor in compiled.info.inputs] == [DType.FLOAT16]
    assert compiled.info.max_in_flight is None


def test_a_live_module_is_taken(rng):
    backend = CpuBackend()
    compiled = backend.compile(live(trained_conv()), CpuOptions())
    assert backend.predict(compiled, _images(rng))["logits"].shape == (3, 10)


def test_what_the_framework_raises_passes_as_it_is(tmp_path):
    backend = CpuBackend()
    compiled = backend.compile(conv_artifact(tmp_path), CpuOptions())
    with pytest.raises(InputMismatchError):
        backend.predict(compiled, Batch(inputs={}, size=1))


def test_threads_reach_the_framework(tmp_path):
    before = torch.get_num_threads()
    backend = CpuBackend()
    compiled = backend.compile(conv_artifact(tmp_path), CpuOptions(threads=before + 1))
    assert compiled.info.optimizations["threads"] == before + 1
    backend.release(compiled)
    assert torch.get_num_threads() == before


def test_only_the_cpu_is_taken(tmp_path):
    with pytest.raises(BackendUnavailableError, match="cuda:0"):
        CpuBackend().compile(conv_artifact(tmp_path), CpuOptions(devices=("cuda:0",)))
    CpuBackend().compile(conv_artifact(tmp_path), CpuOptions(devices=("cpu",)))


def test_threads_that_the_framework_cannot_be_told_are_refused():
    artifact = ModelArtifact(spec=spec_of_conv(), format=Format.STABLEHLO, path="model.mlir")
    with pytest.raises(CompileError, match="'stablehlo' cannot be told how many threads"):
        CpuBackend().compile(artifact, CpuOptions(threads=1, batch_size=1))


def test_an_extra_that_is_missing_is_told_with_how_to_install_it():
    program = """
import sys
sys.modules["jaxlib"] = None
from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.cpu import CpuBackend, CpuOptions
from bytemlperf.spec import Format, ModelSpec
spec = ModelSpec(name="x", framework="stablehlo", format="stablehlo", inputs=(), outputs=())
try:
    CpuBackend().compile(ModelArtifact(spec=spec, format="stablehlo", path="model.mlir"), CpuOptions())
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("BackendUnavailableError backend 'stablehlo' of bytemlperf")
    assert "needs jax and jaxlib" in done.stdout
    assert done.stdout.strip().endswith("pip install 'bytemlperf[stablehlo]'")


def test_it_tells_the_frameworks_versions_and_its_device():
    version = CpuBackend().version()
    assert all(f"{name} {found}" in version for name, found in [("torch", torch.__version__.partition("+")[0])])
    assert "onnxruntime" in version
    assert "tensorflow" in version
    assert "jaxlib" in version
    assert [device.id for device in CpuBackend().devices()] == ["cpu"]


def test_importing_it_loads_no_framework():
    program = """
import sys
from bytemlperf.backends.cpu import CpuBackend
CpuBackend().version(), CpuBackend().devices()
print(sorted({"torch", "tensorflow", "onnxruntime", "jaxlib"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
