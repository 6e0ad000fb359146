"""Whatever goes wrong in a backend is a typed failure of its step; what was measured before stands."""

from __future__ import annotations

import pytest
from tests.waves import ECHO, FAULTY, ITERATIONS, codes, evaluate, keys, labelled, load

from bytemlperf import Limits
from bytemlperf.report import Outcome, Status
from bytemlperf.workload import MEASURED

FIRST_ROW = 1 + ITERATIONS
"""Queries until the first row is there: the first answer, and a series without a warm-up."""
IN_SECOND_ROW = FIRST_ROW + 1 + 5

ENDS = {
    "sigkill": ("crash", {"signal": "SIGKILL"}),
    "sigsegv": ("crash", {"signal": "SIGSEGV"}),
    "exit0": ("crash", {"exit_code": 0}),
    "hang": ("time_limit", {"limit": "query_s"}),
    "hang_gil": ("time_limit", {"limit": "query_s"}),
    "memory": ("out_of_host_memory", {"limit": "memory_bytes"}),
}


@pytest.mark.parametrize("fault", ENDS)
def test_a_row_that_the_worker_did_not_survive_leaves_the_others(artifact, left, fault):
    code, facts = ENDS[fault]
    limits = Limits(query_s=1.0 if "hang" in fault else 60.0, memory_bytes=900_000_000, grace_s=5.0)
    report = evaluate(artifact, options={"fault": fault, "after": IN_SECOND_ROW}, limits=limits)
    (failure,) = report.failures
    assert (str(failure.code), str(failure.blame)) == (code, "backend")
    assert failure.step == "performance/fixed_batch/clients=1/batch=4/fp32/devices=1"
    assert {name: getattr(failure, name) for name in facts} == facts
    assert report.status is Status.PARTIAL
    whole, cut = report.rows
    assert (whole.batch_size, whole.note, whole.metrics["queries/answered"].value) == (1, "", ITERATIONS)
    assert cut.batch_size == 4
    assert cut.metrics["queries/answered"].value == 5
    assert cut.note == f"{code}: only 5 of {ITERATIONS} queries were answered"
    assert report.verdict.outcome is Outcome.FAIL
    assert left() == []


def test_an_exception_fails_its_queries_and_the_worker_goes_on(artifact):
    report = evaluate(artifact, options={"fault": "exception", "after": IN_SECOND_ROW})
    assert codes(report) == ["predict_error"]
    assert "RuntimeError: injected fault" in report.failures[0].message
    whole, cut = report.rows
    assert cut.metrics["queries/failed"].value == 10
    assert (whole.note, cut.note) == ("", f"predict_error: only 5 of {ITERATIONS} queries were answered")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("malformed", "output 'y' has the wrong shape; got (0, 3); expected (1, 3)"),
        ("missing", "the outputs' names are not the model's; got []; expected ['y']"),
        ("none_answer", "there is no answer: None"),
        ("wrong_dtype", "output 'y' has numbers of another kind; got 'int32'; expected as float32"),
    ],
)
def test_an_answer_that_is_none_fails_before_anything_is_timed(artifact, fault, words):
    report = evaluate(artifact, options={"fault": fault}, batch_sizes=[1])
    assert codes(report) == ["malformed_output"]
    assert words in report.failures[0].message
    assert report.failures[0].step == "compile/batch=1"
    assert (report.status, report.rows) == (Status.FAILED, ())


def test_an_answer_that_goes_missing_later_gives_no_accuracy(artifact):
    report = evaluate(
        artifact, options={"fault": "missing", "after": 3}, checks=["accuracy"], dataset=labelled(), batch_sizes=[1]
    )
    assert codes(report) == ["malformed_output"]
    assert report.failures[0].step == "accuracy/batch=1/fp32/devices=1"
    assert report.rows == ()


def test_nan_is_counted_and_fails_the_numeric_check(artifact):
    options = {"fault": "nan", "after": 1}
    report = evaluate(artifact, options=options, checks=["numeric"], batch_sizes=[1], numeric_samples=4)
    assert codes(report) == ["non_finite"]
    (row,) = report.rows
    assert row.passed is False
    assert row.metrics["numeric/y/nan"].value == 4
    assert "ONNX's reference evaluator" in row.note
    assert report.verdict.outcome is Outcome.FAIL


def test_wrong_numbers_fail_the_numeric_check(artifact):
    report = evaluate(artifact, "tests.evaluation.vendors:Off", checks=["numeric"], batch_sizes=[4], numeric_samples=6)
    assert codes(report) == ["numeric_mismatch"]
    assert report.failures[0].step == "numeric/batch=4/fp32/devices=1"
    assert report.rows[0].passed is False


def test_wrong_answers_lower_the_accuracy_and_nothing_else(artifact):
    report = evaluate(artifact, ECHO, checks=["accuracy"], dataset=labelled(12, wrong=3), batch_sizes=[5])
    assert report.metrics["accuracy/top1"].value == pytest.approx(9 / 12)
    assert report.failures == ()


