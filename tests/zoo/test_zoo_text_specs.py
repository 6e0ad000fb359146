"""What the catalog says of the language models is true of their architectures, and is what ByteMLPerf says of them."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
import torch

from bytemlperf import zoo
from bytemlperf.causal import CausalModel
from bytemlperf.conversion.torch_module import named_outputs
from bytemlperf.registry import load
from bytemlperf.spec import Axis, Domain, DType, ModelSpec, from_json, to_json
from bytemlperf.zoo.obtained import torch_recipe
from bytemlperf.zoo.twins import torch_twin

ANSWERS = (
    {f"{name}.1": ("int64", "batch", "384") for name in ("input_ids", "attention_mask", "token_type_ids")},
    {"start_logits": ("float32", "batch", "384"), "end_logits": ("float32", "batch", "384")},
    (1, 4, 8, 16, 24),
    "squad-1.1",
)
# Original names in order, types and shapes, batch sizes and data: as ByteMLPerf's model and workload files have them.
ROWS = {
    "bert-torch-fp32": ANSWERS,
    "bert-stablehlo-fp32": ANSWERS,
    "albert-torch-fp32": ANSWERS,
    "roberta-torch-fp32": ANSWERS,
    "deberta-torch-fp32": ANSWERS,
    "bert-tf-fp32": (
        {f"{name}:0": ("int32", "batch", "384") for name in ("input_ids", "input_mask", "segment_ids")},
        {"logits:0": ("float32", "batch", "384", "2")},
        (4, 8, 16, 24),
        "squad-1.1",
    ),
    "roformer-tf-fp32": (
        {f"{name}:0": ("float32", "batch", "1024") for name in ("input_segment", "input_token")},
        {"Identity:0": ("float32", "batch", "1")},
        (2, 4, 8, 16, 32, 64),
        "cail2019",
    ),
    "gpt2-torch-fp32": (
        {"input_ids": ("int64", "batch", "384")},
        {"outputs": ("float32", "batch", "384", "50257")},
        (4, 8, 16, 32),
        None,
    ),
    # Of these two the original names no inputs and outputs.
    "llama2-7b-torch-fp16": (
        {"input_ids": ("int64", "batch", "128")},
        {"logits": ("float16", "batch", "128", "32000")},
        (1, 4, 8, 16, 24),
        None,
    ),
    "chatglm2-6b-torch-fp16": (
        {"input_ids": ("int64", "batch", "128")},
        {"logits": ("float16", "batch", "128", "65024")},
        (1, 4, 8, 16, 24),
        None,
    ),
}
CAUSAL = ("gpt2-torch-fp32", "llama2-7b-torch-fp16", "chatglm2-6b-torch-fp16")


def declared(tensors):
    return {each.file_name: (str(each.dtype), *map(str, each.shape)) for each in tensors}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_byte_ml_perfs(name):
    spec = zoo.get(name)
    inputs, outputs, batch_sizes, dataset = ROWS[name]
    assert list(declared(spec.inputs).items()) == list(inputs.items())
    assert declared(spec.outputs) == outputs
    assert (spec.batch_sizes, spec.dataset, spec.domain) == (batch_sizes, dataset, Domain.NLP)


@pytest.mark.parametrize("name", ROWS)
def test_a_spec_survives_json(name):
    assert from_json(ModelSpec, to_json(zoo.get(name))) == zoo.get(name)


@pytest.mark.parametrize("name", ROWS)
def test_a_recipe_says_everything_that_decides_the_graph(name):
    recipe = zoo.get(name).recipe
    module = importlib.import_module(recipe.architecture.partition(":")[0])
    assert recipe.version == module.DEFINITION_VERSION
    left_open = set(inspect.signature(module.build).parameters) - set(recipe.config)
    optional = {"weights", "ranks", "dtype", "head_dim", "n_inner", "attention_bias", "tie_word_embeddings"}
    assert left_open <= optional | {"add_qkv_bias", "num_labels", "pad_token_id", "split_logits"}


@pytest.mark.parametrize("name", ROWS)
def test_the_recipe_builds_a_module_of_the_declared_size_and_shapes(name):
    spec = zoo.get(name)
    recipe = torch_recipe(spec)
    with torch.device("meta"):
        module = load(recipe.architecture)(**recipe.config)
        inputs = [torch.zeros(each.sized(2), dtype=getattr(torch, each.dtype)) for each in spec.inputs]
        outputs = named_outputs(module(*inputs), spec.outputs)
    assert sum(each.numel() for each in module.parameters()) == spec.parameters
    assert {DType.of(str(each.dtype).removeprefix("torch.")) for each in module.parameters()} == {spec.precision}
    assert {each: tuple(tensor.shape) for each, tensor in outputs.items()} == {
        each.name: each.sized(2) for each in spec.outputs
    }
    assert {str(tensor.dtype).removeprefix("torch.") for tensor in outputs.values()} == {
        str(each.dtype) for each in spec.outputs
    }


@pytest.mark.parametrize("name", ROWS)
def test_every_id_is_bounded_by_the_table_that_it_is_looked_up_in(name):
    spec = zoo.get(name)
    config = torch_recipe(spec).config
    vocabulary = config.get("vocab_size", config.get("padded_vocab_size"))
    for tensor in spec.inputs:
        if "mask" in tensor.name:
            assert tensor.high == 2
        elif "type" in tensor.name or "segment" in tensor.name:
            assert tensor.high == (config["type_vocab_size"] or 2)  # DeBERTa has none, and looks nothing up
        else:
            assert tensor.high == vocabulary
        assert tensor.shape[0] == Axis()


@pytest.mark.parametrize("name", [name for name in ROWS if zoo.get(name).dataset == "squad-1.1"])
def test_positions_without_a_token_count_for_nothing(name):
    spec = zoo.get(name)
    masks = {each.name: each.valid for each in (*spec.inputs, *spec.outputs)}
    assert masks.pop("attention_mask") is None
    assert set(masks.values()) == {"attention_mask"}


@pytest.mark.parametrize("name", CAUSAL)
def test_language_models_are_ready_for_an_engine(name):
    recipe = zoo.get(name).recipe
    with torch.device("meta"):
        module = load(recipe.architecture)(**recipe.config)
        half = load(recipe.architecture)(**{**recipe.config, "ranks": 2})
    assert isinstance(module, CausalModel)
    assert module.shape.vocabulary == zoo.get(name).inputs[0].high
    parameters = dict(module.named_parameters())
    assert set(half.shards()) <= set(parameters)
    for each, parameter in half.named_parameters():
        whole = list(parameters[each].shape)
        if each in half.shards():
            plan = half.shards()[each]
            whole[plan.axis] = sum(piece.stop - piece.start for piece in plan.slices(1, 2))
        assert list(parameter.shape) == whole


@pytest.mark.parametrize("name", ["bert-tf-fp32", "roformer-tf-fp32"])
def test_a_tensorflow_model_has_itself_in_torch_as_a_twin(name):
    spec = zoo.get(name)
    twin = torch_twin(spec)
    assert twin.recipe.architecture == spec.recipe.architecture.replace("_tf:", "_torch:")
    assert (twin.inputs, twin.outputs, twin.sources) == (spec.inputs, spec.outputs, spec.sources)


def test_a_torch_model_needs_no_twin():
    assert torch_twin(zoo.get("bert-torch-fp32")) is None


def test_the_page_of_the_models_says_what_the_catalog_says():
    lines = (Path(__file__).parents[2] / "docs/reference/text-models.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == [
        *("bert-torch-fp32", "bert-tf-fp32", "albert-torch-fp32", "roberta-torch-fp32", "deberta-torch-fp32"),
        *("roformer-tf-fp32", "gpt2-torch-fp32", "llama2-7b-torch-fp16", "chatglm2-6b-torch-fp16"),
    ]
    for row in rows:
        spec = zoo.get(row[0].strip("`"))
        assert row[2] == f"{spec.parameters:,}"
        assert f"[batch, {spec.inputs[0].shape[1]}]" in row[3]
        assert all(source.location in row[4] or row[4] == "the same" for source in spec.sources)
        assert all(str(each.value) in row[6] or row[6] == "as above" for each in spec.reference_accuracy)
