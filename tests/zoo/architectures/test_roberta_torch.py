import pytest
import torch
from tests.zoo.architectures import answers, language
from transformers import RobertaConfig, RobertaForQuestionAnswering

from bytemlperf.zoo.architectures.roberta_torch import build

SMALL = {
    "vocab_size": 83,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 66,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}


def test_logits_equal_an_independent_implementation():
    ours, theirs = language.filled(build(**SMALL)), RobertaForQuestionAnswering(RobertaConfig(**SMALL)).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    inputs = answers.texts(3, 40, below=83, types=1, padding=1)

    assert answers.difference(ours, theirs, inputs) < 1e-5


def test_a_padding_id_within_the_text_takes_no_position():
    ours, theirs = language.filled(build(**SMALL)), RobertaForQuestionAnswering(RobertaConfig(**SMALL)).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    ids, mask, kinds = answers.texts(2, 40, below=83, types=1, padding=1)
    ids[0, 7] = 1

    assert answers.difference(ours, theirs, (ids, mask, kinds)) < 1e-5


@pytest.mark.slow
def test_full_size_logits_equal_an_independent_implementation():
    config = RobertaConfig(vocab_size=50_265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5)
    ours, theirs = language.filled(build()), RobertaForQuestionAnswering(config).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)

    assert answers.difference(ours, theirs, answers.texts(2, 384, below=50_265, types=1, padding=1)) < 1e-5


def test_both_logits_can_come_in_one():
    inputs = answers.texts(2, 24, below=83, types=1, padding=1)
    answers.check_joined(language.filled(build(**SMALL)), build(**SMALL, split_logits=False), inputs)


def test_random_weights_can_be_told_apart_in_halves_too():
    model = build(**{**SMALL, "hidden_size": 192, "num_hidden_layers": 12})

    answers.check_random_weights(model, below=83, types=1)

    assert not model.state_dict()["roberta.embeddings.position_embeddings.weight"][1].any()


def test_it_has_the_published_number_of_parameters():
    # 124,645,632 of roberta-base, less the pooler, and the answers' head.
    assert answers.count(build) == 124_645_632 - 590_592 + 1_538


def test_old_files_load_as_they_are():
    model, state = build(**SMALL), language.filled(build(**SMALL)).state_dict()

    model.load_state_dict({**state, "roberta.embeddings.position_ids": torch.arange(66)[None]}, strict=True)

    assert "roberta.encoder.layer.0.attention.output.LayerNorm.weight" in state


@pytest.mark.parametrize(
    ("wrong", "match"), [({"num_attention_heads": 5}, "heads"), ({"max_position_embeddings": 2}, "behind pad_token_id")]
)
def test_sizes_that_do_not_fit_are_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        build(**{**SMALL, **wrong})
