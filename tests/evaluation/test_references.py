"""What a job asks of its reference: made once, shared, reduced where it is wide, and what accuracy is paired with."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.evaluation import wrong
from tests.residual import residual
from tests.waves import codes
from torch import nn

from bytemlperf import Acceptance, AccuracyTarget, ArrayLoader, run
from bytemlperf.artifact import ModelArtifact, Provenance, digest_of
from bytemlperf.evaluation import references, wide
from bytemlperf.evaluation.numerics import sample_order
from bytemlperf.metrics import Basis, Metrics, Top1
from bytemlperf.registry import backends
from bytemlperf.report import Outcome, RowKind
from bytemlperf.spec import Format, Framework, ModelSpec, Recipe, ReferenceAccuracy, TensorSpec
from bytemlperf.workload import Check

COUNT = 40


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return residual(tmp_path_factory.mktemp("residual"), blocks=2)


@pytest.fixture(scope="module")
def labelled(model):
    """Images with the class that the model gives them, but for every tenth."""
    image = np.random.default_rng(8).standard_normal((COUNT, 1, 8, 8)).astype(np.float32)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    labels = session.run(None, {"image": image})[0].argmax(axis=1)
    labels[::10] = (labels[::10] + 1) % 10
    return ArrayLoader(image=image, labels=labels, metric="top1")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "references"


def evaluate(model, backend, loader, **fields):
    chosen = {"checks": ["accuracy", "numeric"], "batch_sizes": [8], **fields}
    return run(model, backend=backend(), dataset=loader, **chosen)


def accuracy(report):
    (row,) = report.rows_of(RowKind.ACCURACY)
    return row


def entries(cache):
    return {path.name: path.stat().st_mtime_ns for path in cache.iterdir() if path.name != "quarantine"}


LENIENT = Acceptance(targets=[AccuracyTarget(metric="top1", share=0.9, source="the service's own")])


def test_a_second_run_takes_what_the_first_one_made_and_damage_is_mended(model, labelled, cache):
    assert evaluate(model, wrong.Right, labelled, acceptance=LENIENT).verdict.outcome is Outcome.PASS
    made = entries(cache)
    assert len(made) == 2  # outputs, and scores of more samples
    evaluate(model, wrong.Right, labelled, acceptance=LENIENT)
    assert entries(cache) == made
    for path in cache.glob("*/logits.npy"):
        path.write_bytes(path.read_bytes()[:-4] + b"\x00\x00\x80\x7f")
    assert evaluate(model, wrong.Right, labelled, acceptance=LENIENT).verdict.outcome is Outcome.PASS
    assert len(list((cache / "quarantine").iterdir())) == 1
    evaluate(model, wrong.Right, labelled, numeric_samples=8)
    assert len(entries(cache)) == 3


class Near(Top1):
    """Right where the largest logit is near the label."""

    def __init__(self, distance):
        super().__init__()
        self.name, self.distance, self.told = "near", distance, object()

    def right(self, outputs, labels):
        return np.abs(outputs["logits"].argmax(axis=1) - labels) <= self.distance

    def compute(self, state):
        return Metrics()


def test_metrics_of_one_class_are_told_apart_by_their_options(model, labelled, cache):
    image, every = labelled.load(range(COUNT))["image"], range(COUNT)
    shares = []
    for distance in (0, 9, 0):
        loader = ArrayLoader(image=image, labels=labelled.labels(every), metric=Near(distance))
        (judgement,) = accuracy(evaluate(model, wrong.Right, loader, checks=["accuracy"])).acceptance
        shares.append(judgement.bound / 0.99)
    assert shares == pytest.approx([0.9, 1.0, 0.9])
    assert len(entries(cache)) == 2


def test_accuracy_is_judged_in_pairs_with_the_reference(model, labelled):
    report = evaluate(model, wrong.Right, labelled, acceptance=Acceptance(level=0.8))
    (judgement,) = accuracy(report).acceptance
    assert (judgement.basis, judgement.passed, judgement.n) == (Basis.PAIRED, None, COUNT)
    assert judgement.value == 0.9
    assert "0 right only by the reference, 0 only here" in judgement.text
    assert f"about {judgement.n_needed - COUNT:,} more samples would tell" in judgement.text
    assert report.verdict.outcome is Outcome.UNDECIDED
    passed = evaluate(model, wrong.Right, labelled, acceptance=LENIENT)
    assert passed.verdict.outcome is Outcome.PASS
    assert any("holds 0.9 of the reference's 0.9" in reason.text for reason in passed.verdict.reasons)


def test_lost_accuracy_fails_without_anything_published(model, labelled):
    report = evaluate(model, wrong.Reversed, labelled, checks=["accuracy"])
    row = accuracy(report)
    assert row.passed is False
    assert [str(failure.code) for failure in report.failures] == ["accuracy_below_target"]
    assert "misses 0.99 of the reference's 0.9 on the same 40 samples" in report.failures[0].message


def test_a_stated_bound_is_held_by_the_interval_and_pairs_are_left_out(model, labelled):
    acceptance = Acceptance(
        targets=[
            AccuracyTarget(metric="top1", bound=0.99),
            AccuracyTarget(metric="top1", bound=0.5, precision="fp32"),
        ]
    )
    (judgement,) = accuracy(
        evaluate(model, wrong.Right, labelled, acceptance=acceptance, checks=["accuracy"])
    ).acceptance
    assert (judgement.basis, judgement.passed, judgement.bound) == (Basis.PUBLISHED, True, 0.5)


def test_pairs_decide_where_too_few_samples_can_tell_of_what_was_published(model, labelled):
    published = ReferenceAccuracy(metric="top1", value=0.9, source="a paper")
    spec = attrs.evolve(
        model.spec,
        dataset="arrays",
        reference_accuracy=(published,),
        accuracy_targets=(AccuracyTarget(metric="top1", share=0.9),),
    )
    report = evaluate(attrs.evolve(model, spec=spec), wrong.Right, labelled, checks=["accuracy"])
    bases = {each.basis: each.passed for each in accuracy(report).acceptance}
    assert labelled.name == "arrays"
    assert bases == {Basis.PUBLISHED: None, Basis.PAIRED: True}
    assert accuracy(report).passed is True


def test_without_pairs_wanted_the_reference_is_not_asked(model, labelled, cache):
    report = evaluate(model, wrong.Right, labelled, acceptance=Acceptance(paired_samples=0), checks=["accuracy"])
    assert accuracy(report).acceptance == ()
    assert accuracy(report).passed is None
    assert not cache.exists()
    assert any(reason.check is Check.ACCURACY for reason in report.verdict.reasons)


def test_a_slow_reference_is_only_asked_for_pairs_where_that_is_wanted(model, labelled, cache, monkeypatch):
    monkeypatch.setattr(references, "PAIRED_S", 0.0)
    report = evaluate(model, wrong.Right, labelled, checks=["accuracy"])
    assert accuracy(report).acceptance == ()
    (warning,) = [each for each in report.warnings if each.code == "not_paired"]
    assert "Acceptance(paired_samples=40) has it done" in warning.message
    asked = evaluate(model, wrong.Right, labelled, checks=["accuracy"], acceptance=Acceptance(paired_samples=40))
    assert accuracy(asked).acceptance[0].n == 40
    assert accuracy(evaluate(model, wrong.Right, labelled, checks=["accuracy"])).acceptance[0].n == 40


class Cancelling(nn.Module):
    """Takes a large number away that it has added: in float32 most of the digits are lost."""

    def __init__(self):
        super().__init__()
        self.large = nn.Parameter(torch.tensor(3e4))

    def forward(self, x):
        return (x + self.large) - self.large


def build_cancelling():
    return Cancelling()


def test_what_the_references_own_arithmetic_explains_is_no_mismatch(tmp_path):
    """Float32 errs by up to half the spacing at 30,000, 1 / 1024: above the table's bound, and below 8 times that."""
    path = tmp_path / "weights.safetensors"
    save_file(Cancelling().state_dict(), path)
    tensors = {"shape": ("batch", 4), "dtype": "fp32"}
    spec = ModelSpec(
        name="cancelling",
        framework=Framework.TORCH,
        format=Format.TORCH,
        inputs=(TensorSpec(name="x", **tensors),),
        outputs=(TensorSpec(name="y", **tensors),),
        recipe=Recipe(architecture="tests.evaluation.test_references:build_cancelling"),
    )
    artifact = ModelArtifact(
        spec=spec, format=Format.TORCH, path=path, sha256=digest_of(path), provenance=Provenance.LOCAL
    )
    loader = ArrayLoader(x=np.random.default_rng(2).uniform(-1, 1, (8, 4)).astype(np.float32))
    report = evaluate(artifact, backends.get("torch"), loader, checks=["numeric"], batch_sizes=[4])
    assert codes(report) == [], report.failures[0].message
    (row,) = report.rows_of(RowKind.NUMERIC)
    error = row.metrics["numeric/y/max_rel"].value
    assert row.passed is True
    assert 1e-4 < error < 2e-3
    assert "the reference in float32 itself lies so far from float64: y: " in row.note
    strict = evaluate(
        artifact,
        backends.get("torch"),
        loader,
        checks=["numeric"],
        batch_sizes=[4],
        acceptance=Acceptance(tolerance=1e-4),
    )
    assert strict.rows_of(RowKind.NUMERIC)[0].passed is False


