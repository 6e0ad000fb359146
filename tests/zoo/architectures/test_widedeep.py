import numpy as np
import pytest
import torch

from bytemlperf.zoo.architectures import widedeep_tf, widedeep_torch
from bytemlperf.zoo.architectures.initialise_torch import initialise

SMALL = {"columns": 5, "buckets": 30, "numbers": 3, "embedding_width": 4, "hidden": (16, 8)}
FULL = {"columns": 26, "buckets": 1000, "numbers": 13, "embedding_width": 32, "hidden": (1024, 512, 256)}


@pytest.fixture(scope="module", params=[SMALL, FULL], ids=["small", "full"])
def config(request):
    return request.param


@pytest.fixture(scope="module")
def network(config):
    module = widedeep_torch.build(**config)
    initialise(module, 3)
    return module


def inputs(config, batch, rng):
    columns = np.tile(np.arange(config["columns"]), batch)
    buckets = rng.integers(config["buckets"], size=columns.shape)
    numbers = rng.random((batch, config["numbers"]), dtype=np.float32)
    return np.stack([columns, buckets], axis=1), numbers


def weights_of(network):
    return {name: value.detach().numpy() for name, value in network.state_dict().items()}


def asked(network, categorical, numeric):
    with torch.no_grad():
        return network(torch.from_numpy(categorical), torch.from_numpy(numeric)).numpy()


def test_the_twins_answer_alike(config, network, rng):
    ours = widedeep_tf.build(weights_of(network), **config)
    categorical, numeric = inputs(config, 6, rng)

    answer = ours.serve(categorical, numeric)["probabilities"].numpy()

    np.testing.assert_allclose(answer, asked(network, categorical, numeric), rtol=1e-4)


def test_the_probability_is_that_of_the_formula_written_out(config, network, rng):
    weights = {name: value.astype(np.float64) for name, value in weights_of(network).items()}
    categorical, numeric = inputs(config, 2, rng)
    rows = (categorical[:, 0] * config["buckets"] + categorical[:, 1]).reshape(2, -1)

    deep = np.concatenate([numeric, weights["embedding.weight"][rows].reshape(2, -1)], axis=1)
    for layer in range(len(config["hidden"])):
        deep = np.maximum(deep @ weights[f"hidden.{layer}.weight"].T + weights[f"hidden.{layer}.bias"], 0)
    last = len(config["hidden"])
    logit = deep @ weights[f"hidden.{last}.weight"].T + weights[f"hidden.{last}.bias"]
    logit = logit[:, 0] + weights["wide.weight"][rows, 0].sum(axis=1) + weights["wide_bias"]
    click = 1 / (1 + np.exp(-logit))

    np.testing.assert_allclose(asked(network, categorical, numeric), np.stack([1 - click, click], axis=1), rtol=1e-5)


def test_random_weights_tell_samples_apart(config, network, rng):
    categorical, numeric = inputs(config, 50, rng)

    click = asked(network, categorical, numeric)[:, 1]

    assert click.std() > 0.05
    assert 0.01 < click.min() < click.max() < 0.99


def test_a_sample_is_26_rows_whatever_batch_it_is_in(config, network, rng):
    categorical, numeric = inputs(config, 3, rng)
    rows = config["columns"]

    alone = asked(network, categorical[rows : 2 * rows], numeric[1:2])

    np.testing.assert_allclose(alone, asked(network, categorical, numeric)[1:2], rtol=1e-5)


@pytest.mark.parametrize("change", [{"buckets": 29}, {"hidden": (16, 9)}])
def test_weights_of_another_size_are_refused(change):
    weights = weights_of(widedeep_torch.build(**SMALL))

    with pytest.raises(ValueError, match="do not fit"):
        widedeep_tf.build(weights, **(SMALL | change))
