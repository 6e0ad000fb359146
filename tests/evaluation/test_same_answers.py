"""However samples are batched, and by whom they are asked for: each is scored once, and the answers are the same.

Real engines on real digits, on questions and on clicks in files of their published layouts. What is right comes from
the model's torch definition in float64, asked for all samples at once, with nothing of the harness between.
"""

from __future__ import annotations

import itertools

import attrs
import numpy as np
import pytest
import torch
from tests.published_layouts import criteo, squad

from bytemlperf import Acceptance, DatasetRequest, FixedBatch, Limits, Warmup, run, zoo
from bytemlperf.artifact import ModelArtifact, Provenance
from bytemlperf.conversion.torch_module import named_outputs, torch_artifact_module
from bytemlperf.datasets import open_dataset
from bytemlperf.datasets.subset import Subset
from bytemlperf.registry import backends
from bytemlperf.report import RowKind
from bytemlperf.report.files import read_samples, samples_path
from bytemlperf.spec import Recipe
from bytemlperf.zoo.twins import torch_twin

BATCH_SIZES, CLIENTS, ISOLATIONS = (1, 3, 8, 64), (1, 4), ("inline", "worker")
SAMPLES = 131
"""A whole batch of 64 and more; no multiple of 3, 8 or 64."""
WINDOWS = 67
GAP = 1e-4
"""Of the largest logit: two that are as near may be ranked either way."""
LOSS = 1e-6


class Recorder:
    """A metric that keeps the answers that it is given, in the order in which they come, and tells no figure."""

    name, higher_is_better = "recorder", True

    def __init__(self):
        self.parts = []

    def initial(self):
        return None

    def update(self, state, outputs, labels):
        self.parts.append({name: np.array(array) for name, array in outputs.items()})

    def compute(self, state):
        return {}

    @property
    def answers(self):
        return {name: np.concatenate([part[name] for part in self.parts]) for name in self.parts[0]}


class Recorded(Subset):
    """The first samples of a loader, scored by its own metrics and by a recorder."""

    def __init__(self, loader, count, recorder):
        super().__init__(loader, count)
        self.name, self.metrics = "recorded", (*loader.metrics, recorder)

    def fit(self, spec):
        return self


@attrs.frozen
class Case:
    """A model in the form that an engine takes, its data, and what is right."""

    artifact: ModelArtifact
    loader: Subset
    count: int
    right: dict
    loss: object


def right_answers(twin, loader, count):
    """All samples at once, by the torch module in float64."""
    module, inputs = torch_artifact_module(twin).double(), loader.load(range(count))
    with torch.inference_mode():
        given = [torch.tensor(inputs[tensor.name]) for tensor in twin.spec.inputs]
        found = module(*(each.double() if each.is_floating_point() else each for each in given))
    return {name: each.numpy() for name, each in named_outputs(found, twin.spec.outputs).items()}


def log_softmax(logits):
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def of_classes(answers, loader, count):
    """Mean cross entropy."""
    labels = loader.labels(range(count))
    return -log_softmax(answers["logits"])[np.arange(count), labels].mean()


def of_spans(answers, loader, count):
    """Mean cross entropy of the first token of every window's first answer that lies within it, and of its last."""
    total, number = 0.0, 0
    logs = {end: log_softmax(answers[f"{end}_logits"]) for end in ("start", "end")}
    for row, window in enumerate(loader.labels(range(count))):
        place = window.passage.find(window.answers[0])
        inside = np.flatnonzero((window.spans[:, 0] < place + len(window.answers[0])) & (window.spans[:, 1] > place))
        if inside.size:
            total -= logs["start"][row, inside[0]] + logs["end"][row, inside[-1]]
            number += 2
    assert number > count // 2
    return total / number


def of_clicks(answers, loader, count):
    """Mean log loss of the probability of a click."""
    clicked = loader.labels(range(count))
    return -np.log(answers["probabilities"].astype(np.float64)[np.arange(count), clicked]).mean()


def digits(form, folder):
    artifact, twin = zoo.resolve(f"digits-resnet-{form}-fp32"), zoo.resolve("digits-resnet-torch-fp32")
    loader = open_dataset(DatasetRequest(name="digits"), artifact.spec)
    return Case(artifact, loader, SAMPLES, right_answers(twin, loader, SAMPLES), of_classes)


def known(spec):
    """Weights that a seed makes, said to be the caller's own: of random ones no accuracy is measured."""
    return attrs.evolve(zoo.resolve(spec, weights="random", seed=5), provenance=Provenance.LOCAL)


def bert(form, folder):
    published = squad(folder / "squad", np.random.default_rng(11))
    config = {
        "vocab_size": 600,
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "max_position_embeddings": 96,
    }
    spec = attrs.evolve(
        zoo.get("bert-torch-fp32"),
        name="small-bert",
        inputs=published.spec.inputs,
        outputs=published.spec.outputs,
        recipe=Recipe(architecture="bytemlperf.zoo.architectures.bert_torch:build", config=config),
        parameters=None,
        sources=(),
        reference_accuracy=(),
    )
    artifact = known(spec)
    loader = open_dataset(DatasetRequest(name="squad-1.1", options={**published.options, "doc_stride": 16}), spec)
    return Case(artifact, loader, WINDOWS, right_answers(artifact, loader, WINDOWS), of_spans)


