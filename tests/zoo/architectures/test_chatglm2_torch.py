import numpy as np
import pytest
import torch
from tests.zoo.architectures import language
from tests.zoo.architectures.chatglm2_oracle import as_glm, glm, numpy_logits

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
