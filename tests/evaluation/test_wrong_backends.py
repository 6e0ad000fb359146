"""Backends that are wrong in ways that real ones are: each fails, for the right reason, and the operator is named."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation import wrong
from tests.residual import residual
from tests.tiny_models import conv_artifact
from tests.waves import codes, load

from bytemlperf import Acceptance, ArrayLoader, run
from bytemlperf.report import Outcome, RowKind


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return residual(tmp_path_factory.mktemp("residual"), blocks=3)


def images(count=16):
    return ArrayLoader(image=np.random.default_rng(6).standard_normal((count, 1, 8, 8)).astype(np.float32))


def judge(artifact, backend, **fields):
    chosen = {"checks": ["numeric"], "batch_sizes": [4], "numeric_samples": 16, "dataset": images(), **fields}
    return run(artifact, backend=backend(), **chosen)


def failed(report):
    """The one failure, of a numeric row that failed."""
    assert report.verdict.outcome is Outcome.FAIL
    (failure, *_) = report.failures
    row = next(row for row in report.rows_of(RowKind.NUMERIC) if row.key == failure.step)
    assert row.passed is False
    return failure, row


def test_a_sound_backend_passes(model):
    report = judge(model, wrong.Right)
    assert codes(report) == []
    assert [row.passed for row in report.rows_of(RowKind.NUMERIC)] == [True]


@pytest.mark.parametrize(
    "at", ["block1_a", pytest.param("stem", marks=pytest.mark.slow), pytest.param("block2_b", marks=pytest.mark.slow)]
)
def test_of_swapped_channels_the_operator_is_named(model, at):
    report = judge(model, wrong.SwappedChannels, options={"at": at})
    failure, row = failed(report)
    assert failure.code == "numeric_mismatch"
    assert (failure.operator, failure.tensor) == (f"Conv '/{at}/Conv'", at)
    assert f"the first operator that diverges is Conv '/{at}/Conv'" in failure.message
    assert (row.labels["diverging_operator"], row.labels["diverging_tensor"]) == (failure.operator, at)
    compiles = int(failure.message.split(" over ")[1].split()[0])
    assert compiles <= 2 + np.ceil(np.log2(21))


def test_of_a_torch_model_the_submodule_is_named(tmp_path):
    artifact = conv_artifact(tmp_path)
    report = judge(artifact, wrong.SwappedTorch, options={"at": "bn"})
    failure, _ = failed(report)
    assert (failure.code, failure.operator, failure.tensor) == ("numeric_mismatch", "BatchNorm2d 'bn'", "bn")
    assert "compared with torch over" in failure.message


FULL_SIZE = {"weights": "random", "dataset": None, "batch_sizes": [1], "numeric_samples": 2}


@pytest.mark.slow
def test_in_a_resnet50_of_full_size_the_swapped_submodule_is_named():
    """161 operators in 53 convolutions, their norms and activations; weights are random, images synthetic."""
    report = judge("resnet50-torch-fp32", wrong.SwappedTorch, options={"at": "layer3.2.conv2"}, **FULL_SIZE)
    failure, _ = failed(report)
    assert (failure.code, failure.operator) == ("numeric_mismatch", "Conv2d 'layer3.2.conv2'")


@pytest.mark.slow
def test_in_a_resnet50_of_full_size_as_onnx_the_swapped_convolution_is_named():
    backend = wrong.SwappedInTheMiddle()
    report = judge("resnet50-torch-fp32", lambda: backend, **FULL_SIZE)
    failure, _ = failed(report)
    assert (failure.code, failure.tensor) == ("numeric_mismatch", backend.planted)
    assert failure.operator.startswith("Conv ")


def test_of_an_overflow_in_half_precision_the_operator_is_named(tmp_path):
    """The images are scaled so that the third convolution's sums are beyond 65504; at the end all is small again."""
    report = judge(residual(tmp_path, scale=15000.0), wrong.Overflowing, precision="fp16")
    failure, _ = failed(report)
    assert failure.code == "non_finite"
    assert "NaN or infinite where the reference is finite" in failure.message
    assert failure.operator is not None
    exact = {name: peak for name, peak in peaks(tmp_path / "residual.onnx").items() if peak > 65520}
    assert failure.tensor == next(iter(exact))


