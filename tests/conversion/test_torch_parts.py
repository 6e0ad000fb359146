"""A rank's part of a model's weights: what it reads of the files, and what cannot be divided."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.tiny_models import conv_artifact, live, trained_conv
from tests.zoo.architectures.language import filled, part

from bytemlperf.artifact import ModelArtifact
from bytemlperf.conversion.torch_module import torch_artifact_module
from bytemlperf.conversion.torch_parts import torch_artifact_part
from bytemlperf.errors import ArtifactError, CompileError
from bytemlperf.spec import Format, Framework, ModelSpec, Recipe, TensorSpec
from bytemlperf.zoo.architectures import chatglm2_torch, gpt2_torch, llama_torch

CONFIGS = {
    "llama_torch": {
        "vocab_size": 11, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 8,
    },
    "chatglm2_torch": {
        "padded_vocab_size": 11, "hidden_size": 16, "ffn_hidden_size": 24, "num_layers": 2, "num_attention_heads": 4,
        "kv_channels": 4, "multi_query_group_num": 1, "seq_length": 8,
    },
    "gpt2_torch": {"vocab_size": 11, "n_positions": 8, "n_embd": 16, "n_layer": 2, "n_head": 4},
}  # fmt: skip
BUILDS = {"llama_torch": llama_torch.build, "chatglm2_torch": chatglm2_torch.build, "gpt2_torch": gpt2_torch.build}


def artifact_of(name, path, **config):
    return ModelArtifact(
        spec=ModelSpec(
            name="tiny",
            framework=Framework.TORCH,
            format=Format.TORCH,
            inputs=(TensorSpec(name="tokens", shape=("batch", 8), dtype="int64", high=11),),
            outputs=(TensorSpec(name="logits", shape=("batch", 8, 11), dtype="float32"),),
            recipe=Recipe(
                architecture=f"bytemlperf.zoo.architectures.{name}:build", config={**CONFIGS[name], **config}
            ),
        ),
        format=Format.TORCH,
        path=path,
    )


@pytest.fixture(params=CONFIGS)
def saved(request, tmp_path):
    """A model's name, module, and weights in two files with an index."""
    module = filled(BUILDS[request.param](**CONFIGS[request.param]))
    state = module.state_dict()
    if request.param == "gpt2_torch":  # published files have the embedding under a second name
        state["lm_head.weight"] = state["wte.weight"].clone()
    names = sorted(state)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, own in halves.items():
        save_file({name: state[name].contiguous() for name in own}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {name: file for file, own in halves.items() for name in own}}))
    return request.param, module, index


@pytest.mark.parametrize("ranks", [2, 4])
def test_each_rank_has_its_slices_of_the_shards_and_asks_for_no_more(saved, ranks):
    name, module, index = saved
    for rank in range(ranks):
        found = torch_artifact_part(artifact_of(name, index), rank=rank, ranks=ranks)
        expected = part(module, BUILDS[name](**CONFIGS[name], ranks=ranks), rank, ranks)
        torch.testing.assert_close(found.module.state_dict(), expected.state_dict(), atol=0, rtol=0)
        assert found.bytes_asked == sum(each.numel() * each.itemsize for each in expected.state_dict().values())


def test_what_belongs_to_others_is_not_looked_at(saved):
    name, module, index = saved
    expected = torch_artifact_part(artifact_of(name, index), rank=1, ranks=2).module.state_dict()
    plan = module.shards()
    for file in index.parent.glob("?.safetensors"):
        state = load_file(file)
        for own, shard in plan.items():
            if own in state:
                kept = torch.full_like(state[own], float("nan"))
                for piece in shard.slices(1, 2):
                    place = (slice(None),) * shard.axis + (piece,)
                    kept[place] = state[own][place]
                state[own] = kept
        save_file(state, file)
    found = torch_artifact_part(artifact_of(name, index), rank=1, ranks=2).module.state_dict()
    torch.testing.assert_close(found, expected, atol=0, rtol=0)
    assert any(each.isnan().any() for each in torch_artifact_module(artifact_of(name, index)).state_dict().values())


@pytest.mark.parametrize(
    ("name", "config", "ranks", "fits"),
    [
        ("llama_torch", {}, 3, "one of 1, 2, 4$"),
        ("gpt2_torch", {"n_head": 8}, 16, "one of 1, 2, 4, 8$"),
        ("chatglm2_torch", {"multi_query_group_num": 2}, 8, "one of 1, 2, 4$"),
        ("llama_torch", {"intermediate_size": 21}, 2, "1$"),
    ],
)
def test_what_does_not_divide_is_refused_and_told_what_would(name, config, ranks, fits, tmp_path):
    with pytest.raises(CompileError, match=f"divided among {ranks} ranks.*expected {fits}"):
        torch_artifact_part(artifact_of(name, tmp_path / "none", **config), rank=0, ranks=ranks)


def test_only_recipes_of_language_models_are_divided(tmp_path):
    with pytest.raises(CompileError, match="only a recipe"):
        torch_artifact_part(live(trained_conv()), rank=0, ranks=2)
    with pytest.raises(CompileError, match=r"'ranks'.*expected 1$"):
        torch_artifact_part(conv_artifact(tmp_path), rank=0, ranks=2)


def test_weights_of_another_length_are_refused(saved):
    name, _, index = saved
    other = {"llama_torch": "intermediate_size", "chatglm2_torch": "ffn_hidden_size", "gpt2_torch": "n_inner"}[name]
    with pytest.raises(ArtifactError, match="expected a length of 16"):
        torch_artifact_part(artifact_of(name, index, **{other: 16 if "glm" not in name else 8}), rank=0, ranks=2)
