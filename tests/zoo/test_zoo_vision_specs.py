"""What the catalog says of the models for images, sound and clicks is true of their architectures."""

from __future__ import annotations

import importlib

import pytest
import torch

from bytemlperf import zoo
from bytemlperf.conversion.torch_module import named_outputs
from bytemlperf.registry import load
from bytemlperf.spec import Framework, ModelSpec, from_json, to_json
from bytemlperf.zoo.obtained import torch_recipe

# Task, original names, shapes and types of inputs and outputs, batch sizes: as ByteMLPerf's model and workload files
# have them, but for what the catalog's comments say.
ROWS = {
    "resnet50-tf-fp32": (
        {"input_tensor:0": ("float32", ["batch", "224", "224", "3"])},
        {"softmax_tensor:0": ("float32", ["batch", "1000"])},
        (4, 8, 16, 32, 64),
    ),
    "resnet50-stablehlo-fp32": (
        {"input_1.1": ("float32", ["batch", "3", "224", "224"])},
        {"softmax_tensor:0": ("float32", ["batch", "1000"])},
        (4, 8, 16, 32, 64),
    ),
    "swin-large-torch-fp32": (
        {"pixel_values.1": ("float32", ["batch", "3", "384", "384"])},
        {"logits": ("float32", ["batch", "1000"])},
        (2, 4, 8, 16, 24),
    ),
    "clip-onnx-fp32": (
        {"input_ids": ("int32", ["batch", "77"])},
        {
            "last_hidden_state": ("float32", ["batch", "77", "768"]),
            "pooler_output": ("float32", ["batch", "768"]),
        },
        (4, 8, 16, 24),
    ),
    "conformer-encoder-onnx-fp32": (
        {"src": ("float32", ["batch", "3", "64", "512"]), "src_pad_mask": ("bool", ["batch", "128"])},
        {"memory": ("float32", ["batch", "128", "512"])},
        (4, 8, 16, 32, 64),
    ),
    "yolov5-onnx-fp32": (
        {"images": ("float32", ["batch", "3", "640", "640"])},
        {
            "output": ("float32", ["batch", "25200", "85"]),
            "345": ("float32", ["batch", "3", "80", "80", "85"]),
            "403": ("float32", ["batch", "3", "40", "40", "85"]),
            "461": ("float32", ["batch", "3", "20", "20", "85"]),
        },
        (4, 8, 16, 32),
    ),
    "unet-onnx-fp32": (
        {
            "sample": ("float32", ["batch", "4", "32", "32"]),
            "timestep": ("int64", ["1"]),
            "encoder_hidden_states": ("float32", ["batch", "77", "768"]),
        },
        {"out_sample": ("float32", ["batch", "4", "32", "32"])},
        (4, 8, 16, 24),
    ),
    "vae-encoder-onnx-fp32": (
        {"sample": ("float32", ["batch", "3", "256", "256"])},
        {"latent_sample": ("float32", ["batch", "4", "32", "32"])},
        (4, 8, 16, 24),
    ),
    "vae-decoder-onnx-fp32": (
        {"latent_sample": ("float32", ["batch", "4", "32", "32"])},
        {"sample": ("float32", ["batch", "3", "256", "256"])},
        (4, 8, 16, 24),
    ),
    "videobert-onnx-fp32": (
        {"image": ("float32", ["batch", "3", "224", "224"]), "text": ("int64", ["100", "77"])},
        {"logits_per_image": ("float32", ["batch", "100"]), "logits_per_text": ("float32", ["100", "batch"])},
        (4, 8, 16, 24),
    ),
    "widedeep-tf-fp32": (
        {
            "new_categorical_placeholder:0": ("int64", ["26*batch", "2"]),
            "new_numeric_placeholder:0": ("float32", ["batch", "13"]),
        },
        {"probabilities": ("float32", ["batch", "2"])},
        (1024, 4096, 16384),
    ),
}
NAMES = tuple(ROWS)


def _by_name(tensors):
    return {each.file_name: (each.dtype.value, [str(axis) for axis in each.shape]) for each in tensors}


@pytest.mark.parametrize("name", NAMES)
def test_a_row_has_the_originals_names_shapes_types_and_batch_sizes(name):
    spec = zoo.get(name)
    inputs, outputs, batch_sizes = ROWS[name]
    assert _by_name(spec.inputs) == inputs
    assert _by_name(spec.outputs) == outputs
    assert spec.batch_sizes == batch_sizes


@pytest.mark.parametrize("name", NAMES)
def test_a_row_survives_json(name):
    assert from_json(ModelSpec, to_json(zoo.get(name))) == zoo.get(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_named_after_its_model_framework_and_precision(name):
    spec = zoo.get(name)
    framework = {Framework.TENSORFLOW: "tf"}.get(spec.framework, spec.framework)
    assert name == f"{spec.model}-{framework}-{spec.precision.short}"
    assert spec.description.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_of_the_version_that_is_installed(name):
    recipe = zoo.get(name).recipe
    module = importlib.import_module(recipe.architecture.partition(":")[0])
    assert recipe.version == module.DEFINITION_VERSION


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_builds_a_module_of_the_declared_size_and_shapes(name):
    spec = zoo.get(name)
    recipe = torch_recipe(spec)
    with torch.device("meta"):
        module = load(recipe.architecture)(**recipe.config)
    assert sum(each.numel() for each in module.parameters()) == spec.parameters
    inputs = [torch.empty(each.sized(2), dtype=getattr(torch, each.dtype), device="meta") for each in spec.inputs]
    answers = named_outputs(module(*inputs), spec.outputs)
    assert {each.name: each.sized(2) for each in spec.outputs} == {
        name: tuple(answer.shape) for name, answer in answers.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_source_names_its_files_and_its_licence(name):
    for source in zoo.get(name).sources:
        assert source.licence != "unknown"
        assert source.files


@pytest.mark.parametrize("name", NAMES)
def test_a_reference_accuracy_names_its_source(name):
    spec = zoo.get(name)
    for reference in spec.reference_accuracy:
        assert reference.metric in spec.metrics
        assert 0 < reference.value <= 1
        assert len(reference.source) > 10
