"""Targets of figures of which less is better: held in the right direction, alone and in pairs with the reference."""

from __future__ import annotations

import attrs
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.evaluation import wrong
from tests.waves import codes

from bytemlperf import Acceptance, AccuracyTarget, ArrayLoader, run, zoo
from bytemlperf.metrics import Basis
from bytemlperf.report import RowKind

SAMPLES = 200


class Doubtful(wrong.Right):
    """Gives every probability nearer to a half than it is."""

    def predict(self, compiled, batch):
        return {name: 0.5 + 0.2 * (array - 0.5) for name, array in super().predict(compiled, batch).items()}


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    """A model that is right about nearly all of its samples, and surely so."""
    path = tmp_path_factory.mktemp("clicks") / "clicks.onnx"
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("x", "probabilities")]
    graph = helper.make_graph(
        [helper.make_node("Softmax", ["x"], ["probabilities"])], "clicks", tensors[:1], tensors[1:]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 2, SAMPLES)
    x = rng.normal(0, 1, (SAMPLES, 2)).astype(np.float32)
    x[np.arange(SAMPLES), labels] += 3
    return zoo.from_onnx(path), ArrayLoader(x=x, labels=labels, metric="log_loss")


def judged(clicks, backend, *targets):
    artifact, data = clicks
    report = run(
        artifact,
        backend=backend(),
        dataset=data,
        checks=["accuracy"],
        batch_sizes=[8],
        acceptance=Acceptance(targets=targets),
    )
    (row,) = report.rows_of(RowKind.ACCURACY)
    return report, row, {each.basis: each for each in row.acceptance}


def test_a_stated_bound_is_an_upper_one(clicks):
    report, row, found = judged(clicks, wrong.Right, AccuracyTarget(metric="log_loss", bound=0.5))
    assert (row.passed, found[Basis.PUBLISHED].passed, codes(report)) == (True, True, [])
    assert "at most 0.5" in found[Basis.PUBLISHED].text
    report, row, found = judged(clicks, wrong.Right, AccuracyTarget(metric="log_loss", bound=0.01))
    assert (row.passed, found[Basis.PUBLISHED].passed) == (False, False)
    assert codes(report) == ["accuracy_below_target"]


def test_every_figure_with_a_target_of_its_own_must_be_decided(clicks):
    """Of 200 equal answers one in a hundred may yet be lost, whatever the loss says."""
    artifact, data = clicks
    every = range(SAMPLES)
    both = ArrayLoader(x=data.load(every)["x"], labels=data.labels(every), metrics=("log_loss", "binary_accuracy"))
    loss, share = AccuracyTarget(metric="log_loss", bound=0.5), AccuracyTarget(metric="binary_accuracy", share=0.99)
    others = attrs.evolve(share, precision="int8")
    for targets, passed in (([loss], True), ([loss, others], True), ([loss, share], None)):
        _, row, found = judged((artifact, both), wrong.Right, *targets)
        assert found[Basis.PUBLISHED].passed is True
        (share_of,) = [each for each in row.acceptance if each.figure == "accuracy/binary_accuracy"]
        assert (share_of.basis, share_of.passed) == (Basis.PAIRED, None)
        assert row.passed is passed


def test_the_judgement_says_who_states_the_target(clicks):
    stated = AccuracyTarget(metric="log_loss", share=0.9, source="the service's own")
    for targets, source in (
        ((stated,), "the service's own"),
        ((), "stated by bytemlperf: 99 %, where neither job nor"),
    ):
        _, _, found = judged(clicks, wrong.Right, *targets)
        assert f"[{source}" in found[Basis.PAIRED].text
    assert "MLPerf" not in found[Basis.PAIRED].text


def test_a_target_of_a_figure_that_there_is_not_is_told(clicks):
    report, row, _ = judged(clicks, wrong.Right, AccuracyTarget(metric="logloss", share=0.9))
    (warning,) = [each for each in report.warnings if each.code == "no_such_figure"]
    assert warning.message == "no figure has the target of accuracy/logloss; there are accuracy/log_loss"
    assert row.passed is True


def test_a_share_is_paired_with_the_references_own_losses(clicks):
    _, row, found = judged(clicks, wrong.Right)
    assert (row.passed, found[Basis.PAIRED].passed, found[Basis.PAIRED].n) == (True, True, SAMPLES)
    report, row, found = judged(clicks, Doubtful)
    pair = found[Basis.PAIRED]
    assert (row.passed, pair.passed) == (False, False)
    assert pair.value > pair.bound
    assert "paired bootstrap" in pair.text
    assert codes(report) == ["accuracy_below_target"]
