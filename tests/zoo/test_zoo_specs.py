"""What the catalog says of a model is true of its architecture and its weights."""

from __future__ import annotations

import importlib
import re

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.datasets import load_digits

from bytemlperf import zoo
from bytemlperf.conversion.torch_module import torch_artifact_module
from bytemlperf.fetch import files_of
from bytemlperf.registry import datasets, load, metrics
from bytemlperf.spec import DType, Framework, ModelSpec, SourceKind, from_json, to_json

NAMES = (
    "digits-resnet-onnx-fp32",
    "digits-resnet-tf-fp32",
    "digits-resnet-torch-fp32",
    "resnet50-torch-fp32",
)
WITH_TORCH = ("digits-resnet-onnx-fp32", "digits-resnet-torch-fp32", "resnet50-torch-fp32")
HELD_OUT = 360


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_survives_json(name):
    assert from_json(ModelSpec, to_json(zoo.get(name))) == zoo.get(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_is_named_after_its_model_framework_and_precision(name):
    spec = zoo.get(name)
    framework = {Framework.TENSORFLOW: "tf"}.get(spec.framework, spec.framework)
    assert name == f"{spec.model}-{framework}-{spec.precision.short}"


@pytest.mark.parametrize("name", NAMES)
def test_data_and_metrics_are_registered(name):
    spec = zoo.get(name)
    assert spec.dataset in datasets.names()
    assert set(spec.metrics) <= set(metrics.names())


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_of_the_version_that_is_installed(name):
    recipe = zoo.get(name).recipe
    module = importlib.import_module(recipe.architecture.partition(":")[0])
    assert recipe.version == module.DEFINITION_VERSION


@pytest.mark.parametrize("name", WITH_TORCH)
def test_the_recipe_builds_a_module_of_the_declared_size_and_shapes(name):
    spec = zoo.get(name)
    with torch.device("meta"):
        module = load(spec.recipe.architecture)(**spec.recipe.config)
        (tensor,), (output,) = spec.inputs, spec.outputs
        answer = module(torch.empty(tensor.sized(2)))
    assert sum(each.numel() for each in module.parameters()) == spec.parameters
    assert {DType.of(str(each.dtype).removeprefix("torch.")) for each in module.parameters()} == {spec.precision}
    assert tuple(answer.shape) == output.sized(2)


@pytest.mark.parametrize("name", [name for name in NAMES if zoo.get(name).twin])
def test_a_twin_is_the_same_model_in_another_framework(name):
    spec, twin = zoo.get(name), zoo.get(zoo.get(name).twin)
    assert spec.framework is not twin.framework
    assert (spec.inputs, spec.outputs, spec.sources) == (twin.inputs, twin.outputs, twin.sources)


@pytest.mark.parametrize("name", NAMES)
def test_a_verified_source_is_pinned_file_by_file(name):
    for source in zoo.get(name).sources:
        pinned = [bool(re.fullmatch("[0-9a-f]{64}", digest)) for digest in source.sha256.values()]
        assert source.verified == bool(pinned)
        assert all(pinned)
        assert source.licence != "unknown"


@pytest.mark.parametrize("name", NAMES)
def test_a_reference_accuracy_is_a_fraction_with_a_source(name):
    spec = zoo.get(name)
    (reference,) = spec.reference_accuracy
    assert reference.metric in spec.metrics
    assert 0.5 < reference.value <= 1
    assert len(reference.source) > 10


def test_resnet50_is_byte_ml_perfs():
    spec = zoo.get("resnet50-torch-fp32")
    assert [(each.file_name, [str(axis) for axis in each.shape]) for each in (*spec.inputs, *spec.outputs)] == [
        ("input_1.1", ["batch", "3", "224", "224"]),
        ("softmax_tensor:0", ["batch", "1000"]),
    ]
    assert spec.batch_sizes == (4, 8, 16, 32, 64)


def test_the_shipped_digits_weights_are_small_and_only_weights():
    (source,) = zoo.get("digits-resnet-torch-fp32").sources
    assert source.kind is SourceKind.PACKAGE
    (path,) = files_of(source).files.values()
    assert path.stat().st_size < 600_000
    with safe_open(path, framework="numpy") as file:
        assert "fc.weight" in set(file.keys())


def test_the_digits_accuracy_is_what_the_weights_give_on_the_held_out_images(tmp_path):
    artifact = zoo.resolve("digits-resnet-torch-fp32", cache=tmp_path)
    digits = load_digits()
    images = torch.from_numpy((digits.images[-HELD_OUT:, None] / 16).astype(np.float32))
    with torch.no_grad():
        right = torch_artifact_module(artifact)(images).argmax(1).numpy() == digits.target[-HELD_OUT:]
    (reference,) = artifact.spec.reference_accuracy
    assert reference.value >= 0.97
    assert reference.value == pytest.approx(right.mean(), abs=0.5 / HELD_OUT)
