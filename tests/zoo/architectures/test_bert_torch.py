import pytest
import torch
from tests.zoo.architectures import answers, language
from transformers import BertConfig, BertForQuestionAnswering, BertForSequenceClassification

from bytemlperf.zoo.architectures.bert_torch import build

SMALL = {
    "vocab_size": 83,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 64,
}
OTHER = {**SMALL, "type_vocab_size": 3, "layer_norm_eps": 1e-6, "hidden_act": "relu"}


@pytest.mark.parametrize("config", [SMALL, OTHER], ids=["small", "other"])
def test_logits_equal_an_independent_implementation(config):
    ours, theirs = language.filled(build(**config)), BertForQuestionAnswering(BertConfig(**config)).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    inputs = answers.texts(3, 40, below=83)

    assert answers.difference(ours, theirs, inputs) < 1e-5
    answers.check_padding_is_not_read(ours, inputs)


@pytest.mark.slow
def test_full_size_logits_equal_an_independent_implementation():
    ours, theirs = language.filled(build()), BertForQuestionAnswering(BertConfig()).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)

    assert answers.difference(ours, theirs, answers.texts(2, 384, below=30_522)) < 1e-5


def test_classes_equal_an_independent_implementation():
    ours = language.filled(build(**SMALL, num_labels=5))
    theirs = BertForSequenceClassification(BertConfig(**SMALL, num_labels=5)).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    ids, mask, kinds = answers.texts(3, 40, below=83)

    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask, token_type_ids=kinds).logits
        assert language.relative(ours(ids, mask, kinds), expected) < 1e-5


def test_both_logits_can_come_in_one():
    answers.check_joined(
        language.filled(build(**SMALL)), build(**SMALL, split_logits=False), answers.texts(2, 24, below=83)
    )


def test_random_weights_can_be_told_apart_in_halves_too():
    answers.check_random_weights(build(**{**SMALL, "hidden_size": 192, "num_hidden_layers": 12}), below=83)


def test_it_has_the_published_number_of_parameters():
    # 109,482,240 of bert-base-uncased, less the pooler, and the answers' head.
    assert answers.count(build) == 109_482_240 - 590_592 + 1_538 == 108_893_186
    assert answers.count(build, {"num_labels": 2}) == 109_482_240 + 1_538


def test_old_files_load_as_they_are():
    model, state = build(**SMALL), language.filled(build(**SMALL)).state_dict()
    old = {
        "bert.embeddings.position_ids": torch.arange(64)[None],
        "bert.pooler.dense.weight": torch.ones(48, 48),
        "bert.pooler.dense.bias": torch.ones(48),
    }

    model.load_state_dict({**state, **old}, strict=True)

    assert "bert.encoder.layer.2.attention.self.query.weight" in state
    with pytest.raises(RuntimeError, match="Unexpected"):
        model.load_state_dict({**state, "bert.embeddings.table": torch.ones(1)}, strict=True)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"num_attention_heads": 5}, "num_attention_heads"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"hidden_act": "x"}, "gelu"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        build(**{**SMALL, **wrong})
