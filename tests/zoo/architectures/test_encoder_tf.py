"""The TensorFlow twins of encoders give what their PyTorch twins give."""

import numpy as np
import pytest
import tensorflow as tf
import torch
from tests.zoo.architectures import answers, language

from bytemlperf.zoo.architectures import bert_tf, bert_torch, roformer_tf, roformer_torch

BERT = {
    "vocab_size": 83,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 64,
}
ROFORMER = {name: value for name, value in BERT.items() if name != "max_position_embeddings"}


def weights_of(module):
    return {name: value.numpy() for name, value in module.state_dict().items()}


def relative(actual, expected):
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def bert_difference(config, *, length, below):
    twin = language.filled(bert_torch.build(**config, split_logits=False))
    ids, mask, kinds = answers.texts(3, length, below=below)
    module = bert_tf.build(weights_of(twin), **config)
    logits = module.serve(*(tf.constant(each.numpy().astype(np.int32)) for each in (ids, mask, kinds)))["logits"]
    with torch.no_grad():
        return relative(logits.numpy()[mask.numpy() == 1], twin(ids, mask, kinds)[mask == 1].numpy())


def roformer_difference(config, *, length, below):
    twin = language.filled(roformer_torch.build(**config))
    token, _, segment = answers.texts(3, length, below=below)
    module = roformer_tf.build(weights_of(twin), **config)
    score = module.serve(*(tf.constant(each.numpy().astype(np.float32)) for each in (segment, token)))["Identity"]
    with torch.no_grad():
        return relative(score.numpy(), twin(segment, token).numpy())


@pytest.mark.parametrize("changes", [{}, {"hidden_act": "relu", "layer_norm_eps": 1e-6}, {"hidden_act": "gelu_new"}])
def test_bert_twins_give_the_same_logits(changes):
    assert bert_difference({**BERT, **changes}, length=40, below=83) < 1e-5


def test_bert_gives_start_and_end_apart_where_asked():
    twin = language.filled(bert_torch.build(**BERT))
    inputs = answers.texts(2, 16, below=83)
    named = bert_tf.build(weights_of(twin), **BERT, split_logits=True).serve(
        *(tf.constant(each.numpy().astype(np.int32)) for each in inputs)
    )
    with torch.no_grad():
        start, end = twin(*inputs)
    assert relative(named["start_logits"].numpy(), start.numpy()) < 1e-5
    assert relative(named["end_logits"].numpy(), end.numpy()) < 1e-5


def test_roformer_twins_give_the_same_scores():
    assert roformer_difference(ROFORMER, length=40, below=83) < 1e-5


@pytest.mark.slow
def test_full_size_twins_agree():
    assert bert_difference({}, length=384, below=30_522) < 1e-4
    assert roformer_difference({}, length=1_024, below=50_000) < 1e-4


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"num_hidden_layers": 3}, "2 layers"),
        ({"vocab_size": 84}, "word_embeddings"),
        ({"hidden_act": "x"}, "hidden_act"),
    ],
)
def test_weights_of_another_configuration_are_refused(changes, match):
    for torch_file, tf_file, config in ((bert_torch, bert_tf, BERT), (roformer_torch, roformer_tf, ROFORMER)):
        weights = weights_of(torch_file.build(**config))
        with pytest.raises(ValueError, match=match):
            tf_file.build(weights, **{**config, **changes})
