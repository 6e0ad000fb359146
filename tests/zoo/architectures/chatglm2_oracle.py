"""ChatGLM2 by others: written from its description in numpy, and the library's GLM with names mapped."""

import numpy as np
from transformers import GlmConfig, GlmForCausalLM


def rotated(x, position, theta):
    """Turn the first half of a head, in pairs, by angles that grow with the position."""
    out, pairs = x.copy(), len(x) // 4
    for pair in range(pairs):
        angle = position * theta ** (-pair / pairs)
        a, b = x[2 * pair], x[2 * pair + 1]
        out[2 * pair] = a * np.cos(angle) - b * np.sin(angle)
        out[2 * pair + 1] = a * np.sin(angle) + b * np.cos(angle)
    return out


def numpy_logits(state, ids, *, heads, groups, dim, layers, theta, eps=1e-5):
    """ChatGLM2 in float64, one head and one position at a time, from the description of it."""

    def weight(name, rows=slice(None)):
        return state[name][rows].double().numpy()

    def bias(name):
        return np.asarray(state.get(f"{name}.bias", 0), np.float64)

    def norm(x, name):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight(f"{name}.weight")

    x = weight("transformer.embedding.word_embeddings.weight", ids)  # [new, width]
    for layer in range(layers):
        at = f"transformer.encoder.layers.{layer}"
        joined = norm(x, f"{at}.input_layernorm") @ weight(f"{at}.self_attention.query_key_value.weight").T
        joined = joined + bias(f"{at}.self_attention.query_key_value")
        q, k, v = np.split(joined, [heads * dim, (heads + groups) * dim], axis=1)
        mixed = np.zeros((len(ids), heads * dim))
        for head in range(heads):
            group = head // (heads // groups)
            own, shared = slice(head * dim, (head + 1) * dim), slice(group * dim, (group + 1) * dim)
            keys = np.stack([rotated(k[p, shared], p, theta) for p in range(len(ids))])
            for p in range(len(ids)):
                scores = keys[: p + 1] @ rotated(q[p, own], p, theta) / np.sqrt(dim)
                shares = np.exp(scores - scores.max())
                mixed[p, own] = shares / shares.sum() @ v[: p + 1, shared]
        x = x + mixed @ weight(f"{at}.self_attention.dense.weight").T
        inner = norm(x, f"{at}.post_attention_layernorm") @ weight(f"{at}.mlp.dense_h_to_4h.weight").T
        gate, up = np.split(inner, 2, axis=1)
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weight(f"{at}.mlp.dense_4h_to_h.weight").T
    return norm(x, "transformer.encoder.final_layernorm") @ weight("transformer.output_layer.weight").T


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
    """Make the library's GLM of a ChatGLM2 configuration, its parameters where the caller's device context says."""
    rope = {"rope_type": "default", "rope_theta": 1e4 * config.get("rope_ratio", 1), "partial_rotary_factor": 0.5}
    return GlmForCausalLM(
        GlmConfig(
            vocab_size=config["padded_vocab_size"],
            hidden_size=config["hidden_size"],
            intermediate_size=config["ffn_hidden_size"],
            num_hidden_layers=config["num_layers"],
            num_attention_heads=config["num_attention_heads"],
            num_key_value_heads=config["multi_query_group_num"],
            head_dim=config["kv_channels"],
            max_position_embeddings=config["seq_length"],
            rms_norm_eps=1e-5,
            attention_bias=config.get("add_qkv_bias", True),
            rope_parameters=rope,
            pad_token_id=None,
            tie_word_embeddings=False,
            attn_implementation="eager",
        )
    ).eval()
