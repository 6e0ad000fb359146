import pytest
import torch
from tests.zoo.architectures import language
from transformers import LlamaConfig, LlamaForCausalLM

from bytemlperf.zoo.architectures.llama_torch import build

SMALL = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 112,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "max_position_embeddings": 64,
}
GROUPED = {**SMALL, "num_key_value_heads": 2, "rope_theta": 500_000.0, "tie_word_embeddings": True}
WIDE_HEADS = {**SMALL, "num_key_value_heads": 4, "head_dim": 32, "attention_bias": False, "rms_norm_eps": 1e-6}
CONFIGS = [SMALL, GROUPED, WIDE_HEADS]


def independent(config):
    arguments = {"rms_norm_eps": 1e-5, "tie_word_embeddings": False, **config}
    theta = arguments.pop("rope_theta", 10_000.0)
    rope = {"rope_type": "default", "rope_theta": theta}
    return LlamaForCausalLM(LlamaConfig(**arguments, rope_parameters=rope, attn_implementation="eager")).eval()


@pytest.mark.parametrize("config", CONFIGS, ids=["plain", "grouped", "wide-heads"])
def test_logits_equal_an_independent_implementation(config):
    ours, theirs = language.filled(build(**config)), independent(config)
    state = ours.state_dict()
    if config.get("tie_word_embeddings"):
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    theirs.load_state_dict(state, strict=True)
    ids = language.tokens(2, 40, below=97)

    with torch.no_grad():
        assert language.relative(ours(ids), theirs(ids).logits) < 1e-5


def test_a_bias_of_the_projections_is_added():
    ours, theirs = build(**SMALL, attention_bias=True), independent({**SMALL, "attention_bias": True})
    language.filled(ours)
    state = ours.state_dict()
    state |= {f"model.layers.{each}.self_attn.o_proj.bias": torch.zeros(64) for each in range(3)}
    theirs.load_state_dict(state, strict=True)
    ids = language.tokens(2, 12, below=97)

    with torch.no_grad():
        assert language.relative(ours(ids), theirs(ids).logits) < 1e-5


@pytest.mark.parametrize("config", CONFIGS, ids=["plain", "grouped", "wide-heads"])
def test_prefill_and_decode_equal_one_forward(config):
    model = language.filled(build(**config))

    language.check_prefill_and_decode(model)
    language.check_ragged_rows(model)
    language.check_positions_without_cache(model)


@pytest.mark.parametrize(("config", "ranks"), [(SMALL, 2), (GROUPED, 2), (GROUPED, 4)])
def test_ranks_together_equal_the_whole(config, ranks):
    whole = language.filled(build(**config))

    language.check_ranks(whole, [build(**config, ranks=ranks) for _ in range(ranks)])


def test_random_weights_can_be_told_apart_in_halves_too():
    language.check_random_weights(build(**{**SMALL, "num_hidden_layers": 32}))


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({}, 6_738_415_616),
        (
            {
                "vocab_size": 128_256,
                "intermediate_size": 14_336,
                "num_key_value_heads": 8,
                "rope_theta": 5e5,
                "max_position_embeddings": 8_192,
            },
            8_030_261_248,
        ),
    ],
    ids=["llama-2-7b", "llama-3-8b"],
)
def test_it_has_the_published_number_of_parameters(config, count):
    with torch.device("meta"):
        assert sum(each.numel() for each in build(**config).parameters()) == count


def test_names_are_those_of_the_hub_and_old_frequencies_are_passed_over():
    model = build(**SMALL)
    state = language.filled(build(**SMALL)).state_dict()

    model.load_state_dict({**state, "model.layers.2.self_attn.rotary_emb.inv_freq": torch.ones(4)}, strict=True)

    assert torch.equal(model.state_dict()["lm_head.weight"], state["lm_head.weight"])
    with pytest.raises(RuntimeError, match="Unexpected"):
        model.load_state_dict({**state, "model.layers.2.self_attn.rotary_emb.table": torch.ones(4)}, strict=True)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"num_attention_heads": 7}, "multiple of num_attention_heads"),
        ({"num_key_value_heads": 3}, "multiple of key and value heads"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"ranks": 3}, "multiple of ranks"),
        ({"dtype": "int8"}, "dtype"),
        ({"head_dim": 5}, "even"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        build(**{**SMALL, **wrong})
