"""What units bring to each metric makes the very figure that the metric computes, and can be cut down to some units."""

from __future__ import annotations

from typing import ClassVar

import attrs
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.metrics.test_detection import image, raw
from tests.metrics.test_language_metrics import questions
from tests.metrics.test_squad import window

from bytemlperf.datasets.labels import PAIR, as_labels
from bytemlperf.metrics import Estimate, Metrics, Scoring, Units, figures_in_pairs, names, sample_metric
from bytemlperf.metrics.auc import area
from bytemlperf.metrics.units import MOST_UNITS

ALL = 1 << 40


def classes(rng):
    return {"logits": rng.normal(size=(30, 12))}, rng.integers(0, 12, 30)


def clicks(rng):
    probability = rng.integers(1, 9, 30) / 9
    return {"probabilities": np.stack([1 - probability, probability], axis=1)}, rng.integers(0, 2, 30)


def triplets(rng):
    labels = np.array([(number // 2, number % 2 == 0) for number in range(30)], PAIR)
    return {"similarity": rng.integers(0, 3, (30, 1)).astype(float)}, labels


def tokens(rng):
    labels = rng.integers(0, 20, (30, 9))
    labels[4], labels[:, 7:] = -100, -100
    return {"logits": rng.normal(size=(30, 9, 20))}, labels


def choices(rng):
    return {"logits": rng.normal(size=(30, 5, 9))}, questions(*rng.integers(0, 4, (30, 2)).tolist())


def windows(rng):
    """Questions of two windows each, of which the second may win."""
    words = rng.permuted(np.tile(["alpha", "beta", "gamma", "delta"], (15, 1)), axis=1)
    labels = [
        window(f"q{number // 2}", passage=" ".join(words[number // 2]), answers=("beta gamma", "delta"), windows=2)
        for number in range(30)
    ]
    return {"logits": rng.normal(size=(30, 8, 2))}, as_labels(labels)


def photographs(rng):
    truths = [image(rng, number, classes=3, crowd=0.0) for number in rng.permutation(30).tolist()]
    rows = [raw(each.boxes, each.categories, scores=rng.random(len(each.boxes)), extra=6 - len(each.boxes))
            for each in truths]  # fmt: skip
    return {"output": np.stack(rows)}, as_labels(truths)


DATA = {
    "top1": classes, "top5": classes, "zero_shot_top1": classes, "binary_accuracy": clicks, "auc": clicks,
    "log_loss": clicks, "triplet_accuracy": triplets, "perplexity": tokens, "multiple_choice": choices,
    "squad": windows, "map": photographs, "prompt_perplexity": tokens,
}  # fmt: skip


def scored(name, outputs, labels, rows):
    scoring = Scoring({name: sample_metric(name)})
    for part in rows:
        scoring.add({key: value[part] for key, value in outputs.items()}, labels[part])
    return scoring.figures()[name], scoring.units(most_bytes=ALL)[name]


def made(name, units):
    figures = figures_in_pairs(sample_metric(name))
    return {figure: how(units.values)(np.ones((1, len(units.ids))))[0] for figure, how in figures.items()}


def test_every_metric_of_the_package_can_be_paired():
    ours = [name for name in names() if type(sample_metric(name)).__module__.startswith("bytemlperf.")]
    assert sorted(ours) == sorted(DATA)
    assert all(figures_in_pairs(sample_metric(name)) for name in ours)


@pytest.mark.parametrize("name", DATA)
def test_units_make_the_figures_that_the_metric_computes(name, rng):
    outputs, labels = DATA[name](rng)
    figures, units = scored(name, outputs, labels, np.array_split(np.arange(30), 7))
    found = made(name, units)
    assert found
    for figure, value in found.items():
        assert value == pytest.approx(figures[figure].value, rel=1e-12), figure
    foreign = ("bytemlperf", "/prompt_")  # formulas of others, and figures of one prompt each
    assert set(found) == {figure for figure in figures if not any(each in figure for each in foreign)}


@pytest.mark.parametrize("name", DATA)
def test_units_of_the_first_samples_are_among_those_of_all(name, rng):
    """As a reference that answered these alone has them."""
    outputs, labels = DATA[name](rng)
    _, every = scored(name, outputs, labels, [np.arange(30)])
    figures, some = scored(name, outputs, labels, [np.arange(14)])
    assert set(some.ids.tolist()) < set(every.ids.tolist())
    kept = np.isin(every.ids, some.ids)
    cut = attrs.evolve(every, ids=every.ids[kept], values=every.values[kept])
    for figure, value in made(name, cut).items():
        assert value == pytest.approx(figures[figure].value, rel=1e-12)


def test_a_question_is_a_unit_once_all_its_windows_were_asked(rng):
    outputs, labels = windows(rng)
    _, units = scored("squad", outputs, labels, [np.arange(9)])
    assert (len(set(units.ids.tolist())), units.noun) == (4, "questions")


def test_a_window_without_a_finite_loss_leaves_nothing_to_pair(rng):
    outputs, labels = tokens(rng)
    outputs["logits"][3, 2, 5] = np.nan
    figures, units = scored("perplexity", outputs, labels, [np.arange(30)])
    assert (figures["accuracy/perplexity"].value, units.count) == (None, 0)


def test_the_area_of_samples_that_are_drawn_is_that_of_scikit_learn_with_weights(rng):
    scores, clicked = rng.integers(0, 9, 60) / 9, rng.integers(0, 2, 60)
    weights = rng.integers(0, 4, (8, 60)).astype(float)
    found = area(np.stack([scores, clicked], axis=1))(weights)
    for row, value in zip(weights, found, strict=True):
        assert value == pytest.approx(roc_auc_score(clicked, scores, sample_weight=row), rel=1e-12)
    with np.errstate(invalid="ignore"):
        assert np.isnan(area(np.stack([scores, clicked], axis=1))(clicked[np.newaxis].astype(float))[0])


class Plain:
    """A metric without units: its figure is no matter of pairs."""

    name = "plain"
    higher_is_better = True

    def initial(self):
        return 0

    def update(self, state, outputs, labels):
        return state + len(labels)

    def compute(self, state):
        return Metrics({"accuracy/plain": Estimate(value=state, unit="1", definition="samples")})


class Loss(Plain):
    """One that scores each sample."""

    name = "loss"

    def scores(self, outputs, labels):
        return outputs["x"] - labels


class ByText(Loss):
    """One that has units of its own, which go before scores."""

    name = "by_text"
    figures: ClassVar = {"accuracy/by_text": lambda values: lambda weights: weights @ values[:, 0]}

    def units(self, state):
        return Units(ids=np.array(["a"]), values=np.array([[float(state)]]))


def test_several_metrics_are_scored_at_once():
    metrics = {each.name: each for each in (Plain(), Loss(), ByText())}
    scoring = Scoring(metrics)
    assert set(scoring.units(most_bytes=ALL)) == {"by_text"}
    for start in (0.0, 10.0):
        scoring.add({"x": np.array([start, start + 1])}, np.array([1, 1]))
    units = scoring.units(most_bytes=ALL)
    assert scoring.figures()["plain"]["accuracy/plain"].value == 4
    assert (units["loss"].ids.tolist(), units["loss"].values[:, 0].tolist()) == ([0, 1, 2, 3], [-1, 0, 9, 10])
    assert units["by_text"].values.tolist() == [[4.0]]
    assert scoring.units(most_bytes=32)["loss"].count == 2
    assert {name: list(figures_in_pairs(each)) for name, each in metrics.items()} == {
        "plain": [], "loss": ["accuracy/loss"], "by_text": ["accuracy/by_text"],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["loss", "auc", "triplet_accuracy"])
def test_of_many_samples_the_first_million_are_told(name):
    count = MOST_UNITS // 4 + 5
    triplet = np.repeat(np.arange(2 * count), 2)
    labels = np.zeros(4 * count, PAIR)
    labels["triplet"], labels["similar"] = triplet, np.arange(4 * count) % 2 == 0
    labels = labels if name == "triplet_accuracy" else np.arange(4 * count) % 2
    scoring = Scoring({name: Loss() if name == "loss" else sample_metric(name)})
    for part in np.split(np.arange(4 * count), 2):
        scoring.add({"x": (part % 7) / 7}, labels[part])
    units = scoring.units(most_bytes=ALL)[name]
    assert units.count == (2 * count if name == "triplet_accuracy" else MOST_UNITS)
