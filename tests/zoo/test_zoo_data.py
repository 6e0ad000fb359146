"""Every model of the catalog takes its own data set and is scored by it: no weights, files as they are published."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.datasets import small_vocabularies as small
from tests.published_layouts import BPE, MAKERS

from bytemlperf import Acceptance, DatasetRequest, Limits, ModelArtifact, run, zoo
from bytemlperf.backends.checking import InputCheck
from bytemlperf.datasets import open_dataset
from bytemlperf.metrics import sample_metrics
from bytemlperf.sample import Batch
from bytemlperf.testing import OracleBackend

OWN = {name: zoo.get(name).dataset for name in zoo.names() if zoo.get(name).dataset is not None}
LANGUAGE = ("gpt2-torch-fp32", "llama2-7b-torch-fp16", "chatglm2-6b-torch-fp16")
ROWS = [
    *OWN.items(),
    ("yolov5-onnx-fp32", "coco"),
    *((name, dataset) for name in LANGUAGE for dataset in ("text", "multiple-choice")),
]
"""Models with their own data sets, and those without one with the data that a user brings."""
SCORES = {"squad": ("em", "f1"), "map": ("map", "map50")}
"""Figures of metrics that give more than one of their own name."""
LETTERS = "Answer: A Answer: B Answer: C Answer: D " * 80


@pytest.fixture(autouse=True)
def _alone(scratch):
    """Leave nothing, and wait for nobody."""


def tokenizer(spec, folder):
    """Make a small tokenizer of the kind that a model has, or none where it has its own place."""
    texts = [*small.paragraphs(count=4), *[LETTERS] * 4]
    match spec.model.partition("-")[0]:
        case "albert":
            small.albert(folder, texts, size=240)
        case "roberta":
            small.bpe(folder, texts, ("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
        case "deberta":
            small.bpe(folder, texts, ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"))
        case "gpt2":
            small.bpe(folder, texts, BPE, size=400)
        case "llama2" | "chatglm2":
            small.llama(folder, texts)
        case _:
            return None
    return str(folder)


def published(name, dataset, folder):
    """Return a model's spec, and the options of its data set."""
    spec = zoo.get(name)
    if dataset == "digits":
        return spec, {}
    made = MAKERS[dataset](folder / "data", np.random.default_rng(7))
    (folder / "tokenizer").mkdir()
    own = tokenizer(spec, folder / "tokenizer")
    return spec, made.options if own is None else {**made.options, "tokenizer": own}


def opened(spec, dataset, options):
    return open_dataset(DatasetRequest(name=dataset, options=options), spec)


def scored(metrics, outputs, labels):
    """Return the names of the figures that have a value."""
    found = set()
    for metric in sample_metrics(metrics).values():
        figures = metric.compute(metric.update(metric.initial(), outputs, labels))
        found |= {name.removeprefix("accuracy/") for name, figure in figures.items() if figure.value is not None}
    return found


@pytest.mark.parametrize(("name", "dataset"), ROWS)
def test_a_model_takes_its_data_and_each_metric_gives_its_figures(name, dataset, tmp_path, rng):
    spec, options = published(name, dataset, tmp_path)
    loader = opened(spec, dataset, options)
    inputs, labels = loader.load([0, 1]), loader.labels([0, 1])
    InputCheck(spec.inputs).arrays(Batch(inputs=inputs, size=2))
    for tensor in spec.inputs:
        assert inputs[tensor.name].shape == tensor.sized(2)
        assert tensor.high is None or 0 <= inputs[tensor.name].min() <= inputs[tensor.name].max() < tensor.high
    assert spec.preprocessing in {None, loader.preprocessing}
    outputs = {each.name: rng.random(each.sized(2), np.float32) for each in spec.outputs}
    labels = np.array([0, 1]) if dataset == "criteo" else labels  # the area needs both
    if dataset == "coco":
        outputs["predictions"][:, 50:] = 0  # suppressing 25,200 random boxes takes long
    metrics = spec.metrics or loader.metrics
    figures = scored(metrics, outputs, labels)
    assert {figure for metric in metrics for figure in SCORES.get(metric, (metric,))} <= figures
    assert set(loader.metrics) <= set(metrics), "a figure of the data set is hidden"
    assert {each.metric for each in spec.reference_accuracy} <= figures


# The others differ from these in their size alone.
QUICK = {"widedeep-tf-fp32", "videobert-onnx-fp32", "bert-tf-fp32", "roformer-tf-fp32", "digits-resnet-tf-fp32"}


@pytest.mark.parametrize(
    ("name", "dataset"),
    [row if row[0] in QUICK else pytest.param(*row, marks=pytest.mark.slow) for row in ROWS],
)
def test_a_model_is_evaluated_on_its_data_with_the_score_that_is_planted(name, dataset, tmp_path):
    spec, options = published(name, dataset, tmp_path)
    samples = min(4, len(opened(spec, dataset, options)))
    report = run(
        ModelArtifact(spec=spec, format=spec.format, sha256="0" * 64),
        backend=OracleBackend(),
        dataset=DatasetRequest(name=dataset, options=options, samples=samples),
        options={"dataset": dataset, "dataset_options": json.dumps(options), "error_rate": 0.0},
        checks=["accuracy"],
        batch_sizes=[2],
        limits=Limits(grace_s=10.0),
        acceptance=Acceptance(paired_samples=0),  # there is no file of which a reference could be made
    )
    assert not report.failures
    (row,) = [each for each in report.rows if each.kind == "accuracy"]
    figures = {name.removeprefix("accuracy/"): figure for name, figure in row.metrics.items()}
    best = {"em": 100, "f1": 100, "log_loss": -np.log(0.9), "perplexity": 1 / 0.9}
    close = 2e-3 if spec.outputs[0].dtype == "float16" else 1e-6
    for figure in (each for each in figures if not each.endswith(".bytemlperf")):
        assert figures[figure].value == pytest.approx(best.get(figure, 1), rel=close), figure
        assert figures[figure].n > 0
