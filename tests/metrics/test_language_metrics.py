from __future__ import annotations

import numpy as np
import pytest
import torch

from bytemlperf.datasets.labels import CHOICE, PAIR
from bytemlperf.errors import DatasetError, MalformedOutputError
from bytemlperf.metrics import MultipleChoice, Perplexity, TripletAccuracy


def scored(metric, outputs, labels):
    return metric.compute(metric.update(metric.initial(), outputs, labels))[f"accuracy/{metric.name}"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_perplexity_is_exp_of_torchs_cross_entropy_in_float64(rng, dtype):
    logits = (rng.normal(size=(6, 40, 700)) * 4).astype(dtype)
    labels = rng.integers(0, 700, (6, 40))
    labels[:, 0], labels[5, 20:] = -100, -100
    metric, state = Perplexity(), Perplexity().initial()
    for rows in (slice(0, 1), slice(1, 4), slice(4, 6)):
        state = metric.update(state, {"logits": logits[rows]}, labels[rows])
    found = metric.compute(state)["accuracy/perplexity"]
    loss = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits.astype(np.float64)).reshape(-1, 700), torch.from_numpy(labels).reshape(-1)
    )
    assert found.value == pytest.approx(float(loss.exp()), rel=1e-9)
    assert found.n == 6 * 39 - 20
    assert found.low < found.value < found.high


def test_large_logits_lose_nothing():
    logits = np.array([[[1000.0, 1000.0], [-1000.0, -1000.0]]])
    assert scored(Perplexity(), {"logits": logits}, np.array([[0, 1]])).value == pytest.approx(2)


def test_a_token_without_a_finite_loss_leaves_no_perplexity():
    logits = np.zeros((1, 2, 3))
    logits[0, 1, 2] = np.nan
    found = scored(Perplexity(), {"logits": logits}, np.array([[0, 1]]))
    assert found.value is None
    assert found.note == "-log p of 1 tokens is not finite"
    assert scored(Perplexity(), {"logits": logits}, np.array([[0, -100]])).value == pytest.approx(3)


def test_labels_outside_the_vocabulary_are_refused():
    with pytest.raises(DatasetError, match="no tokens of the model"):
        scored(Perplexity(), {"logits": np.zeros((1, 2, 3))}, np.array([[0, 3]]))
    with pytest.raises(MalformedOutputError, match="wrong shape"):
        scored(Perplexity(), {"logits": np.zeros((1, 3, 3))}, np.array([[0, 1]]))
    with pytest.raises(MalformedOutputError, match="no output 'logits'"):
        scored(Perplexity(), {"a": np.zeros(1), "b": np.zeros(1)}, np.array([[0, 1]]))


def questions(*rows):
    return np.array([(position, (1, 2, 3, 4), answer) for position, answer in rows], CHOICE)


def test_the_likeliest_of_the_four_letters_is_the_answer():
    logits = np.zeros((3, 5, 9))
    logits[:, :, 8] = 9  # no letter
    logits[0, 2, 3] = logits[1, 4, 1] = logits[2, 0, 2] = 1
    metric, labels = MultipleChoice(), questions((2, 2), (4, 0), (0, 3))
    assert metric.right({"logits": logits}, labels).tolist() == [True, True, False]
    found = scored(metric, {"logits": logits}, labels)
    assert (found.value, found.n) == (2 / 3, 3)
    logits[0, 2, 4] = np.nan
    assert metric.right({"logits": logits}, labels).tolist() == [False, True, False]


def test_a_question_beyond_the_logits_is_refused():
    with pytest.raises(MalformedOutputError, match="do not reach a question's position"):
        scored(MultipleChoice(), {"logits": np.zeros((1, 2, 9))}, questions((2, 0)))
    with pytest.raises(MalformedOutputError, match="do not reach a question's choices"):
        scored(MultipleChoice(), {"logits": np.zeros((1, 2, 4))}, questions((1, 0)))
    with pytest.raises(DatasetError, match="none of questions"):
        scored(MultipleChoice(), {"logits": np.zeros((1, 2, 9))}, np.array([1]))


def pairs(*rows):
    return np.array(list(rows), PAIR)


def test_triplets_are_put_together_whatever_the_order_and_the_batches(rng):
    labels = pairs(*[(triplet, similar) for triplet in range(50) for similar in (True, False)])
    scores = rng.integers(0, 5, 100).astype(np.float32)
    right = int((scores[::2] > scores[1::2]).sum())
    order = rng.permutation(100)
    metric, state = TripletAccuracy(), TripletAccuracy().initial()
    for part in np.array_split(order, 7):
        state = metric.update(state, {"score": scores[part, np.newaxis]}, labels[part])
    assert (len(state.alone), state.triplets) == (0, 50)  # of a triplet of which both are scored no score is kept
    found = metric.compute(state)
    assert (found["accuracy/triplet_accuracy"].value, found["accuracy/triplet_accuracy"].n) == (right / 50, 50)
    assert found["accuracy/triplet_accuracy.bytemlperf"].value == round(right / 50, 5)


def test_a_triplet_in_part_is_told_and_a_nan_is_wrong():
    labels = pairs((0, True), (0, False), (1, True))
    found = scored(TripletAccuracy(), {"score": np.array([np.nan, 0.0, 1.0])}, labels)
    assert (found.value, found.n) == (0, 1)
    assert "1 triplets" in found.note
    assert "1 scores are NaN" in found.note
    with pytest.raises(DatasetError, match="none of pairs"):
        scored(TripletAccuracy(), {"score": np.zeros(2)}, np.array([0, 1]))
    with pytest.raises(MalformedOutputError, match="no score of each pair"):
        scored(TripletAccuracy(), {"score": np.zeros((3, 2))}, labels)
    with pytest.raises(MalformedOutputError, match="has no score"):
        scored(TripletAccuracy(), {"a": np.zeros(3), "b": np.zeros(3)}, labels)
