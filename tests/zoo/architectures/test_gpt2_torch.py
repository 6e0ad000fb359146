import pytest
import torch
from tests.zoo.architectures import language
from transformers import GPT2Config, GPT2LMHeadModel

from bytemlperf.zoo.architectures.gpt2_torch import build

SMALL = {"vocab_size": 89, "n_positions": 48, "n_embd": 64, "n_layer": 3, "n_head": 4}
OTHER = {**SMALL, "n_inner": 96, "layer_norm_epsilon": 1e-6}


def independent(config):
    return GPT2LMHeadModel(GPT2Config(**config, attn_implementation="eager")).eval()


def as_theirs(state):
    named = {f"transformer.{name}": value for name, value in state.items()}
    return {**named, "lm_head.weight": state["wte.weight"]}


@pytest.mark.parametrize("config", [SMALL, OTHER], ids=["small", "other"])
def test_logits_equal_an_independent_implementation(config):
    ours, theirs = language.filled(build(**config)), independent(config)
    theirs.load_state_dict(as_theirs(ours.state_dict()), strict=True)
    ids = language.tokens(2, 33, below=89)

    with torch.no_grad():
        assert language.relative(ours(ids), theirs(ids).logits) < 1e-5


@pytest.mark.slow
def test_full_size_logits_equal_an_independent_implementation():
    ours, theirs = language.filled(build()), independent({})
    theirs.load_state_dict(as_theirs(ours.state_dict()), strict=True)
    ids = language.tokens(1, 384, below=50_257)

    with torch.no_grad():
        assert language.relative(ours(ids), theirs(ids).logits) < 1e-5


def test_prefill_and_decode_equal_one_forward():
    model = language.filled(build(**SMALL))

    language.check_prefill_and_decode(model)
    language.check_ragged_rows(model)
    language.check_positions_without_cache(model)


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_together_equal_the_whole(ranks):
    whole = language.filled(build(**SMALL))

    language.check_ranks(whole, [build(**SMALL, ranks=ranks) for _ in range(ranks)])


def test_random_weights_can_be_told_apart_in_halves_too():
    language.check_random_weights(build(**{**SMALL, "n_layer": 12}))


def test_it_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert sum(each.numel() for each in build().parameters()) == 124_439_808


def test_names_are_those_of_the_hub_and_masks_are_passed_over():
    model, state = build(**SMALL), language.filled(build(**SMALL)).state_dict()
    masks = {"h.0.attn.bias": torch.ones(1, 1, 48, 48), "h.0.attn.masked_bias": torch.tensor(-1e4)}

    model.load_state_dict({**state, **masks}, strict=True)

    assert {"wte.weight", "wpe.weight", "h.2.attn.c_attn.bias", "h.0.mlp.c_proj.weight", "ln_f.bias"} <= set(state)
    assert state["h.0.attn.c_attn.weight"].shape == (64, 192)
    assert "lm_head.weight" not in state


@pytest.mark.parametrize(
    ("wrong", "match"), [({"n_head": 5}, "n_embd"), ({"n_layer": 0}, "n_layer"), ({"ranks": 3}, "rank")]
)
def test_sizes_that_do_not_fit_are_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        build(**{**SMALL, **wrong})