def widedeep(form, folder):
    published = criteo(folder / "criteo", np.random.default_rng(11), count=SAMPLES)
    config = {"columns": 26, "buckets": 1000, "numbers": 13, "embedding_width": 4, "hidden": (16, 8)}
    given = zoo.get("widedeep-tf-fp32")
    recipe = attrs.evolve(given.recipe, config=config)
    spec = attrs.evolve(given, name="small-widedeep", recipe=recipe, parameters=None)
    twin = known(torch_twin(spec))
    artifact = known(spec) if form == "tf" else twin
    loader = open_dataset(DatasetRequest(name="criteo", options=published.options), spec)
    return Case(artifact, loader, SAMPLES, right_answers(twin, loader, SAMPLES), of_clicks)


MADE = {
    ("digits", "onnxruntime"): (digits, "onnx"),
    ("digits", "torch"): (digits, "torch"),
    ("digits", "tensorflow"): (digits, "tf"),
    ("bert", "torch"): (bert, "torch"),
    ("bert", "onnxruntime"): (bert, "torch"),
    ("widedeep", "torch"): (widedeep, "torch"),
    ("widedeep", "onnxruntime"): (widedeep, "torch"),
    ("widedeep", "tensorflow"): (widedeep, "tf"),
}


@attrs.frozen
class Way:
    """How samples are asked for."""

    batch_size: int
    isolation: str
    clients: int

    def __str__(self):
        return f"{self.batch_size}-{self.isolation}-{self.clients}"


FIRST = Way(1, "inline", 1)
QUICK = {
    ("digits", "onnxruntime"): {Way(3, "inline", 4), Way(64, "inline", 1)},
    ("bert", "torch"): {Way(8, "inline", 4)},
    ("widedeep", "torch"): {Way(3, "inline", 1), Way(64, "inline", 4)},
}


def crossed():
    """Every way to ask each engine; few of them by default."""
    ways = [Way(*each) for each in itertools.product(BATCH_SIZES, ISOLATIONS, CLIENTS)]
    for made, way in itertools.product(MADE, ways):
        quick = way in QUICK.get(made, ())
        yield pytest.param(made, way, id="-".join([*made, str(way)]), marks=() if quick else pytest.mark.slow)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Make each case once, and the first way to ask it, with which the others are compared."""
    made = {}

    def case(model, engine):
        if (model, engine) not in made:
            make, form = MADE[model, engine]
            found = make(form, tmp_path_factory.mktemp(model))
            made[model, engine] = (found, asked(found, engine, FIRST, tmp_path_factory.mktemp("first")))
        return made[model, engine]

    return case


@attrs.frozen
class Asked:
    """What one run gave: the samples in the order in which they were scored, answers, loss, and figures by name."""

    samples: list
    answers: dict
    loss: float
    figures: dict


def asked(case, engine, way, out):
    recorder = Recorder()
    report = run(
        case.artifact,
        backend=engine if way.isolation == "worker" else backends.get(engine)(),
        dataset=Recorded(case.loader, case.count, recorder),
        checks=["accuracy", "performance"],
        batch_sizes=[way.batch_size],
        scenarios=[FixedBatch(clients=way.clients, iterations=1, warmup=Warmup(max_queries=0))],
        acceptance=Acceptance(paired_samples=0),
        limits=Limits(grace_s=20.0),
        repeats=1,
        out=out,
    )
    assert report.failures == ()
    (row,) = report.rows_of(RowKind.ACCURACY)
    assert Way(row.batch_size, row.labels["isolation"], row.labels["clients"]) == way
    path = out / samples_path(row.key)
    samples = read_samples(path).sample.tolist() if path.exists() else None
    loss = case.loss(recorder.answers, case.loader, case.count)
    return Asked(samples, recorder.answers, loss, {name: each.value for name, each in row.metrics.items()})


def same_predictions(found, expected):
    """Hold the largest of each row against the expected one's, unless another lies as near as the gap."""
    assert found.shape == expected.shape
    rows, wanted = found.reshape(-1, found.shape[-1]), expected.reshape(-1, expected.shape[-1])
    best = wanted.argmax(axis=-1)
    other = np.flatnonzero(rows.argmax(axis=-1) != best)
    gap = wanted[other, best[other]] - wanted[other, rows.argmax(axis=-1)[other]]
    assert (gap <= GAP * np.abs(wanted).max()).all()
    return len(other)


@pytest.mark.parametrize(("made", "way"), list(crossed()))
def test_each_sample_is_scored_once_and_answers_are_the_same(cases, tmp_path, made, way):
    case, first = cases(*made)
    found = asked(case, made[1], way, tmp_path)
    assert found.samples in (None, list(range(case.count)))
    assert found.answers.keys() == case.right.keys()
    differing = 0
    for name, right in case.right.items():
        np.testing.assert_allclose(found.answers[name], right, atol=1e-4 * np.abs(right).max(), rtol=0)
        same_predictions(found.answers[name], right)
        differing += same_predictions(found.answers[name], first.answers[name])
    assert found.loss == pytest.approx(first.loss, abs=LOSS, rel=0)
    assert found.loss == pytest.approx(case.loss(case.right, case.loader, case.count), abs=1e-5)
    assert found.figures.keys() == first.figures.keys()
    if not differing:
        for name, value in found.figures.items():
            assert value == pytest.approx(first.figures[name], abs=LOSS, rel=0), name


def test_every_way_is_among_the_crossed_ones():
    assert len(list(crossed())) == len(MADE) * 16
    assert sum(not each.marks for each in crossed()) == sum(map(len, QUICK.values()))
