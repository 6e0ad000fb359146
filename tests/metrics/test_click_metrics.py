from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from bytemlperf.errors import DatasetError, MalformedOutputError
from bytemlperf.metrics import Auc, BinaryAccuracy, LogLoss
from bytemlperf.statistics import mean_interval

METRICS = (Auc, LogLoss, BinaryAccuracy)


def scored(metric, probabilities, labels, *, pieces=1):
    state = metric.initial()
    parts = zip(np.array_split(probabilities, pieces), np.array_split(labels, pieces), strict=True)
    for part, wanted in parts:
        state = metric.update(state, {"probabilities": part}, wanted)
    return metric.compute(state)


@pytest.mark.parametrize("levels", [7, 1_000_000], ids=["many ties", "few ties"])
@pytest.mark.parametrize("pieces", [1, 13])
def test_figures_are_those_of_scikit_learn(rng, levels, pieces):
    probability = rng.integers(0, levels + 1, 20_000) / levels
    labels = (rng.random(20_000) < 0.2 + 0.3 * probability).astype(np.int64)
    both = np.stack([1 - probability, probability], axis=1)
    expected = {
        "auc": roc_auc_score(labels, probability),
        "log_loss": log_loss(labels, probability),
        "binary_accuracy": accuracy_score(labels, probability > 0.5),
    }
    for metric in METRICS:
        found = scored(metric(), both, labels, pieces=pieces)[f"accuracy/{metric().name}"]
        assert found.value == pytest.approx(expected[metric().name], rel=1e-9)
        assert found.n == 20_000
        assert found.low < found.value < found.high


def test_delongs_interval_covers_the_true_area_as_often_as_it_says(rng):
    covered = 0
    for _ in range(400):
        labels = np.arange(300) % 3 == 0
        found = scored(Auc(), 1 / (1 + np.exp(-rng.normal(labels * 1.0))), labels.astype(int))["accuracy/auc"]
        covered += found.low <= 0.76024993890652 <= found.high  # Phi(1 / sqrt(2))
    assert 365 <= covered <= 395


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_the_probability_of_a_click_may_stand_alone(shape):
    found = scored(Auc(), np.array([0.1, 0.4, 0.35, 0.8]).reshape(shape), np.array([0, 0, 1, 1]))
    assert found["accuracy/auc"].value == 0.75


def test_a_nan_is_wrong_and_told():
    probabilities, labels = np.array([np.nan, 0.2, np.nan, 0.9]), np.array([1, 0, 0, 1])
    auc = scored(Auc(), probabilities, labels)["accuracy/auc"]
    assert (auc.value, "2 scores are NaN" in auc.note) == (0.25, True)
    loss = scored(LogLoss(), probabilities, labels)["accuracy/log_loss"]
    assert loss.value > 18
    assert "2 scores are NaN" in loss.note
    assert scored(BinaryAccuracy(), probabilities, labels)["accuracy/binary_accuracy"].value == 0.5


def test_certain_and_wrong_is_told():
    found = scored(LogLoss(), np.array([0.0, 0.5]), np.array([1, 0]))["accuracy/log_loss"]
    assert "1 samples were wrong with certainty" in found.note
    assert np.isfinite(found.value)


def test_a_constant_answer_is_set_beside_the_accuracy():
    found = scored(BinaryAccuracy(), np.full(8, 0.1), np.array([0] * 6 + [1] * 2))
    assert found["accuracy/binary_accuracy"].value == 0.75
    assert "would have 0.7500" in found["accuracy/binary_accuracy"].note


def test_the_originals_rounding_is_labelled():
    found = scored(BinaryAccuracy(), np.array([0.9, 0.9, 0.1]), np.array([1, 1, 1]))[
        "accuracy/binary_accuracy.bytemlperf"
    ]
    assert found.value == 0.66667
    assert found.definition.startswith("ByteMLPerf's formula")


def test_samples_can_be_paired():
    outputs, labels = {"p": np.array([0.9, 0.2, 0.5])}, np.array([1, 1, 0])
    assert BinaryAccuracy().right(outputs, labels).tolist() == [True, False, True]


@pytest.mark.parametrize("metric", METRICS)
def test_without_samples_there_is_no_value(metric):
    found = metric().compute(metric().initial())[f"accuracy/{metric().name}"]
    assert (found.value, found.note) == (None, "no samples")


def test_one_class_alone_has_no_area():
    assert scored(Auc(), np.array([0.1, 0.2]), np.array([1, 1]))["accuracy/auc"].note == "all labels are equal"


@pytest.mark.parametrize("metric", METRICS)
def test_what_does_not_fit_is_refused(metric):
    metric = metric()
    with pytest.raises(DatasetError, match="no clicks"):
        scored(metric, np.array([0.1]), np.array([2]))
    with pytest.raises(MalformedOutputError, match="a probability is none"):
        scored(metric, np.array([1.5]), np.array([1]))
    with pytest.raises(MalformedOutputError, match="wrong shape"):
        scored(metric, np.zeros((1, 3)), np.array([1]))
    with pytest.raises(MalformedOutputError, match="no output 'probabilities'"):
        metric.update(metric.initial(), {"a": np.zeros(1), "b": np.zeros(1)}, np.array([1]))


def test_the_loss_of_each_sample_is_what_two_runs_are_paired_by(rng):
    probability, labels = rng.random(50), rng.integers(0, 2, 50)
    each = LogLoss().scores({"probabilities": probability}, labels)
    np.testing.assert_allclose(
        each, [log_loss([y], [p], labels=[0, 1]) for y, p in zip(labels, probability, strict=True)]
    )
    assert each.mean() == pytest.approx(scored(LogLoss(), probability, labels)["accuracy/log_loss"].value, rel=1e-12)


def test_scores_keep_the_models_own_type_and_lose_nothing(rng):
    probability = rng.random(150_000).astype(np.float32)
    labels = (rng.random(150_000) < probability).astype(np.int64)
    state = Auc().initial()
    for start in range(0, 150_000, 40_000):
        rows = slice(start, start + 40_000)
        state = Auc().update(state, {"p": probability[rows]}, labels[rows])
    assert sum(each.probability.nbytes + each.clicked.nbytes for each in state.parts) == 5 * 150_000
    assert Auc().compute(state)["accuracy/auc"].value == pytest.approx(roc_auc_score(labels, probability), rel=1e-9)
    assert np.concatenate([each.probability for each in state.parts]).tolist() == probability.tolist()


def test_of_losses_only_their_moments_are_kept(rng):
    probability, labels = rng.random(10_000).astype(np.float32), rng.integers(0, 2, 10_000)
    state = LogLoss().initial()
    for part, wanted in zip(np.array_split(probability, 30), np.array_split(labels, 30), strict=True):
        state = LogLoss().update(state, {"p": part}, wanted)
    found = LogLoss().compute(state)["accuracy/log_loss"]
    expected = mean_interval(LogLoss().scores({"p": probability}, labels))
    assert found.value == pytest.approx(log_loss(labels, probability.astype(np.float64)), rel=1e-9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert state.losses.n == 10_000
