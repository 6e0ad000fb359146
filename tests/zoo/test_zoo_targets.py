"""Every figure of a model of the catalog has a target, and who says so: MLPerf of its very network, else we do."""

from __future__ import annotations

import pytest

from bytemlperf import zoo
from bytemlperf.metrics import figures_in_pairs, sample_metrics

WITH_FIGURES = [name for name in zoo.names() if zoo.get(name).metrics]
BROUGHT = {"yolov5-onnx-fp32": ("map",)} | dict.fromkeys(
    ("gpt2-torch-fp32", "llama2-7b-torch-fp16", "chatglm2-6b-torch-fp16"), ("perplexity", "multiple_choice")
)
"""Metrics of the data that a user brings to models without a data set of their own."""


@pytest.mark.parametrize("name", [*WITH_FIGURES, *BROUGHT])
def test_every_figure_has_one_target_in_every_precision(name):
    spec = zoo.get(name)
    metrics = sample_metrics(spec.metrics or BROUGHT[name]).values()
    figures = {figure.removeprefix("accuracy/") for each in metrics for figure in figures_in_pairs(each)}
    targets = {each.metric: each for each in spec.accuracy_targets}
    assert len(targets) == len(spec.accuracy_targets)
    assert set(targets) == figures
    assert {each.precision for each in targets.values()} == {None}


def test_mlperf_is_named_for_its_own_network_alone():
    for name in zoo.names():
        spec = zoo.get(name)
        for target in spec.accuracy_targets:
            start = "MLPerf inference v6.0, resnet: 99 %" if spec.model == "resnet50" else "stated by bytemlperf: "
            assert target.source.startswith(start), name


def test_an_area_is_held_more_strictly_than_a_share():
    """A guess has half of it."""
    shares = {each.metric: each.share for each in zoo.get("widedeep-tf-fp32").accuracy_targets}
    assert shares == {"auc": 0.999, "log_loss": 0.999, "binary_accuracy": 0.99}
    assert {each.share for name in WITH_FIGURES for each in zoo.get(name).accuracy_targets} == {0.99, 0.999}