def logits(width=5000, batch="batch"):
    return TensorSpec(name="logits", shape=(batch, 7, width), dtype="fp32")


@pytest.mark.parametrize(
    ("spec", "samples", "is_wide"),
    [(logits(), 10_000, True), (logits(), 1, False), (logits(1000), 10**6, False), (logits(batch=10_000), 1, False)],
)
def test_only_long_rows_of_large_outputs_are_reduced(spec, samples, is_wide):
    assert wide.is_reduced(spec, samples) is is_wide


def test_a_reduced_row_shows_what_is_wrong_anywhere_in_it(rng):
    row = rng.standard_normal((2, 3, 5000)).astype(np.float32)
    places = wide.tops(row)
    kept = wide.reduced(row, places)
    assert kept.shape == (2, 3, 65)
    np.testing.assert_array_equal(np.sort(kept[..., :64]), np.sort(row)[..., -64:])
    np.testing.assert_allclose(kept[..., 64], np.sqrt(np.square(row, dtype=np.float64).mean(-1)))
    spoilt = row.copy()
    spoilt[1, 2, row[1, 2].argmin()] = np.nan
    assert np.isnan(wide.reduced(spoilt, places)).sum() == 1
    spoilt[1, 2] = row[1, 2, ::-1]
    assert np.abs(wide.reduced(spoilt, places) - kept)[1, 2].max() > 1


