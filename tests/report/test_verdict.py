import attrs
import pytest
from tests.report.report_samples import accuracy_row, compile_row, numeric_row, performance_row

from bytemlperf.errors import Blame, FailureCode
from bytemlperf.failure import Failure
from bytemlperf.report import NotMeasured, Outcome, Verdict, judge
from bytemlperf.spec import from_json, to_json
from bytemlperf.workload import MEASURED, Check

ALL = MEASURED


def whole():
    return [compile_row(), accuracy_row(), numeric_row(), performance_row()]


def failure(code, blame, step):
    return Failure(code=FailureCode(code), blame=Blame(blame), step=step, message="told")


def outcomes(verdict):
    return [(reason.check.value, reason.outcome.value) for reason in verdict.reasons]


def test_everything_measured_and_held_passes():
    verdict = judge(checks=ALL, rows=whole())
    assert verdict.outcome is Outcome.PASS
    assert outcomes(verdict) == [(check.value, "pass") for check in ALL]


@pytest.mark.parametrize("index", [1, 2])
def test_without_accuracy_or_numerics_nothing_passes(index):
    rows = [row for place, row in enumerate(whole()) if place != index]
    verdict = judge(checks=ALL, rows=rows)
    assert verdict.outcome is Outcome.UNDECIDED
    assert (ALL[index].value, "undecided") in outcomes(verdict)


def test_accuracy_is_judged_even_if_it_was_not_asked_for():
    verdict = judge(checks=[Check.PERFORMANCE], rows=[performance_row()])
    assert verdict.outcome is Outcome.UNDECIDED
    assert outcomes(verdict) == [("accuracy", "undecided"), ("numeric", "undecided"), ("performance", "pass")]
    assert "not asked for" in verdict.reasons[0].text


def test_why_something_was_not_measured_is_told():
    told = NotMeasured(check="accuracy", reason="random weights never give an accuracy figure")
    verdict = judge(checks=ALL, rows=[compile_row(), numeric_row(), performance_row()], not_measured=[told])
    assert verdict.outcome is Outcome.UNDECIDED
    assert "not measured: random weights" in next(
        reason.text for reason in verdict.reasons if reason.check is Check.ACCURACY
    )


@pytest.mark.parametrize(("passed", "outcome"), [(True, "pass"), (None, "undecided"), (False, "fail")])
@pytest.mark.parametrize("index", [1, 2])
def test_a_bound_decides(index, passed, outcome):
    rows = whole()
    rows[index] = attrs.evolve(rows[index], passed=passed, note="why")
    verdict = judge(checks=ALL, rows=rows)
    assert verdict.outcome == outcome
    assert (ALL[index].value, outcome) in outcomes(verdict)


def test_performance_without_a_bound_passes_and_a_missed_bound_fails():
    rows = [*whole()[:3], attrs.evolve(performance_row(), passed=False, note="p99 above 15 ms")]
    verdict = judge(checks=ALL, rows=rows)
    assert verdict.outcome is Outcome.FAIL
    assert any("p99 above 15 ms" in reason.text for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("blame", "outcome"),
    [("backend", "fail"), ("environment", "undecided"), ("harness", "undecided"), ("request", "undecided")],
)
def test_only_a_failure_of_the_backend_counts_against_it(blame, outcome):
    verdict = judge(checks=ALL, rows=whole(), failures=[failure("crash", blame, "performance/fixed_batch")])
    assert verdict.outcome == outcome
    assert ("performance", outcome) in outcomes(verdict)


def test_a_crash_after_the_last_answer_changes_nothing():
    verdict = judge(checks=ALL, rows=whole(), failures=[failure("crash_at_exit", "backend", "performance")])
    assert verdict.outcome is Outcome.PASS


def test_a_failed_step_of_no_check_is_told_too():
    verdict = judge(checks=ALL, rows=[], failures=[failure("weights_unavailable", "environment", "resolve")])
    assert verdict.outcome is Outcome.UNDECIDED
    assert any("weights_unavailable: told" in reason.text for reason in verdict.reasons)
    assert judge(checks=ALL, rows=whole(), failures=[failure("crash", "backend", "")]).outcome is Outcome.FAIL


def test_a_backends_failure_counts_too_in_a_check_that_was_not_asked_for():
    failed = [failure("malformed_output", "backend", "compile/batch=1")]
    verdict = judge(checks=[Check.NUMERIC], rows=[accuracy_row(), numeric_row()], failures=failed)
    assert verdict.outcome is Outcome.FAIL
    assert ("compile", "fail") in outcomes(verdict)


def test_fail_outweighs_undecided():
    rows = [compile_row(), attrs.evolve(accuracy_row(), passed=False)]
    assert judge(checks=ALL, rows=rows).outcome is Outcome.FAIL


def test_a_reason_is_told_once():
    same = failure("crash", "backend", "performance")
    reasons = judge(checks=ALL, rows=whole(), failures=[same, same]).reasons
    assert len(reasons) == len(set(reasons)) == 4


def test_a_verdict_comes_back_from_json():
    verdict = judge(checks=ALL, rows=whole()[1:])
    assert from_json(Verdict, to_json(verdict)) == verdict
