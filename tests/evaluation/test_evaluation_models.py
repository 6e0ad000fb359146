"""Models as people have them: their own file, a live module, the catalog's; each against an independent reference."""

from __future__ import annotations

import json
from types import SimpleNamespace

import attrs
import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import save_file
from tests.waves import ECHO, codes, keys, labelled, load, samples, wave_model
from torch import nn

from bytemlperf import ArrayLoader, DType, Format, Limits, ModelArtifact, ModelSpec, run, zoo
from bytemlperf.conversion.weight_files import INDEX, SINGLE
from bytemlperf.errors import HarnessError
from bytemlperf.evaluation.reference import choose_reference
from bytemlperf.registry import backends
from bytemlperf.report import Status
from bytemlperf.spec import Framework

FIELDS = {"batch_sizes": [4], "scenarios": [load()], "numeric_samples": 6, "limits": Limits(grace_s=10.0)}


class Residual(nn.Module):
    """A few layers as a ResNet has them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, image):
        features = torch.relu(self.norm(self.conv(image)))
        features = torch.relu(features + self.inner(features))
        return self.head(features.mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def live():
    torch.manual_seed(3)
    module = Residual().eval()
    with torch.no_grad():
        module.norm.running_mean.normal_()
        module.norm.running_var.uniform_(0.5, 2)
    return zoo.from_module(module, torch.randn(2, 1, 8, 8))


def _images(module, count=10):
    """Images with the classes that the module gives them."""
    images = np.random.default_rng(4).standard_normal((count, 1, 8, 8)).astype(np.float32)
    with torch.no_grad():
        labels = module(torch.from_numpy(images)).argmax(dim=1).numpy()
    return ArrayLoader(image=images, labels=labels, metric="top1")


def _is_right(report, *, isolation="worker"):
    assert (report.status, codes(report)) == (Status.COMPLETE, [])
    assert str(report.backend.isolation) == isolation
    assert [row.passed for row in report.rows if row.kind == "numeric"] == [True]
    assert report.metrics["accuracy/top1"].value == 1
    assert keys(report) == [4]


def test_an_own_onnx_file_with_arrays(artifact, left):
    report = run(artifact, backend="onnxruntime", dataset=labelled(), options={"threads": 1}, **FIELDS)
    _is_right(report)
    (numeric,) = (row for row in report.rows if row.kind == "numeric")
    assert numeric.note == "reference: ONNX's reference evaluator"
    assert (numeric.labels["clients"], numeric.labels["queries"]) == (1, 2)
    assert (report.artifact.name, str(report.artifact.provenance)) == ("waves", "local")
    assert report.job.weights == f"sha256:{artifact.sha256}"
    assert left() == []


def test_a_live_module_in_this_process(live):
    backend = backends.get("torch")()
    report = run(live, backend=backend, dataset=_images(live.module), **FIELDS)
    _is_right(report, isolation="inline")
    assert "in torch, float64" in next(row.note for row in report.rows if row.kind == "numeric")
    assert report.artifact.format is Format.TORCH_MODULE
    assert not [warning for warning in report.warnings if warning.code == "exported"]


@pytest.mark.parametrize(
    ("backend", "form"),
    [("onnxruntime", Format.ONNX), pytest.param("torch", Format.TORCHSCRIPT, marks=pytest.mark.slow)],
)
def test_a_live_module_in_a_worker_is_exported_and_the_report_says_so(live, backend, form):
    report = run(live, backend=backend, dataset=_images(live.module), options={"threads": 1}, **FIELDS)
    _is_right(report)
    assert report.artifact.format is form
    assert report.artifact.derived_from == live.sha256
    assert [warning.code for warning in report.warnings if warning.code == "exported"] == ["exported"]
    assert report.metrics["compile/cold/convert_s"].value > 0


@pytest.mark.slow
def test_the_catalogs_torch_model_is_converted_for_another_runtime():
    fields = {**FIELDS, "batch_sizes": [8]}
    report = run("digits-resnet-torch-fp32", backend="onnxruntime", options={"threads": 1}, **fields)
    assert (report.status, codes(report)) == (Status.COMPLETE, [])
    top1 = report.metrics["accuracy/top1"]
    assert (top1.n, top1.value >= 0.97, top1.low < top1.value < top1.high) == (360, True, True)
    assert [row.passed for row in report.rows if row.kind in {"accuracy", "numeric"}] == [True, True]
    assert report.verdict.outcome == "pass"
    assert report.artifact.format is Format.ONNX


def test_random_weights_give_no_accuracy_and_say_why():
    report = run(
        "digits-resnet-onnx-fp32", backend=ECHO, weights="random",
        checks=["accuracy"], **FIELDS,
    )  # fmt: skip
    assert (report.status, report.rows) == (Status.COMPLETE, ())
    (missing,) = report.not_measured
    assert (missing.check, missing.reason) == ("accuracy", "the weights are random: an accuracy would say nothing")


def test_accuracy_below_what_was_published_fails():
    report = run("digits-resnet-onnx-fp32", backend=ECHO, checks=["accuracy"], **FIELDS)
    assert codes(report) == ["accuracy_below_target"]
    (row,) = report.rows
    assert (row.passed, row.metrics["accuracy/top1"].value < 0.5) == (False, True)
    assert report.verdict.outcome == "fail"


def test_own_data_are_not_held_against_what_was_published_for_other_data():
    images = ArrayLoader(image=np.zeros((4, 1, 8, 8), np.float32), labels=np.arange(4), metric="top1")
    report = run(
        "digits-resnet-onnx-fp32",
        backend=ECHO,
        checks=["accuracy"],
        dataset=images,
        **FIELDS,
    )
    assert (codes(report), [row.passed for row in report.rows]) == ([], [None])


def test_a_reference_that_fails_is_no_failure_of_the_backend(tmp_path):
    artifact = zoo.from_onnx(wave_model(tmp_path / "own.onnx", operator="Wave", domain="my.chip"))
    report = run(artifact, backend=ECHO, checks=["numeric", "performance"], **FIELDS)
    (failure,) = report.failures
    assert (str(failure.code), str(failure.blame), failure.step) == ("harness_error", "harness", "numeric/reference")
    assert "unsupported_operator" in failure.message
    assert keys(report) == [4]
    assert [missing.check for missing in report.not_measured] == ["numeric"]
    assert report.verdict.outcome == "undecided"


def _chosen(artifact, backend, *, precision=DType.FLOAT32, given=True, weights="pinned", limits=None):
    """The reference of a job: what choosing needs of one."""
    job = SimpleNamespace(weights=weights, seed=0, limits=limits or Limits())
    session = SimpleNamespace(request=SimpleNamespace(artifact=artifact if given else None), job=job)
    opener = SimpleNamespace(reference=backends.find(backend).reference if backend != "vendor" else "vendor:Backend")
    return choose_reference(SimpleNamespace(original=artifact, precision=precision, session=session, opener=opener))


def _bare(form):
    spec = ModelSpec(name="bare", framework=Framework.TORCH, format=form, inputs=(), outputs=())
    return ModelArtifact(spec=spec, format=form)


@pytest.mark.parametrize(
    ("form", "backend", "precision", "by", "independent"),
    [
        (Format.TORCH, "onnxruntime", "fp32", "torch", True),
        (Format.TORCH, "torch", "fp32", "torch", True),
        (Format.TORCH, "torch", "fp64", "torch", False),
        (Format.TORCH, "cpu", "fp64", "torch", False),
        (Format.TORCH, "vendor", "fp64", "torch", True),
        (Format.TORCH_MODULE, "vendor", "fp16", "torch", True),
        (Format.ONNX, "onnxruntime", "fp32", "onnx-reference", True),
        (Format.ONNX, "cpu", "fp32", "onnx-reference", True),
        (Format.ONNX, "onnx-reference", "fp32", "onnx-reference", False),
        (Format.SAVED_MODEL, "tensorflow", "fp32", "tensorflow", False),
        (Format.SAVED_MODEL, "cpu", "fp32", "tensorflow", False),
        (Format.SAVED_MODEL, "vendor", "fp32", "tensorflow", True),
        (Format.TORCHSCRIPT, "torch", "fp32", "torch", False),
        (Format.TORCHSCRIPT, "vendor", "fp32", "torch", True),
    ],
)
def test_the_reference_is_another_runtime_or_says_that_it_is_not(form, backend, precision, by, independent):
    reference = _chosen(_bare(form), backend, precision=DType.of(precision))
    assert (reference.backend, reference.independent) == (by, independent)
    assert ("the runtime under test itself" in reference.name) is not independent
    assert reference.precision == (DType.FLOAT64 if form in {Format.TORCH, Format.TORCH_MODULE} else None)


def test_a_format_that_nothing_here_runs_has_no_reference():
    with pytest.raises(HarnessError, match="no reference for this format; got 'stablehlo'"):
        _chosen(_bare(Format.STABLEHLO), "vendor")


def test_a_torch_twin_with_the_same_weights_comes_first():
    artifact = zoo.resolve("digits-resnet-onnx-fp32")
    reference = _chosen(artifact, "onnxruntime", given=False)
    assert (reference.backend, reference.artifact.name) == ("torch", "digits-resnet-torch-fp32")
    assert "the same weights" in reference.name
    assert _chosen(artifact, "onnxruntime").backend == "onnx-reference", "of a caller's own artifact no twin is known"


@pytest.mark.parametrize(("free_bytes", "layered"), [(1_000, False), (500, True)])
def test_a_reference_too_large_for_the_memory_is_run_layer_by_layer(free_bytes, layered, tmp_path, monkeypatch):
    """Three files of 16 values each take 384 bytes in float64, which is more than half of 500 bytes."""
    places = {name: f"{name}.safetensors" for name in ("a", "b", "c")}
    for name, file in places.items():
        save_file({name: torch.zeros(4, 4, dtype=torch.float16)}, tmp_path / file)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": places}))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free_bytes))
    reference = _chosen(attrs.evolve(_bare(Format.TORCH), path=tmp_path / INDEX), "onnxruntime")
    assert (reference.layers_at_a_time, "layer by layer" in reference.name) == (layered, layered)


@pytest.mark.parametrize(("limit_bytes", "layered"), [(1_000, False), (200, True)])
def test_the_jobs_own_limit_of_memory_holds_for_the_reference_too(limit_bytes, layered, tmp_path):
    save_file({"a": torch.zeros(4, 4)}, tmp_path / SINGLE)
    artifact = attrs.evolve(_bare(Format.TORCH), path=tmp_path / SINGLE)
    reference = _chosen(artifact, "onnxruntime", limits=Limits(memory_bytes=limit_bytes))
    assert reference.layers_at_a_time is layered


def test_a_twin_whose_weights_cannot_be_had_is_none():
    artifact = zoo.resolve("digits-resnet-onnx-fp32")
    assert _chosen(artifact, "onnxruntime", given=False, weights=str(artifact.path)).backend == "onnx-reference"


@pytest.mark.slow
def test_a_saved_model_on_its_own_runtime_gives_no_verdict(tmp_path):
    import tensorflow as tf

    class Waves(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
        def serve(self, x):
            return {"y": tf.cos(tf.reduce_sum(x, axis=1, keepdims=True) + tf.constant([0.0, 0.1, 0.2]))}

    module = Waves()
    tf.saved_model.save(module, str(tmp_path / "waves"), signatures={"serving_default": module.serve})
    artifact = zoo.from_saved_model(tmp_path / "waves")
    x, _ = samples()
    report = run(artifact, backend="tensorflow", dataset=ArrayLoader(x=x), checks=["numeric"], **FIELDS)
    assert codes(report) == []
    (row,) = report.rows
    assert row.passed is None
    assert "the runtime under test itself" in row.note
    assert report.verdict.outcome == "undecided"
