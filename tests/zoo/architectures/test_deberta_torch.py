import pytest
import torch
from tests.zoo.architectures import answers, language
from transformers import DebertaConfig, DebertaForQuestionAnswering

from bytemlperf.zoo.architectures.deberta_torch import build

SMALL = {
    "vocab_size": 83,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_relative_positions": 64,
    "type_vocab_size": 0,
    "layer_norm_eps": 1e-7,
}
NEAR = {**SMALL, "max_relative_positions": 16, "type_vocab_size": 2}


def independent(config):
    fixed = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}
    return DebertaForQuestionAnswering(DebertaConfig(**config, **fixed, max_position_embeddings=512)).eval()


@pytest.mark.parametrize("config", [SMALL, NEAR], ids=["small", "near"])
def test_logits_equal_an_independent_implementation(config):
    ours, theirs = language.filled(build(**config)), independent(config)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    inputs = answers.texts(3, 40, below=83)

    assert answers.difference(ours, theirs, inputs) < 1e-5
    answers.check_padding_is_not_read(ours, inputs)


@pytest.mark.slow
def test_full_size_logits_equal_an_independent_implementation():
    full = {"vocab_size": 50_265, "max_relative_positions": 512, "type_vocab_size": 0, "layer_norm_eps": 1e-7}
    ours, theirs = language.filled(build()), independent(full)
    theirs.load_state_dict(ours.state_dict(), strict=True)

    assert answers.difference(ours, theirs, answers.texts(2, 384, below=50_265)) < 1e-5


def test_both_logits_can_come_in_one():
    answers.check_joined(
        language.filled(build(**SMALL)), build(**SMALL, split_logits=False), answers.texts(2, 24, below=83)
    )


def test_random_weights_can_be_told_apart_in_halves_too():
    answers.check_random_weights(build(**{**SMALL, "hidden_size": 192, "num_hidden_layers": 12}), below=83)


def test_it_has_the_published_number_of_parameters():
    # 138,601,728 of deberta-base, and the answers' head.
    assert answers.count(build) == 138_601_728 + 1_538


def test_old_files_load_as_they_are():
    model, state = build(**SMALL), language.filled(build(**SMALL)).state_dict()

    model.load_state_dict({**state, "deberta.embeddings.position_ids": torch.arange(64)[None]}, strict=True)

    assert {"deberta.encoder.rel_embeddings.weight", "deberta.encoder.layer.0.attention.self.pos_q_proj.bias"} <= set(
        state
    )


@pytest.mark.parametrize(
    ("wrong", "match"), [({"num_attention_heads": 5}, "heads"), ({"max_relative_positions": 0}, "relative")]
)
def test_sizes_that_do_not_fit_are_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        build(**{**SMALL, **wrong})
