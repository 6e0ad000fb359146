"""NaN and infinity in answers that are scored: all are looked at, not only those that the reference knows."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation import wrong
from tests.residual import residual
from tests.waves import codes

from bytemlperf import ArrayLoader, run
from bytemlperf.report import Outcome, RowKind

COUNT, LATE = 24, 20


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return residual(tmp_path_factory.mktemp("residual"), blocks=1)


def images():
    """Images whose first pixel is the number of the sample."""
    image = np.random.default_rng(4).standard_normal((COUNT, 1, 8, 8)).astype(np.float32)
    image[:, 0, 0, 0] = np.arange(COUNT)
    return ArrayLoader(image=image, labels=np.zeros(COUNT, np.int64), metric="top1")


class Late(wrong.Right):
    """The last samples have NaN or infinity."""

    def __init__(self, value):
        self.value = value

    def predict(self, compiled, batch):
        outputs = {name: array.copy() for name, array in super().predict(compiled, batch).items()}
        outputs["logits"][batch.inputs["image"][:, 0, 0, 0] >= LATE, 2] = self.value
        return outputs


def evaluate(model, backend, **fields):
    chosen = {"checks": ["accuracy", "numeric"], "batch_sizes": [5], "numeric_samples": 8, **fields}
    return run(model, backend=backend, dataset=images(), **chosen)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_the_reference_has_not_been_asked_is_looked_at_too(model, value):
    report = evaluate(model, Late(value))
    assert report.verdict.outcome is Outcome.FAIL
    (failure,) = [each for each in report.failures if each.code == "non_finite"]
    assert (failure.step, failure.tensor) == ("accuracy/batch=5/fp32/devices=1", "logits")
    assert "logits: 4 values in 4 of 24 samples, the first in sample 20; all that" in failure.message
    (row,) = report.rows_of(RowKind.ACCURACY)
    assert row.passed is False
    assert "hold NaN or infinity" in row.note
    assert [each.passed for each in report.rows_of(RowKind.NUMERIC)] == [True]


def test_without_a_reference_it_is_a_warning(model):
    report = evaluate(model, Late(np.nan), checks=["accuracy"])
    assert "non_finite" not in codes(report)
    (warning,) = [each for each in report.warnings if each.code == "not_finite"]
    assert warning.message.endswith("logits: 4 values in 4 of 24 samples, the first in sample 20")


def test_finite_answers_are_not_told(model):
    report = evaluate(model, wrong.Right())
    assert "non_finite" not in codes(report)
    assert "not_finite" not in [each.code for each in report.warnings]
