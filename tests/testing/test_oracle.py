"""Every data set and metric from files on disk to figures, through `run`, with a score that is known beforehand."""

from __future__ import annotations

import json
import math

import attrs
import numpy as np
import pytest
from tests.published_layouts import MAKERS, OTHER_LAYOUTS, Published, coco, fifty_two

from bytemlperf import Acceptance, DatasetRequest, FixedBatch, Limits, Warmup, run
from bytemlperf.datasets import open_dataset
from bytemlperf.errors import CompileError, PredictError, SpecError
from bytemlperf.report.files import read_samples, samples_path
from bytemlperf.sample import Batch
from bytemlperf.testing import OracleBackend, OracleOptions

WORKER = "bytemlperf.testing:OracleBackend"
RATES = (0.0, 0.1, 1.0)
BATCH_SIZES = (1, 3, 8, 64)


def sizes(*quick):
    """Return all batch sizes; only the quick ones are tried by default."""
    return [size if size in quick else pytest.param(size, marks=pytest.mark.slow) for size in BATCH_SIZES]


@pytest.fixture(autouse=True)
def _alone(scratch):
    """Leave nothing, and wait for nobody."""


@pytest.fixture(scope="module", params=sorted(MAKERS))
def published(request, tmp_path_factory):
    return MAKERS[request.param](tmp_path_factory.mktemp("published") / "data", np.random.default_rng(11))