def test_a_compile_error_of_one_batch_size_leaves_the_others(artifact):
    report = evaluate(
        artifact, "tests.evaluation.vendors:Static", batch_sizes=[1, 4, 8], checks=["compile", "performance"]
    )
    assert codes(report) == ["compile_error"]
    assert report.failures[0].step == "compile/batch=4"
    assert "RuntimeError: 4 is no batch size of this chip" in report.failures[0].message
    assert keys(report) == [1, 8]
    assert keys(report, "compile") == [1, 8]
    assert report.metrics["compile/batch=8/fp32/devices=1/compile/artifact_bytes"].value == 100
    assert {key: info.files[0].name for key, info in report.compiles.items()} == {
        "compile/batch=1/fp32/devices=1": "engine-1.bin",
        "compile/batch=8/fp32/devices=1": "engine-8.bin",
    }


def test_each_engine_of_one_batch_size_is_compiled_in_a_new_process_with_an_empty_folder(artifact):
    report = evaluate(artifact, "tests.evaluation.vendors:Static", batch_sizes=[1, 2, 8], checks=["compile"])
    told = [info.optimizations for info in report.compiles.values()]
    assert [each["found"] for each in told] == [0, 0, 0]
    assert len({each["pid"] for each in told}) == 3
    assert [row.note for row in report.rows] == ["", "", ""], "each was started again, warm"


def test_what_a_vendor_gets_wrong_of_ours_is_the_vendors(artifact):
    report = evaluate(artifact, "tests.evaluation.vendors:Particular", batch_sizes=[1])
    assert codes(report) == ["compile_error"]
    assert str(report.failures[0].blame) == "backend"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"fault": "sigsegv", "when": "compile"}, "crash"),
        ({"fault": "compile_exception"}, "compile_error"),
        ({"fault": "unsupported_operator"}, "unsupported_operator"),
        ({"fault": "hang", "when": "compile"}, "time_limit"),
    ],
)
def test_a_compile_that_fails_gives_no_row(artifact, left, fault, code):
    limits = Limits(compile_s=1.0, grace_s=5.0)
    report = evaluate(artifact, options=fault, limits=limits, batch_sizes=[1])
    assert codes(report) == [code]
    assert report.status is Status.FAILED
    if code == "unsupported_operator":
        assert report.failures[0].operator == "Einsum"
    if code == "time_limit":
        assert report.failures[0].limit == "compile_s"
    assert left() == []


def test_a_crash_at_the_end_is_a_warning_and_the_figures_stand(artifact):
    report = evaluate(artifact, options={"fault": "crash_at_exit"})
    assert [warning.code for warning in report.warnings if warning.code == "crash_at_exit"] == ["crash_at_exit"]
    assert (report.status, report.failures, keys(report)) == (Status.COMPLETE, (), [1, 4])


def test_after_too_many_crashes_the_rest_is_given_up(artifact):
    options = {"fault": "sigkill", "after": 1}
    report = evaluate(artifact, options=options, batch_sizes=[1, 2, 4, 8], limits=Limits(max_crashes=1, grace_s=5.0))
    assert codes(report) == ["crash"] * 4
    assert [failure.signal for failure in report.failures] == ["SIGKILL", "SIGKILL", None, None]
    assert "crashed too often" in report.failures[-1].message
    assert report.rows == (), "no row without a single answer"


@pytest.mark.parametrize(
    ("name", "code", "blame"),
    [
        ("RaisingBackend", "backend_unavailable", "environment"),
        ("CrashingBackend", "crash", "backend"),
        ("ExitingBackend", "crash", "backend"),
        ("HangingBackend", "time_limit", "backend"),
        ("NoSuchBackend", "backend_unavailable", "environment"),
    ],
)
def test_a_backend_that_cannot_be_imported_is_a_failed_report(artifact, left, name, code, blame):
    report = evaluate(artifact, f"bytemlperf.testing.imports:{name}", limits=Limits(step_s=4.0, grace_s=2.0))
    assert (codes(report), str(report.failures[0].blame)) == ([code], blame)
    assert report.failures[0].step == "load backend"
    assert (report.status, report.rows) == (Status.FAILED, ())
    assert report.backend.reference == f"bytemlperf.testing.imports:{name}"
    assert left() == []


def test_only_one_series_of_a_row_that_fails_is_given_up(artifact):
    options = {"fault": "sigkill", "after": 1 + ITERATIONS + 3}
    loads = [load(), load(clients=2)]
    report = evaluate(artifact, options=options, batch_sizes=[1], scenarios=loads)
    assert codes(report) == ["crash"]
    assert [row.note[:5] for row in report.rows] == ["", "crash"]


def test_everything_right_is_complete(artifact, left):
    report = evaluate(artifact, ECHO, checks=MEASURED, dataset=labelled(), numeric_samples=5)
    assert (report.status, report.failures) == (Status.COMPLETE, ())
    assert report.ok
    assert report.metrics["accuracy/top1"].value == 1
    assert keys(report, "accuracy") == [1]
    assert keys(report, "numeric") == [1, 4]
    assert keys(report, "compile") == [1], "one model takes every batch size"
    assert all(row.passed for row in report.rows if row.kind == "numeric")
    assert {row.labels["isolation"] for row in report.rows} == {"worker"}
    assert report.harness["harness/query_p50"].value > 0
    assert left() == []


def test_the_faulty_backend_is_right_until_it_is_not(artifact):
    """The tests above would prove nothing if its numbers were wrong from the start."""
    report = evaluate(
        artifact, FAULTY, options={"after": 10**6}, checks=["numeric"], batch_sizes=[3], numeric_samples=7
    )
    assert (codes(report), report.rows[0].passed) == ([], True)