def peaks(path):
    """The largest magnitude of every tensor, in the file's order."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    names = [name for node in model.graph.node for name in node.output]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answers = session.run(None, {"image": images().load(range(16))["image"]})
    return {name: float(np.abs(each).max()) for name, each in zip(names, answers, strict=True)}


def test_one_nan_is_counted_and_named(model):
    failure, row = failed(judge(model, wrong.OneNan))
    assert (failure.code, failure.tensor) == ("non_finite", "logits")
    assert row.metrics["numeric/logits/nan"].value > 0
    assert failure.operator is None
    assert "in how answers are handed out" in failure.message


@pytest.mark.parametrize("backend", [wrong.Previous, wrong.BatchDependent])
def test_answers_that_depend_on_other_queries_or_neighbours_fail(model, backend):
    failure, _ = failed(judge(model, backend))
    assert failure.code == "numeric_mismatch"


def test_of_an_answer_to_the_batch_before_no_operator_is_blamed(model):
    failure, _ = failed(judge(model, wrong.Previous))
    assert failure.operator is None
    assert "what was asked before" in failure.message


@pytest.mark.parametrize("backend", [wrong.Turned, wrong.BatchDependent])
def test_of_what_goes_wrong_before_or_behind_the_model_no_operator_is_blamed(model, backend):
    """The first operator of all is the first that seems to be wrong; a model without operators tells that it is not."""
    failure, row = failed(judge(model, backend))
    assert (failure.code, failure.operator) == ("numeric_mismatch", None)
    assert "begins to be wrong at Mul '/scaled/Mul', and a model that only hands on what that takes" in failure.message
    assert "diverging_operator" not in row.labels


def test_a_first_operator_that_is_wrong_is_named_even_if_no_model_without_operators_can_be_had(model):
    failure, _ = failed(judge(model, wrong.WrongStem, options={"at": "scaled"}))
    assert failure.operator == "Mul '/scaled/Mul'"


def test_a_race_between_clients_is_seen_where_clients_are_timed(model):
    """Each number of clients that is timed is checked: alone the backend is right, with four it is not."""
    report = judge(model, wrong.Raced, checks=["numeric", "performance"], scenarios=[load(clients=4, iterations=8)])
    alone, together = report.rows_of(RowKind.NUMERIC)
    assert (alone.labels["clients"], alone.passed) == (1, True)
    assert (together.labels["clients"], together.passed) == (4, False)
    assert together.key == "numeric/clients=4/batch=4/fp32/devices=1"
    assert report.verdict.outcome is Outcome.FAIL


def test_every_batch_size_that_is_timed_is_checked(model):
    report = judge(model, wrong.LargeBatches, batch_sizes=[4, 8])
    assert [(row.batch_size, row.passed) for row in report.rows_of(RowKind.NUMERIC)] == [(4, True), (8, False)]


def test_a_wrong_type_of_numbers_is_no_answer(model):
    report = judge(model, wrong.WrongType)
    assert codes(report) == ["malformed_output"]
    assert "numbers of another kind; got 'int64'; expected as float32" in report.failures[0].message


def test_a_prefix_that_does_not_compile_is_no_second_failure(model):
    report = judge(model, wrong.NoPrefixes)
    failure, _ = failed(report)
    assert codes(report) == ["numeric_mismatch"]
    assert "a prefix of the model could not be run (compile_error: " in failure.message


def test_nothing_is_looked_for_where_that_was_not_wanted(model):
    report = judge(model, wrong.SwappedChannels, options={"at": "stem"}, acceptance=Acceptance(locate=False))
    failure, _ = failed(report)
    assert failure.operator is None
    assert "diverges" not in failure.message
