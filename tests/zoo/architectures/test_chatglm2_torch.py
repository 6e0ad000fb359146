import numpy as np
import pytest
import torch
from tests.zoo.architectures import language
from transformers import GlmConfig, GlmForCausalLM

from bytemlperf.zoo.architectures.chatglm2_torch import build

SMALL = {
    "padded_vocab_size": 101,
    "hidden_size": 48,
    "ffn_hidden_size": 72,
    "num_layers": 3,
    "num_attention_heads": 8,
    "multi_query_group_num": 2,
    "kv_channels": 16,
    "seq_length": 64,
}
OTHER = {**SMALL, "multi_query_group_num": 1, "rope_ratio": 50.0, "add_qkv_bias": False}


def numpy_logits(state, ids, *, heads, groups, dim, layers, theta, eps=1e-5):
    """ChatGLM2 in float64, one head and one position at a time, from the description of it."""
    weights = {name: value.double().numpy() for name, value in state.items()}

    def norm(x, name):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weights[f"{name}.weight"]

    def rotated(x, position):
        out = x.copy()
        for pair in range(dim // 4):  # half of the head, in pairs
            angle = position * theta ** (-pair / (dim // 4))
            a, b = x[2 * pair], x[2 * pair + 1]
            out[2 * pair] = a * np.cos(angle) - b * np.sin(angle)
            out[2 * pair + 1] = a * np.sin(angle) + b * np.cos(angle)
        return out

    x = weights["transformer.embedding.word_embeddings.weight"][ids]  # [new, width]
    for layer in range(layers):
        at = f"transformer.encoder.layers.{layer}"
        joined = norm(x, f"{at}.input_layernorm") @ weights[f"{at}.self_attention.query_key_value.weight"].T
        joined = joined + weights.get(f"{at}.self_attention.query_key_value.bias", 0)
        q, k, v = np.split(joined, [heads * dim, (heads + groups) * dim], axis=1)
        mixed = np.zeros((len(ids), heads * dim))
        for head in range(heads):
            group = head // (heads // groups)
            own, shared = slice(head * dim, (head + 1) * dim), slice(group * dim, (group + 1) * dim)
            keys = np.stack([rotated(k[p, shared], p) for p in range(len(ids))])
            for p in range(len(ids)):
                scores = keys[: p + 1] @ rotated(q[p, own], p) / np.sqrt(dim)
                shares = np.exp(scores - scores.max())
                mixed[p, own] = shares / shares.sum() @ v[: p + 1, shared]
        x = x + mixed @ weights[f"{at}.self_attention.dense.weight"].T
        inner = norm(x, f"{at}.post_attention_layernorm") @ weights[f"{at}.mlp.dense_h_to_4h.weight"].T
        gate, up = np.split(inner, 2, axis=1)
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weights[f"{at}.mlp.dense_4h_to_h.weight"].T
    return norm(x, "transformer.encoder.final_layernorm") @ weights["transformer.output_layer.weight"].T


@pytest.mark.parametrize("config", [SMALL, OTHER], ids=["small", "other"])
def test_logits_equal_one_written_from_the_description(config):
    model = language.filled(build(**config))
    ids = language.tokens(1, 9, below=101)

    with torch.no_grad():
        ours = model(ids)[0].double().numpy()

    theirs = numpy_logits(
        model.state_dict(),
        ids[0].numpy(),
        heads=8,
        groups=config["multi_query_group_num"],
        dim=16,
        layers=3,
        theta=1e4 * config.get("rope_ratio", 1),
    )
    assert np.abs(ours - theirs).max() / np.abs(theirs).max() < 1e-5


def as_glm(state, *, heads, groups, dim):
    """Map ChatGLM2's names to those of the library's GLM, which keeps queries, keys and values apart."""
    names = {
        "transformer.embedding.word_embeddings.weight": "model.embed_tokens.weight",
        "transformer.encoder.final_layernorm.weight": "model.norm.weight",
        "transformer.output_layer.weight": "lm_head.weight",
    }
    parts = {
        "self_attention.dense": "self_attn.o_proj",
        "mlp.dense_h_to_4h": "mlp.gate_up_proj",
        "mlp.dense_4h_to_h": "mlp.down_proj",
        "input_layernorm": "input_layernorm",
        "post_attention_layernorm": "post_attention_layernorm",
    }
    mapped = {}
    for name, value in state.items():
        if name in names:
            mapped[names[name]] = value
            continue
        layer, owner, kind = name.split(".")[3], ".".join(name.split(".")[4:-1]), name.rsplit(".", 1)[1]
        if owner == "self_attention.query_key_value":
            pieces = value.split((heads * dim, groups * dim, groups * dim))
            for letter, piece in zip("qkv", pieces, strict=True):
                mapped[f"model.layers.{layer}.self_attn.{letter}_proj.{kind}"] = piece
        else:
            mapped[f"model.layers.{layer}.{parts[owner]}.{kind}"] = value
    return mapped


def glm(config):
    rope = {"rope_type": "default", "rope_theta": 1e4 * config.get("rope_ratio", 1), "partial_rotary_factor": 0.5}
    return GlmForCausalLM(
        GlmConfig(
            vocab_size=101,
            hidden_size=48,
            intermediate_size=72,
            num_hidden_layers=3,
            num_attention_heads=8,
            num_key_value_heads=config["multi_query_group_num"],
            head_dim=16,
            max_position_embeddings=64,
            rms_norm_eps=1e-5,
            attention_bias=config.get("add_qkv_bias", True),
            rope_parameters=rope,
            pad_token_id=None,
            tie_word_embeddings=False,
            attn_implementation="eager",
        )
    ).eval()


@pytest.mark.parametrize("config", [SMALL, OTHER], ids=["small", "other"])
def test_logits_equal_an_independent_glm(config):
    ours, theirs = language.filled(build(**config)), glm(config)
    theirs.load_state_dict(
        as_glm(ours.state_dict(), heads=8, groups=config["multi_query_group_num"], dim=16), strict=True
    )
    ids = language.tokens(2, 40, below=101)

    with torch.no_grad():
        assert language.relative(ours(ids), theirs(ids).logits) < 1e-5


@pytest.mark.parametrize("config", [SMALL, OTHER], ids=["small", "other"])
def test_prefill_and_decode_equal_one_forward(config):
    model = language.filled(build(**config))

    language.check_prefill_and_decode(model)
    language.check_ragged_rows(model)
    language.check_positions_without_cache(model)


@pytest.mark.parametrize(("config", "ranks"), [(SMALL, 2), (SMALL, 4), (OTHER, 2)])
def test_ranks_together_equal_the_whole(config, ranks):
    whole = language.filled(build(**config))

    language.check_ranks(whole, [build(**config, ranks=ranks) for _ in range(ranks)])


def test_random_weights_can_be_told_apart_in_halves_too():
    language.check_random_weights(build(**{**SMALL, "num_layers": 28}))


def test_it_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert sum(each.numel() for each in build().parameters()) == 6_243_584_000


def test_names_are_those_of_the_hub_and_frequencies_are_passed_over():
    model, state = build(**SMALL), language.filled(build(**SMALL)).state_dict()

    model.load_state_dict({**state, "transformer.rotary_pos_emb.inv_freq": torch.ones(4)}, strict=True)

    assert state["transformer.encoder.layers.0.self_attention.query_key_value.weight"].shape == ((8 + 2 * 2) * 16, 48)
    assert state["transformer.encoder.layers.2.mlp.dense_h_to_4h.weight"].shape == (2 * 72, 48)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"kv_channels": 6}, "multiple of 4"),
        ({"multi_query_group_num": 3}, "key and value"),
        ({"num_layers": 0}, "layers"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        build(**{**SMALL, **wrong})
