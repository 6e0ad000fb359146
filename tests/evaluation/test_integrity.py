"""Each test of integrity catches a backend that was made to fail it, and lets honest ones pass."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.waves import ECHO, SLEEP, evaluate, labelled, load

from bytemlperf import ArrayLoader
from bytemlperf.artifact import ModelArtifact
from bytemlperf.errors import ResultError, SpecError
from bytemlperf.report import Outcome, Report, RowKind, Status
from bytemlperf.spec import DType, Format, Framework, ModelSpec, TensorSpec
from bytemlperf.testing import CachingBackend, CheapBackend, EchoBackend
from bytemlperf.workload import Check, Integrity, Job

CHEAP = "bytemlperf.testing:CheapBackend"
CACHING = "bytemlperf.testing:CachingBackend"
MISCOUNTING = "bytemlperf.testing:MiscountingBackend"
SAMPLES = 60


def check(artifact, backend, *tests, **more):
    return evaluate(
        artifact, backend=backend, integrity=tests, **{"batch_sizes": [2], "dataset": labelled(SAMPLES), **more}
    )


def row_of(report):
    assert report.failures == ()
    (row,) = report.rows_of(RowKind.INTEGRITY)
    return row


@pytest.mark.parametrize("backend", [CHEAP, CheapBackend()], ids=["worker", "inline"])
def test_a_backend_that_answers_cheaply_in_timed_runs_is_caught(artifact, backend, tmp_path):
    report = check(artifact, backend, "accuracy_in_performance", scenarios=[load(iterations=80)], out=tmp_path)
    row = row_of(report)
    assert row.passed is False
    assert row.key == "integrity/accuracy_in_performance/fixed_batch/clients=1/batch=2/fp32/devices=1"
    assert row.note.startswith("answers are not those of the accuracy run: ")
    assert "accuracy/top1 is " in row.note
    assert row.metrics["integrity/y/max_rel"].value == pytest.approx(1)
    assert report.verdict.outcome is Outcome.FAIL
    with pytest.raises(ResultError, match="integrity"):
        report.raise_for_status()
    assert Report.load(tmp_path).rows_of(RowKind.INTEGRITY) == (row,)
    assert report.status is Status.COMPLETE


@pytest.mark.parametrize("clients", [1, 3])
@pytest.mark.parametrize("backend", [ECHO, EchoBackend()], ids=["worker", "inline"])
def test_the_answers_of_an_honest_backend_are_those_of_its_accuracy_run(artifact, backend, clients):
    row = row_of(check(artifact, backend, "accuracy_in_performance", scenarios=[load(clients=clients)]))
    assert row.note.startswith(
        f"{2 * 20 * clients} answers are those of the accuracy run; speed while answers were taken"
    )
    assert "MLPerf's TEST01 allows" in row.note
    assert row.metrics["integrity/y/max_rel"].value == 0
    assert row.metrics["integrity/answers"].value == 2 * 20 * clients
    speed = row.metrics["integrity/speed_while_sampled"]
    assert speed.low <= speed.value <= speed.high


def test_no_more_answers_are_taken_than_needed_and_another_seed_takes_others(artifact):
    taken = row_of(check(artifact, ECHO, "accuracy_in_performance", scenarios=[load(iterations=200)]))
    assert taken.metrics["integrity/answers"].value == 2 * 64


@pytest.mark.parametrize("backend", [CACHING, CachingBackend()], ids=["worker", "inline"])
def test_a_backend_that_keeps_answers_is_caught(artifact, backend):
    report = check(artifact, backend, "caching", options={"latency_us": 3000})
    row = row_of(report)
    assert row.key == "integrity/caching/batch=2/fp32/devices=1"
    assert row.passed is False
    assert row.metrics["integrity/same_sample_speedup"].low > 1.2
    assert "MLPerf's TEST04 allows 10 %" in row.note
    assert report.verdict.outcome is Outcome.FAIL


def test_a_backend_that_keeps_none_is_not(artifact):
    row = row_of(check(artifact, SLEEP, "caching", options={"latency_us": 3000}))
    assert row.passed is not False
    speed = row.metrics["integrity/same_sample_speedup"]
    assert speed.low < 1.1
    assert speed.n == 5


def test_a_small_data_set_cannot_tell_whether_answers_are_kept(artifact):
    report = check(artifact, ECHO, "caching", dataset=labelled(12))
    assert report.rows_of(RowKind.INTEGRITY) == ()
    (told,) = (each for each in report.not_measured if each.check is Check.INTEGRITY)
    assert told.reason == "caching at batch size 2: it takes 21 different batches, and the data gives 6"
    assert [each.outcome for each in report.verdict.reasons if each.check is Check.INTEGRITY] == [Outcome.UNDECIDED]


SPEC = ModelSpec(
    name="tokens-onnx-fp32",
    framework=Framework.ONNX,
    format=Format.ONNX,
    inputs=(TensorSpec(name="x", shape=("batch", 3), dtype=DType.FLOAT32),),
    outputs=(TensorSpec(name="tokens", shape=("batch", 1), dtype=DType.INT32),),
)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokens") / "nothing.onnx"
    path.write_bytes(b"opened by nobody")
    return ModelArtifact(spec=SPEC, format=Format.ONNX, path=path)


def asked_for_tokens(tokens, **options):
    data = ArrayLoader(x=np.random.default_rng(0).standard_normal((SAMPLES, 3)).astype(np.float32))
    return check(tokens, MISCOUNTING, "token_count", batch_sizes=[1], dataset=data, options=options)


def test_a_backend_that_counts_more_tokens_than_it_gives_is_caught(tokens):
    report = asked_for_tokens(tokens, extra=1)
    row = row_of(report)
    assert row.passed is False
    assert (row.metrics["integrity/tokens"].value, row.metrics["integrity/reported_tokens"].value) == (300, 600)
    assert row.note.startswith("of 60 answers: 60 answers whose tokens are not as many as were counted; ")
    assert report.verdict.outcome is Outcome.FAIL


def test_a_first_token_that_is_none_is_caught(tokens):
    row = row_of(asked_for_tokens(tokens, extra=0, empty_first=True))
    assert row.passed is False
    assert "60 answers whose first token is not in the part that is said to bring it" in row.note


def test_tokens_that_are_counted_right_pass(tokens):
    row = row_of(asked_for_tokens(tokens, extra=0))
    assert row.passed is True
    assert "300 tokens came and 300 were counted; what ends an answer is not known" in row.note


def test_answers_without_tokens_are_not_counted(artifact):
    report = check(artifact, ECHO, "token_count")
    (told,) = (each for each in report.not_measured if each.check is Check.INTEGRITY)
    assert "the answers are no tokens" in told.reason


def test_integrity_is_asked_for_by_name():
    with pytest.raises(SpecError, match="honesty"):
        Job(task="t", integrity=["honesty"])
    job = Job(task="t", integrity=["token_count", "caching", "caching"])
    assert job.integrity == job.integrity_tests == (Integrity.CACHING, Integrity.TOKEN_COUNT)
    assert Job(task="t").integrity_tests == ()
    assert Job(task="t", checks=Check).integrity_tests == tuple(Integrity)


def test_rows_of_integrity_are_taken_over(artifact, tmp_path):
    first = check(artifact, ECHO, "caching", "accuracy_in_performance", out=tmp_path)
    again = check(artifact, ECHO, "caching", "accuracy_in_performance", out=tmp_path, resume=True)
    kept = {row.key: row for row in first.rows_of(RowKind.INTEGRITY)}
    assert {row.key: row for row in again.rows_of(RowKind.INTEGRITY)} == kept
    assert len(kept) == 2
    assert json.loads((tmp_path / "report.json").read_text())["job"]["integrity"] == [
        "accuracy_in_performance",
        "caching",
    ]


def test_a_query_that_fails_is_a_failure_of_the_test(artifact):
    report = evaluate(
        artifact,
        integrity=["accuracy_in_performance"],
        batch_sizes=[2],
        checks=["compile"],
        dataset=labelled(SAMPLES),
        options={"fault": "exception", "after": 10},
    )
    assert [failure.step.partition("/")[0] for failure in report.failures] == ["integrity"]
    assert report.verdict.outcome is Outcome.FAIL
