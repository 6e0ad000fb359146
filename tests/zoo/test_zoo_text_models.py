"""Language models go from random weights through every format and backend, and give the same there."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bytemlperf import Batch, FixedBatch, run, zoo
from bytemlperf.conversion import convert
from bytemlperf.conversion.torch_layerwise import layered_module
from bytemlperf.conversion.torch_module import named_outputs
from bytemlperf.datasets import open_dataset
from bytemlperf.errors import ArtifactError
from bytemlperf.registry import backends
from bytemlperf.spec import Format, Framework, Recipe, TensorSpec
from bytemlperf.workload import DatasetRequest
from bytemlperf.zoo.twins import torch_twin

SMALL = {
    "bert-torch-fp32": {"hidden_size": 64, "intermediate_size": 96},
    "albert-torch-fp32": {"embedding_size": 24, "hidden_size": 64, "intermediate_size": 96},
    "roberta-torch-fp32": {"hidden_size": 64, "intermediate_size": 96},
    "deberta-torch-fp32": {"hidden_size": 64, "intermediate_size": 96, "max_relative_positions": 16},
    "bert-tf-fp32": {"hidden_size": 64, "intermediate_size": 96},
    "roformer-tf-fp32": {"hidden_size": 64, "intermediate_size": 96},
    "gpt2-torch-fp32": {"n_embd": 64, "n_layer": 2, "n_head": 4},
    "llama2-7b-torch-fp16": {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "dtype": "float32",
    },
    "chatglm2-6b-torch-fp16": {
        "hidden_size": 64,
        "ffn_hidden_size": 96,
        "num_layers": 2,
        "num_attention_heads": 4,
        "kv_channels": 16,
        "dtype": "float32",
    },
}
EACH_KIND = ("roberta-torch-fp32", "deberta-torch-fp32", "roformer-tf-fp32", "llama2-7b-torch-fp16")
"""Have between them every operator of the others."""

LENGTH, IDS = 24, 101


def small(name):
    """A row of the catalog with few and narrow layers, short texts, few ids, and in float32."""
    spec = zoo.get(name)
    layers = {"num_hidden_layers": 2, "num_attention_heads": 4} if "num_hidden_layers" in spec.recipe.config else {}
    vocabulary = "padded_vocab_size" if "padded_vocab_size" in spec.recipe.config else "vocab_size"
    config = {**spec.recipe.config, **layers, **SMALL[name], vocabulary: IDS}
    return attrs.evolve(
        spec,
        name=f"small-{name}",
        precision="float32",
        inputs=[_short(each) for each in spec.inputs],
        outputs=[_short(each) for each in spec.outputs],
        recipe=attrs.evolve(spec.recipe, config=config),
        parameters=None,
        sources=(),
    )


def _short(tensor: TensorSpec) -> TensorSpec:
    shape = [
        LENGTH if each in (128, 384, 1024) else IDS if isinstance(each, int) and each > 1_024 else each
        for each in tensor.shape
    ]
    high = IDS if tensor.high is not None and tensor.high > 2 else tensor.high
    dtype = "float32" if tensor.dtype == "float16" else tensor.dtype
    return attrs.evolve(tensor, shape=shape, high=high, dtype=dtype)


def answer(backend, artifact, folder, size):
    instance = backends.get(backend)()
    options = instance.options_type(batch_size=None, work_dir=folder, **({"threads": 1} if backend == "torch" else {}))
    compiled = instance.compile(artifact, options)
    samples = open_dataset(DatasetRequest(name="synthetic"), artifact.spec)
    try:
        return instance.predict(compiled, Batch(inputs=samples.load(range(size)), size=size)), samples.load(range(size))
    finally:
        instance.release(compiled)


def difference(actual, expected, mask):
    kept = slice(None) if mask is None else mask == 1
    assert actual.shape == expected.shape
    return float(np.abs(actual[kept] - expected[kept]).max() / np.abs(expected[kept]).max())


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    "name", [name if name in EACH_KIND else pytest.param(name, marks=pytest.mark.slow) for name in SMALL]
)
def test_onnx_and_tensorflow_give_what_torch_gives_at_any_batch_size(name, cache, tmp_path):
    spec = small(name)
    twin = torch_twin(spec) or spec
    torch_artifact = zoo.resolve(twin, weights="random", seed=7, cache=cache)
    onnx = convert(torch_artifact, frozenset({Format.ONNX}), folder=tmp_path)
    forms = [("onnxruntime", onnx)]
    if spec.framework is Framework.TENSORFLOW:
        forms.append(("tensorflow", zoo.resolve(spec, weights="random", seed=7, cache=cache)))
    for size in (1, 3):
        expected, inputs = answer("torch", torch_artifact, tmp_path, size)
        assert set(expected) == {each.name for each in spec.outputs}
        for backend, artifact in forms:
            found, _ = answer(backend, artifact, tmp_path, size)
            for output, value in expected.items():
                assert np.isfinite(found[output]).all()
                assert difference(found[output], value, inputs.get("attention_mask")) < 1e-4


@pytest.mark.parametrize("name", SMALL)
def test_one_layer_in_memory_at_a_time_gives_the_same(name, cache, tmp_path):
    spec = torch_twin(small(name)) or small(name)
    artifact = zoo.resolve(spec, weights="random", seed=7, cache=cache)
    expected, inputs = answer("torch", artifact, tmp_path, 2)
    found = named_outputs(
        layered_module(artifact)(*(torch.from_numpy(inputs[each.name]) for each in spec.inputs)), spec.outputs
    )
    assert all(np.array_equal(found[output].detach().numpy(), value) for output, value in expected.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SMALL if name.endswith("fp32")])
def test_full_size_onnx_gives_what_torch_gives(name, cache, tmp_path):
    spec = torch_twin(zoo.get(name)) or zoo.get(name)
    torch_artifact = zoo.resolve(spec, weights="random", cache=tmp_path)
    onnx = convert(torch_artifact, frozenset({Format.ONNX}), folder=tmp_path)
    expected, inputs = answer("torch", torch_artifact, tmp_path, 1)
    found, _ = answer("onnxruntime", onnx, tmp_path, 1)
    for output, value in expected.items():
        assert difference(found[output], value, inputs.get("attention_mask")) < 1e-4


def test_float_ids_of_synthetic_texts_are_whole_and_within_the_vocabulary():
    samples = open_dataset(DatasetRequest(name="synthetic"), small("roformer-tf-fp32")).load(range(8))
    token, segment = samples["input_token"], samples["input_segment"]
    assert token.dtype == segment.dtype == np.float32
    assert (token == token.round()).all()
    assert token.min() >= 0
    assert 50 < token.max() < IDS
    assert set(np.unique(segment)) == {0, 1}


def test_a_model_runs_from_its_row_with_an_independent_reference(cache, monkeypatch):
    monkeypatch.setenv("BYTEMLPERF_CACHE", str(cache))
    report = run(
        small("bert-tf-fp32"),
        backend="tensorflow",
        weights="random",
        scenarios=[FixedBatch(iterations=2)],
        numeric_samples=3,
        batch_sizes=(2,),
        checks=("numeric", "performance"),
    )
    assert report.failures == ()
    (row,) = [each for each in report.to_dict()["rows"] if each["kind"] == "numeric"]
    assert row["passed"]
    assert "in torch, float64" in row["note"]


def test_a_published_file_with_names_of_no_use_is_taken_and_one_with_unknown_names_is_not(cache, tmp_path):
    spec = small("bert-torch-fp32")
    state = load_file(zoo.resolve(spec, weights="random", cache=cache).path)
    old = {**state, "bert.embeddings.position_ids": torch.arange(512)[None]}
    save_file(old, tmp_path / "old.safetensors")
    save_file({**state, "bert.extra.weight": torch.ones(2)}, tmp_path / "other.safetensors")

    expected, _ = answer("torch", zoo.resolve(spec, weights="random", cache=cache), tmp_path, 2)
    found, _ = answer("torch", zoo.resolve(spec, weights=tmp_path / "old.safetensors", cache=cache), tmp_path, 2)

    assert all(np.array_equal(found[name], value) for name, value in expected.items())
    with pytest.raises(ArtifactError, match=r"bert\.extra\.weight"):
        zoo.resolve(spec, weights=tmp_path / "other.safetensors", cache=cache)


def test_another_bert_needs_no_code(cache, tmp_path):
    spec = attrs.evolve(
        small("bert-torch-fp32"),
        name="classes-torch-fp32",
        outputs=(TensorSpec(name="logits", shape=("batch", 5), dtype="float32"),),
        recipe=Recipe(
            architecture="bytemlperf.zoo.architectures.bert_torch:build",
            config={
                "vocab_size": IDS,
                "hidden_size": 64,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_labels": 5,
            },
        ),
    )
    found, _ = answer("torch", zoo.resolve(spec, weights="random", cache=cache), tmp_path, 3)
    assert found["logits"].shape == (3, 5)
