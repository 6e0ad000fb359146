"""Which metrics a job is scored by, and how they may be named."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from tests.waves import ECHO, codes, evaluate, keys, samples

from bytemlperf import ArrayLoader
from bytemlperf.errors import SpecError
from bytemlperf.metrics import Top1


class Halves(Top1):
    """A metric that no package declares."""

    def __init__(self):
        super().__init__()
        self.name = "halves"

    def compute(self, state):
        return {"accuracy/halves": attrs.evolve(super().compute(state)["accuracy/top1"], value=0.5)}


def loader(**metric):
    x, y = samples()
    return ArrayLoader(x=x, labels=y.argmax(axis=1), **metric)


def scored(artifact, data):
    report = evaluate(artifact, ECHO, dataset=data, checks=["accuracy"], batch_sizes=[4])
    return {name: figure.value for row in report.rows for name, figure in row.metrics.items() if "top1." not in name}


@pytest.mark.parametrize(
    "metric", ["top1", "bytemlperf.metrics.top1:Top1", Top1(classes=3)], ids=["name", "reference", "itself"]
)
def test_a_metric_may_be_a_name_a_reference_or_itself(artifact, metric):
    assert scored(artifact, loader(metric=metric)) == {"accuracy/top1": 1.0}


def test_several_metrics_score_the_same_samples(artifact):
    assert scored(artifact, loader(metrics=["top1", Halves()])) == {"accuracy/top1": 1.0, "accuracy/halves": 0.5}


def test_the_data_say_what_their_labels_are_for_unless_they_are_the_models_own(artifact):
    named = attrs.evolve(artifact, spec=attrs.evolve(artifact.spec, dataset="arrays", metrics=("top1",)))
    assert list(scored(named, loader(metric=Halves()))) == ["accuracy/top1"]
    other = attrs.evolve(artifact, spec=attrs.evolve(artifact.spec, dataset="digits", metrics=("top5",)))
    assert list(scored(other, loader(metric=Halves()))) == ["accuracy/halves"]
    assert list(scored(attrs.evolve(named, spec=attrs.evolve(named.spec, dataset=None)), loader())) == ["accuracy/top1"]


def test_what_is_no_metric_is_refused_before_anything_runs(artifact):
    with pytest.raises(SpecError, match="no metric of samples"):
        evaluate(artifact, ECHO, dataset=loader(metric=np.zeros(3)), checks=["accuracy"])


class Picky(Halves):
    """A metric that needs to be told something."""

    def __init__(self, bound):
        super().__init__()


@pytest.mark.parametrize("metric", ["nowhere.at:all", Picky], ids=["cannot be imported", "cannot be made"])
def test_a_metric_that_cannot_be_had_costs_the_accuracy_and_not_the_job(artifact, metric):
    report = evaluate(
        artifact, ECHO, dataset=loader(metric=metric), checks=["accuracy", "performance"], batch_sizes=[4]
    )
    assert codes(report) == ["backend_unavailable"]
    assert keys(report) == [4]


class Lossy(ArrayLoader):
    """Data of which a record was left out."""

    @property
    def skipped(self):
        return ("file:7: two columns",)


def test_records_that_were_left_out_are_told(artifact):
    x, y = samples()
    report = evaluate(artifact, ECHO, dataset=Lossy(x=x, labels=y.argmax(axis=1), metric="top1"), checks=["accuracy"])
    (warning,) = [each for each in report.warnings if each.code == "samples_skipped"]
    assert "1 records of arrays cannot be used and are left out: file:7" in warning.message