def test_wide_outputs_are_compared_by_their_largest_values(model, labelled, cache, monkeypatch):
    """Ten logits are not many: seen as wide, of which two are kept."""
    monkeypatch.setattr(wide, "WIDE", 10)
    monkeypatch.setattr(wide, "WHOLE_BYTES", 100)
    monkeypatch.setattr(wide, "TOP", 2)
    report = evaluate(model, wrong.Right, labelled, checks=["numeric"])
    (row,) = report.rows_of(RowKind.NUMERIC)
    assert row.passed is True
    (kept,) = cache.glob("*/logits.npy")
    assert np.load(kept).shape == (32, 1, 3)
    assert evaluate(model, wrong.OneNan, labelled, checks=["numeric"]).rows_of(RowKind.NUMERIC)[0].passed is False


def test_samples_come_in_order_and_then_among_other_neighbours():
    order = sample_order(10, 4, 6, seed=3)
    assert order[:10].tolist() == list(range(10))
    assert order.size == 23
    assert sorted(order[10:20].tolist()) == list(range(10))
    assert order[10:20].tolist() != order[:10].tolist()
    assert sample_order(10, 1, 20, seed=3).size == 20


@pytest.mark.parametrize(("count", "size", "queries"), [(32, 8, 5), (10, 4, 6), (9, 2, 6), (3, 8, 2), (1, 4, 3)])
def test_one_query_more_begins_as_the_first_did_and_goes_on_otherwise(count, size, queries):
    order = sample_order(count, size, queries, seed=1)
    begin = -(-count // size) * size
    assert order[begin] == 0
    for again in (order[at : at + count].tolist() for at in range(0, len(order), count)):
        assert len(set(again)) == len(again)
