from __future__ import annotations

import pytest

from bytemlperf import metrics
from bytemlperf.errors import BackendUnavailableError, SpecError, UnknownNameError
from bytemlperf.metrics import Top1, sample_metric, sample_metrics
from bytemlperf.registry import metrics as registry


@pytest.mark.parametrize("name", registry.names())
def test_every_declared_metric_says_its_own_name_and_scores_nothing_from_nothing(name):
    metric = sample_metric(name)
    assert metric.name == name
    assert isinstance(metric.higher_is_better, bool)
    figures = metric.compute(metric.initial())
    assert all(figure.value is None and figure.note and figure.definition for figure in figures.values())
    assert all(name.startswith("accuracy/") for name in figures)


def test_a_metric_may_be_a_name_a_reference_a_class_or_itself():
    own = Top1(classes=3)
    assert type(sample_metric("top1")) is Top1
    assert type(sample_metric("bytemlperf.metrics:Top1")) is Top1
    assert type(sample_metric(Top1)) is Top1
    assert sample_metric(own) is own
    assert list(sample_metrics(["top5", own])) == ["top5", "top1"]


def test_what_is_no_metric_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean"):
        sample_metric("top11")
    with pytest.raises(BackendUnavailableError, match="cannot be loaded"):
        sample_metric("nowhere.at:all")
    with pytest.raises(SpecError, match="no metric of samples"):
        sample_metric(3)
    with pytest.raises(SpecError, match="two metrics have one name"):
        sample_metrics(["top1", Top1()])
    assert metrics.get("top1") is Top1
