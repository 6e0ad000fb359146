from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from bytemlperf.errors import DatasetError, MalformedOutputError
from bytemlperf.metrics import Top1, Top5, ZeroShotTop1


def scored(metric, logits, labels, name="logits"):
    return metric.compute(metric.update(metric.initial(), {name: logits}, labels))[f"accuracy/{metric.name}"]


def test_top5_is_that_of_scikit_learn(rng):
    logits, labels = rng.normal(size=(3000, 20)), rng.integers(0, 20, 3000)
    found = scored(Top5(), logits, labels)
    assert found.value == pytest.approx(top_k_accuracy_score(labels, logits, k=5, labels=range(20)), rel=1e-9)
    assert found.low < found.value < found.high
    assert Top5().right({"x": logits}, labels).mean() == found.value


def test_of_equal_logits_the_first_count_and_a_nan_is_wrong():
    logits = np.zeros((3, 8))
    logits[2, 7] = np.nan
    found = scored(Top5(), logits, np.array([4, 5, 0]))
    assert (found.value, found.n) == (1 / 3, 3)
    assert "1 samples have NaN" in found.note


def test_zero_shot_takes_the_images_logits(rng):
    logits, labels = rng.normal(size=(500, 10)), rng.integers(0, 10, 500)
    metric = ZeroShotTop1()
    outputs = {"logits_per_text": logits.T, "logits_per_image": logits}
    found = metric.compute(metric.update(metric.initial(), outputs, labels))["accuracy/zero_shot_top1"]
    assert found.value == (logits.argmax(axis=1) == labels).mean() == metric.right(outputs, labels).mean()
    with pytest.raises(MalformedOutputError):
        metric.update(metric.initial(), {"a": logits, "b": logits}, labels)
    with pytest.raises(DatasetError):
        metric.update(metric.initial(), {"logits_per_image": logits}, labels + 10)


@pytest.mark.parametrize(("shift", "way"), [(1, "higher"), (-1, "lower")])
def test_labels_that_are_one_off_are_noticed(rng, shift, way):
    labels = rng.integers(1, 999, 400)
    logits = np.zeros((400, 1001))
    logits[np.arange(400), labels + shift] = rng.random(400) < 0.7
    assert f"labels one {way} would be right for 0." in scored(Top1(), logits, labels).note
    logits[np.arange(400), labels] = 2
    assert not scored(Top1(), logits, labels).note
