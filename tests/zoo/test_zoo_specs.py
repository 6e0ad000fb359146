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
from bytemlperf.registry import datasets, load, metrics, models
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


OURS = tuple(each.name for each in models.plugins() if each.distribution.partition(" ")[0] == "bytemlperf")


@pytest.mark.parametrize("name", OURS)
def test_a_source_is_called_verified_if_and_only_if_it_is_pinned_file_by_file(name):
    """What nobody has seen cannot have a digest; what somebody has, says of what commit it was."""
    for source in zoo.get(name).sources:
        own = {source.location.rpartition("/")[2]} if source.kind is SourceKind.PACKAGE else set(source.files)
        known = {file for file, digest in source.sha256.items() if re.fullmatch("[0-9a-f]{64}", digest)}
        at_a_commit = source.kind is not SourceKind.HUB or bool(re.fullmatch("[0-9a-f]{40}", source.revision or ""))
        assert source.verified == (known >= own and bool(own) and at_a_commit)
        assert source.verified == bool(source.sha256)


def test_the_rule_of_verified_sources_is_met_by_some_and_not_by_others():
    found = {source.verified for name in OURS for source in zoo.get(name).sources}
    assert found == {True, False}


@pytest.mark.parametrize("name", OURS)
def test_weights_come_as_safetensors_where_a_repository_has_them(name):
    """A file that torch wrote comes second, of the same repository."""
    sources = [source for source in zoo.get(name).sources if source.kind is SourceKind.HUB]
    for number, source in enumerate(sources):
        (weights,) = [file for file in source.files if file.endswith((".safetensors", ".bin", ".index.json"))]
        if ".bin" in weights:
            assert sources[number - 1].files[0] == source.files[0].replace("pytorch_model.bin", "model.safetensors")
            assert sources[number - 1].location == source.location
    assert not sources or ".safetensors" in sources[0].files[0]


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
