import pytest
import torch
from tests.zoo.architectures import answers, language
from transformers import AlbertConfig, AlbertForQuestionAnswering

from bytemlperf.zoo.architectures.albert_torch import build

SMALL = {
    "vocab_size": 83,
    "embedding_size": 24,
    "hidden_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 64,
    "hidden_act": "gelu_new",
}
GROUPS = {**SMALL, "num_hidden_layers": 5, "num_hidden_groups": 2, "inner_group_num": 2, "hidden_act": "gelu"}


@pytest.mark.parametrize("config", [SMALL, GROUPS], ids=["small", "groups"])
def test_logits_equal_an_independent_implementation(config):
    ours, theirs = language.filled(build(**config)), AlbertForQuestionAnswering(AlbertConfig(**config)).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    inputs = answers.texts(3, 40, below=83)

    assert answers.difference(ours, theirs, inputs) < 1e-5
    answers.check_padding_is_not_read(ours, inputs)


@pytest.mark.slow
def test_full_size_logits_equal_an_independent_implementation():
    config = AlbertConfig(
        embedding_size=128, hidden_size=768, num_attention_heads=12, intermediate_size=3_072, hidden_act="gelu_new"
    )
    ours, theirs = language.filled(build()), AlbertForQuestionAnswering(config).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)

    assert answers.difference(ours, theirs, answers.texts(2, 384, below=30_000)) < 1e-5


def test_both_logits_can_come_in_one():
    answers.check_joined(
        language.filled(build(**SMALL)), build(**SMALL, split_logits=False), answers.texts(2, 24, below=83)
    )


def test_random_weights_can_be_told_apart_in_halves_too():
    answers.check_random_weights(build(**{**SMALL, "hidden_size": 192, "num_hidden_layers": 12}), below=83)


def test_it_has_the_published_number_of_parameters():
    # 11,683,584 of albert-base-v2, less the pooler, and the answers' head.
    assert answers.count(build) == 11_683_584 - 590_592 + 1_538


def test_old_files_load_as_they_are():
    model, state = build(**SMALL), language.filled(build(**SMALL)).state_dict()
    old = {"albert.pooler.weight": torch.ones(48, 48), "albert.embeddings.position_ids": torch.arange(64)[None]}

    model.load_state_dict({**state, **old}, strict=True)

    assert "albert.encoder.albert_layer_groups.0.albert_layers.0.attention.dense.weight" in state


@pytest.mark.parametrize(
    ("wrong", "match"), [({"num_attention_heads": 5}, "heads"), ({"num_hidden_groups": 0}, "groups")]
)
def test_sizes_that_do_not_fit_are_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        build(**{**SMALL, **wrong})
