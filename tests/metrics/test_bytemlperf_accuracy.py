"""ByteMLPerf's accuracy by its own formulas, replayed in words of our own, a sample at a time.

Source: ByteMLPerf at a30b4f9, general_perf/datasets/open_*/test_accuracy.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.datasets.labels import PAIR, QuestionWindow, as_labels
from bytemlperf.metrics import BinaryAccuracy, Squad, Top1, TripletAccuracy, ZeroShotTop1
from bytemlperf.metrics.squad_answers import exact_match, f1_score

N = 700
"""Shares of 7 do not end within 5 decimals."""


def scored(metric, outputs, labels, *, pieces=1):
    state = metric.initial()
    for rows in np.array_split(np.arange(len(labels)), pieces):
        state = metric.update(state, {name: values[rows] for name, values in outputs.items()}, labels[rows])
    return metric.compute(state)


def theirs_of(figures, name):
    ours, theirs = figures[f"accuracy/{name}"], figures[f"accuracy/{name}.bytemlperf"]
    assert theirs.n == ours.n or name in {"em", "f1"}
    assert theirs.definition.startswith("ByteMLPerf's formula")
    assert "rounded to 5 decimals" in theirs.definition
    return ours.value, theirs.value


def classifier(logits, labels):
    """Their checker counts classes from 1 and puts a zero before the logits of torch and ONNX models."""
    right = 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        shifted = [0.0, *row]
        right += shifted.index(max(shifted)) == label + 1
    return round(right / len(labels), 5)


@pytest.mark.parametrize("pieces", [1, 9])
def test_top1_of_a_classifier(rng, pieces):
    logits, labels = rng.normal(-1.0, 1.0, (N, 6)), rng.integers(0, 6, N)
    logits[np.arange(N), labels] += 1.5
    ours, theirs = theirs_of(scored(Top1(), {"logits": logits}, labels, pieces=pieces), "top1")
    assert theirs == classifier(logits, labels)
    assert ours > theirs, "samples without a positive logit"
    positive = scored(Top1(), {"logits": logits + 50}, labels)
    assert theirs_of(positive, "top1")[1] == round(theirs_of(positive, "top1")[0], 5)


@pytest.mark.parametrize("pieces", [1, 9])
def test_top1_over_prompts(rng, pieces):
    logits, labels = rng.normal(size=(N, 100)), rng.integers(0, 100, N)
    logits[np.arange(N), labels] += 2
    logits[3, 60] = np.nan
    labels[3] = 60
    right = sum(int(np.argmax(row)) == label for row, label in zip(logits, labels, strict=True))
    figures = scored(ZeroShotTop1(), {"logits_per_image": logits}, labels, pieces=pieces)
    ours, theirs = theirs_of(figures, "zero_shot_top1")
    assert theirs == round(right / N, 5)
    assert ours == (right - 1) / N, "a NaN is wrong"


@pytest.mark.parametrize("pieces", [1, 9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_top1_of_clicks(rng, pieces, dtype):
    """Each probability is rounded by itself: both may become 0, or 1, and then the first counts."""
    pairs = rng.choice([0.0, 0.2, 0.4999, 0.5, 0.5001, 0.7, 1.0], (N, 2)).astype(dtype)
    labels = rng.integers(0, 2, N)
    right = 0
    for (none, click), label in zip(pairs.tolist(), labels.tolist(), strict=True):
        rounded = [round(none), round(click)]
        right += rounded.index(max(rounded)) == label
    figures = scored(BinaryAccuracy(), {"probabilities": pairs}, labels, pieces=pieces)
    ours, theirs = theirs_of(figures, "binary_accuracy")
    assert theirs == round(right / N, 5)
    assert ours == np.mean((pairs[:, 1] > 0.5) == labels)
    assert abs(ours - theirs) > 0.01, "these are no probabilities of one sum"


def test_top1_of_clicks_where_the_model_gives_one_probability(rng):
    click, labels = rng.random(N), rng.integers(0, 2, N)
    click[:2], labels[:2] = 0.5, (0, 1)
    right = sum(int(np.argmax(np.round([1 - each, each]))) == label for each, label in zip(click, labels, strict=True))
    for shape in ((N,), (N, 1)):
        figures = scored(BinaryAccuracy(), {"probabilities": click.reshape(shape)}, labels)
        ours, theirs = theirs_of(figures, "binary_accuracy")
        assert theirs == round(right / N, 5) == round(ours, 5)


@pytest.mark.parametrize("pieces", [1, 9])
def test_top1_of_triplets(rng, pieces):
    scores, labels = rng.integers(0, 9, 2 * N) / 9, np.empty(2 * N, PAIR)
    labels["triplet"], labels["similar"] = np.arange(2 * N) // 2, np.arange(2 * N) % 2 == 0
    right = sum(scores[even] > scores[even + 1] for even in range(0, 2 * N, 2))
    figures = scored(TripletAccuracy(), {"score": scores[:, np.newaxis]}, labels, pieces=pieces)
    ours, theirs = theirs_of(figures, "triplet_accuracy")
    assert (ours, theirs) == (right / N, round(right / N, 5))


def questions(rng, count):
    """Return windows of questions, one to three of each, and the word that is answered in each."""
    windows, chosen = [], []
    for number in range(count):
        words = rng.choice(["red", "tower", "of", "the", "Paris", "1889"], 6).tolist()
        passage, several = " ".join(words), int(rng.integers(1, 4))
        starts = np.cumsum([0, *(len(word) + 1 for word in words)])[:6]
        spans = np.array([(first, first + len(word)) for first, word in zip(starts, words, strict=True)], np.int32)
        answers = (words[int(rng.integers(0, 6))], " ".join(words[:2]))
        windows += [
            QuestionWindow(
                question_id=str(number), passage=passage, answers=answers, spans=spans,
                may_start=np.ones(6, np.bool_), windows=several,
            )
        ] * several  # fmt: skip
        chosen += rng.integers(0, 6, several).tolist()
    return windows, chosen


@pytest.mark.parametrize("pieces", [1, 7])
def test_exact_match_and_f1_are_divided_by_samples(rng, pieces):
    windows, chosen = questions(rng, 120)
    logits = np.zeros((len(windows), 6))
    logits[np.arange(len(windows)), chosen] = rng.random(len(windows)) + 5
    best = {}
    for window, place, row in zip(windows, chosen, logits, strict=True):
        if window.question_id not in best or row[place] > best[window.question_id][0]:
            first, last = window.spans[place]
            best[window.question_id] = (row[place], window.passage[first:last], window.answers)
    exact = sum(exact_match(text, answers) for _, text, answers in best.values())
    f1 = sum(f1_score(text, answers) for _, text, answers in best.values())
    figures = scored(Squad(), {"start_logits": logits, "end_logits": logits}, as_labels(windows), pieces=pieces)
    assert theirs_of(figures, "em") == (pytest.approx(100 * exact / 120), round(100 * exact / len(windows), 5))
    assert theirs_of(figures, "f1") == (pytest.approx(100 * f1 / 120), round(100 * f1 / len(windows), 5))
    for name in ("em", "f1"):
        definition = figures[f"accuracy/{name}.bytemlperf"].definition
        assert "masks each sample by every other of its batch, which is not done here" in definition