@pytest.fixture(scope="module", params=sorted(MAKERS | OTHER_LAYOUTS))
def layout(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("layout") / "data"
    return (MAKERS | OTHER_LAYOUTS)[request.param](folder, np.random.default_rng(11))


def share_right(published, rate):
    return 1 - round(rate * published.units) / published.units


def expected(published, rate):  # noqa: PLR0911 - one for each data set
    """Return figures by name, from the number of planted errors alone."""
    right = share_right(published, rate)
    match published.dataset:
        case "imagenet2012":
            return {"top1": right, "top5": right, "top1.bytemlperf": right}
        case "squad-1.1":
            windows = len(opened(published))
            theirs = round(100 * right * published.units / windows, 5)
            return {"em": 100 * right, "f1": 100 * right, "em.bytemlperf": theirs, "f1.bytemlperf": theirs}
        case "criteo":
            clicks = published.units // 4
            flipped = [round(rate * count) / count for count in (clicks, published.units - clicks)]
            wrong = (round(rate * clicks) + round(rate * (published.units - clicks))) / published.units
            loss = -(1 - wrong) * math.log(0.9) - wrong * math.log(0.1)
            rounded = round(1 - wrong, 5)
            return {
                "auc": 1 - sum(flipped) / 2,
                "log_loss": loss,
                "binary_accuracy": 1 - wrong,
                "binary_accuracy.bytemlperf": rounded,
            }
        case "cifar100":
            return {"zero_shot_top1": right, "zero_shot_top1.bytemlperf": round(right, 5)}
        case "cail2019":
            return {"triplet_accuracy": right, "triplet_accuracy.bytemlperf": round(right, 5)}
        case "text":
            wrong, others = 1 - right, published.spec.outputs[0].shape[2] - 1
            return {"perplexity": math.exp(-right * math.log(0.9) - wrong * math.log(0.1 / others))}
        case "multiple-choice":
            return {"multiple_choice": right}
        case _:
            value = precision(published, rate, "missed")
            return {"map": value, "map50": value}


def opened(published):
    return open_dataset(DatasetRequest(name=published.dataset, options=published.options), published.spec)


def evaluate(published: Published, rate=0.0, *, backend=WORKER, planted=None, **fields):
    options = {
        "dataset": published.dataset,
        "dataset_options": json.dumps(published.options),
        "error_rate": rate,
        **(planted or {}),
    }
    unpaired = Acceptance(paired_samples=0)  # the artifact has no file of which a reference could be made
    asked = {
        "checks": ["accuracy"],
        "batch_sizes": [8],
        "limits": Limits(grace_s=10.0),
        "acceptance": unpaired,
        **fields,
    }
    dataset = DatasetRequest(name=published.dataset, options=published.options)
    return run(published.artifact, backend=backend, dataset=dataset, options=options, **asked)


def figures(report, batch_size=None):
    """Return value and number of observations by name, of the accuracy row at a batch size."""
    rows = [row for row in report.rows if row.kind == "accuracy" and batch_size in (None, row.batch_size)]
    assert not [failure for failure in report.failures if "accuracy" in failure.step], report.failures
    return {name.removeprefix("accuracy/"): figure for name, figure in rows[0].metrics.items()}


def precision(published, rate, box_errors):
    """Return the mean average precision over classes, by hand.

    What is wrong has a higher score than what is right, so that the precision rises to the end of what is found, and
    is R / (R + W) at every one of COCO's 101 levels of recall that R right ones reach.
    """
    oracle = OracleBackend().compile(published.artifact, oracle_options(published, rate, box_errors)).handle
    right, wrong, objects = np.zeros(2), np.zeros(2), np.zeros(2)
    loader = opened(published)
    for index, truth in enumerate(loader.labels(range(len(loader)))):
        said = oracle.answers.of(index)["output"][0]
        right += said[said[:, 4] == 0.9, 5:].sum(axis=0)
        wrong += said[said[:, 4] == 1.0, 5:].sum(axis=0)
        objects += np.bincount(truth.categories, minlength=2)
    assert right.sum() == published.units * share_right(published, rate)
    assert wrong.sum() == (0 if box_errors == "missed" else published.units - right.sum())
    levels = [(np.linspace(0, 1, 101) <= each).sum() / 101 if each else 0 for each in right / objects]
    return float(np.mean(levels * (right / np.maximum(right + wrong, 1))))


def oracle_options(published, rate=0.0, box_errors="missed"):
    return OracleOptions(
        dataset=published.dataset,
        dataset_options=json.dumps(published.options),
        error_rate=rate,
        box_errors=box_errors,
        seed=0,
    )


def check(found, wanted):
    """Hold all figures against those that are expected: each is there, and no other."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].value == pytest.approx(value, rel=1e-6, abs=1e-9), name
        assert found[name].definition
        if "bytemlperf" not in name:
            assert found[name].low - 1e-9 <= found[name].value <= found[name].high + 1e-9


@pytest.mark.parametrize("rate", RATES)
def test_the_score_is_exactly_the_planted_one(layout, rate):
    check(figures(evaluate(layout, rate, backend=OracleBackend(), seed=0)), expected(layout, rate))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("box_errors", ["class", "place"])
def test_objects_of_another_class_or_at_another_place_cost_what_they_must(tmp_path, rate, box_errors):
    published = coco(tmp_path / "data", np.random.default_rng(11))
    planted = {"box_errors": box_errors}
    found = figures(evaluate(published, rate, backend=OracleBackend(), seed=0, planted=planted))
    value = precision(published, rate, box_errors)
    check(found, {"map": value, "map50": value})
    assert (value == 1.0, value == 0.0) == (rate == 0, rate == 1)


def test_questions_without_answers_are_asked_and_not_scored(tmp_path):
    published = fifty_two(tmp_path / "data", np.random.default_rng(11))
    load = FixedBatch(iterations=13, warmup=Warmup(max_queries=0))
    chosen = {"checks": ["accuracy", "performance"], "scenarios": [load], "batch_sizes": [4]}
    dataset = DatasetRequest(name=published.dataset, options=published.options)
    report = run(published.artifact, backend="bytemlperf.testing:EchoBackend", dataset=dataset, **chosen)
    assert (report.dataset.name, report.dataset.samples) == ("multiple-choice", 52)
    (row,) = report.rows
    assert (row.kind, report.failures) == ("performance", ())
    (missing,) = [each for each in report.not_measured if each.check == "accuracy"]
    assert "have no labels" in missing.reason
    with pytest.raises(CompileError, match="no labels to answer with"):
        OracleBackend().compile(published.artifact, oracle_options(published))


@pytest.mark.parametrize("batch_size", sizes(3))
def test_each_sample_is_scored_once_at_every_batch_size(published, batch_size):
    first = figures(evaluate(published, 0.1, backend=OracleBackend(), batch_sizes=[8]))
    same(figures(evaluate(published, 0.1, backend=OracleBackend(), batch_sizes=[batch_size])), first)


@pytest.mark.parametrize("batch_size", sizes())
def test_a_worker_scores_the_same(published, batch_size):
    inline = figures(evaluate(published, 0.1, backend=OracleBackend(), batch_sizes=[8]))
    same(figures(evaluate(published, 0.1, batch_sizes=[batch_size])), inline)


@pytest.mark.parametrize("name", ["criteo", "squad-1.1"])
def test_a_worker_scores_questions_and_clicks_alike(name, tmp_path):
    published = MAKERS[name](tmp_path / "data", np.random.default_rng(11))
    inline = figures(evaluate(published, 0.1, backend=OracleBackend(), batch_sizes=[8]))
    same(figures(evaluate(published, 0.1, batch_sizes=[3])), inline)


def same(found, first):
    assert found.keys() == first.keys()
    for name, figure in found.items():
        assert figure.n == first[name].n
        assert figure.value == pytest.approx(first[name].value, rel=1e-6)


@pytest.mark.parametrize("name", [pytest.param("criteo", marks=pytest.mark.slow), "multiple-choice"])
def test_the_same_samples_are_right_whatever_isolation_and_clients(name, tmp_path):
    published = MAKERS[name](tmp_path / "data", np.random.default_rng(11))
    kept = []
    for clients, backend in ((1, OracleBackend()), (4, OracleBackend()), (4, WORKER)):
        load = FixedBatch(clients=clients, iterations=3, warmup=Warmup(max_queries=0))
        checks, out = ["accuracy", "performance"], tmp_path / str(len(kept))
        report = evaluate(
            published, 0.1, backend=backend, checks=checks, scenarios=[load], batch_sizes=[3], repeats=1, out=out
        )
        assert [row.kind for row in report.rows if row.kind == "performance"]
        kept += [read_samples(out / samples_path(row.key)) for row in report.rows if row.kind == "accuracy"]
    assert len(kept) == 3
    loader = opened(published)
    for samples in kept:
        assert samples.sample.tolist() == list(range(len(loader)))
        for metric, right in samples.right.items():
            assert right.tolist() == kept[0].right[metric].tolist()


def test_what_cannot_be_answered_is_told(published):
    backend = OracleBackend()
    without = attrs.evolve(published.artifact, spec=attrs.evolve(published.spec, outputs=()))
    if published.dataset != "cail2019":
        with pytest.raises(CompileError, match="finds no output"):
            backend.compile(without, oracle_options(published)).handle.answers.of(0)
    compiled = backend.compile(published.artifact, oracle_options(published))
    loader = opened(published)
    inputs = dict(loader.load([0]))
    name = next(each.name for each in published.spec.inputs if each.batch_axis is not None)
    inputs[name] = np.zeros_like(inputs[name])
    with pytest.raises(PredictError, match="none of the oracle's data set"):
        backend.predict(compiled, Batch(inputs=inputs, size=1))
    backend.release(compiled)
    with pytest.raises(PredictError):
        backend.predict(compiled, Batch(inputs=loader.load([0]), size=1))
    with pytest.raises(SpecError, match="error_rate"):
        OracleOptions(error_rate=1.5)
