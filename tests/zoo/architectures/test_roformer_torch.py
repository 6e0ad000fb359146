import pytest
import torch
from tests.zoo.architectures import answers, language
from transformers import RoFormerConfig, RoFormerModel

from bytemlperf.zoo.architectures.initialise_torch import initialise
from bytemlperf.zoo.architectures.roformer_torch import build

SMALL = {
    "vocab_size": 83,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "type_vocab_size": 2,
}


def difference(ours, config, *, length):
    theirs = RoFormerModel(RoFormerConfig(**config, max_position_embeddings=2_048, rotary_value=False)).eval()
    table = theirs.encoder.embed_positions.create_weight()
    state = {
        name.removeprefix("roformer."): value for name, value in ours.state_dict().items() if "classifier" not in name
    }
    theirs.load_state_dict({**state, "encoder.embed_positions.weight": table}, strict=True)
    token, mask, segment = answers.texts(3, length, below=config["vocab_size"])
    with torch.no_grad():
        hidden = theirs(input_ids=token, attention_mask=mask, token_type_ids=segment).last_hidden_state
        mean = torch.stack([row[:used].mean(dim=0) for row, used in zip(hidden, mask.sum(dim=1), strict=True)])
        expected = torch.sigmoid(ours.classifier(mean))
        ours_hidden = ours.roformer(token, segment)
        return max(
            language.relative(ours(segment.float(), token.float()), expected),
            language.relative(ours_hidden[mask == 1], hidden[mask == 1]),
        )


def test_scores_equal_an_independent_implementation():
    assert difference(language.filled(build(**SMALL)), SMALL, length=40) < 1e-5


@pytest.mark.slow
def test_full_size_scores_equal_an_independent_implementation():
    full = {"vocab_size": 50_000, "type_vocab_size": 2}

    assert difference(language.filled(build()), full, length=1_024) < 1e-5


def test_ids_of_any_type_of_number_are_the_same_ids():
    model = language.filled(build(**SMALL))
    token, _, segment = answers.texts(2, 24, below=83)

    with torch.no_grad():
        assert torch.equal(model(segment.float(), token.float()), model(segment, token))


def test_padding_is_not_read():
    model = language.filled(build(**SMALL))
    token, _, segment = answers.texts(1, 24, below=83)
    longer = [torch.nn.functional.pad(each, (0, 8)) for each in (segment, token)]

    with torch.no_grad():
        assert language.relative(model(*longer), model(segment, token)) < 1e-5
        assert model(torch.zeros(2, 8), torch.zeros(2, 8)).isfinite().all()


def test_random_weights_can_be_told_apart_in_halves_too():
    model = build(**{**SMALL, "hidden_size": 192, "num_hidden_layers": 12})
    initialise(model, 0)
    first, second = (answers.texts(2, 48, below=83, seed=seed) for seed in (1, 2))

    with torch.no_grad():
        score, other = model(first[2], first[0]), model(second[2], second[0])
        half = model.half()(first[2], first[0]).float()

    assert ((score > 0) & (score < 1)).all()
    assert language.relative(other, score) > 1e-3
    assert language.relative(half, score) < 1e-3


def test_it_has_its_number_of_parameters():
    assert answers.count(build) == 123_457_536 + 769


def test_files_of_the_hub_load_but_for_the_head():
    model, state = build(**SMALL), language.filled(build(**SMALL)).state_dict()

    model.load_state_dict({**state, "roformer.encoder.embed_positions.weight": torch.ones(1_536, 12)}, strict=True)

    assert "roformer.encoder.layer.0.attention.self.query.weight" in state


@pytest.mark.parametrize(("wrong", "match"), [({"num_attention_heads": 5}, "heads"), ({"type_vocab_size": 0}, "type")])
def test_sizes_that_do_not_fit_are_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        build(**{**SMALL, **wrong})
