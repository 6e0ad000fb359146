"""Answers taken from timed runs: a backend that is right in every check and wrong under load does not pass."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation import wrong
from tests.residual import residual
from tests.waves import codes, load

from bytemlperf import ArrayLoader, Offline, run
from bytemlperf.evaluation.timedanswers import ANSWERS, FEWEST, _drawn
from bytemlperf.report import Outcome, RowKind
from bytemlperf.scenarios import Plan, Stop

CHECKED = 12
"""More answers than the numeric rows of these jobs ask for, fewer than the timed runs."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return residual(tmp_path_factory.mktemp("residual"), blocks=1)


def images(count=32):
    return ArrayLoader(image=np.random.default_rng(6).standard_normal((count, 1, 8, 8)).astype(np.float32))


def judge(artifact, backend, **fields):
    chosen = {
        "checks": ["numeric", "performance"],
        "batch_sizes": [4],
        "numeric_samples": 8,
        "dataset": images(),
        "scenarios": [load(iterations=24)],
        **fields,
    }
    return run(artifact, backend=backend, **chosen)


def timed(report):
    (row,) = report.rows_of(RowKind.PERFORMANCE)
    return row


def tired(hands_out, after=CHECKED):
    return {"after": after, "hands_out": hands_out}


def test_right_answers_are_counted_and_judge_nothing(model):
    report = judge(model, wrong.Right())
    row = timed(report)
    assert codes(report) == []
    assert row.passed is None
    assert row.labels["answers_compared"] == 24, "8 samples are dealt out over 8 batches, each asked for three times"


@pytest.mark.parametrize("hands_out", ["previous", "cached", "mixed"])
def test_a_backend_that_is_wrong_only_while_timed_fails(model, hands_out):
    report = judge(model, wrong.Tired(), options=tired(hands_out))
    row = timed(report)
    assert [each.passed for each in report.rows_of(RowKind.NUMERIC)] == [True]
    assert codes(report) == ["numeric_mismatch"]
    assert (report.failures[0].step, report.failures[0].tensor) == (row.key, "logits")
    assert row.passed is False
    assert "answers that were given while timed do not agree" in row.note
    assert report.verdict.outcome is Outcome.FAIL


def test_numbers_that_are_none_and_wrong_shapes_while_timed_are_named(model):
    assert codes(judge(model, wrong.Tired(), options=tired("nan"))) == ["non_finite"]
    report = judge(model, wrong.Tired(), options=tired("short"))
    assert codes(report) == ["malformed_output"]
    assert timed(report).passed is False


def test_what_is_wrong_without_a_clock_is_told_once(model):
    report = judge(model, wrong.Reversed())
    assert [each.passed for each in report.rows_of(RowKind.NUMERIC)] == [False]
    assert codes(report) == ["numeric_mismatch"]
    assert timed(report).passed is None


@pytest.mark.parametrize("backend", [wrong.Tired, wrong.TiredOfOneSize])
def test_calls_of_joined_samples_are_compared_whole(model, backend):
    offline = Offline(min_queries=50, min_duration_s=0.001)
    right = judge(model, backend(), options=tired("mixed", after=10**6), scenarios=[offline])
    assert codes(right) == []
    assert timed(right).labels["answers_compared"] > 8
    report = judge(model, backend(), options=tired("mixed"), scenarios=[offline])
    assert codes(report) == ["numeric_mismatch"]


def test_a_worker_that_is_wrong_only_while_timed_fails(model):
    report = judge(model, "tests.evaluation.wrong:Tired", options=tired("previous"))
    assert codes(report) == ["numeric_mismatch"]
    assert report.failures[0].step == timed(report).key


def test_without_numerics_no_answer_is_taken(model):
    report = judge(model, wrong.Tired(), options=tired("previous", after=0), checks=["performance"])
    assert codes(report) == []
    assert "answers_compared" not in timed(report).labels


def test_where_no_known_sample_is_asked_for_that_is_told(model):
    late = [load(iterations=1)]
    report = judge(model, wrong.Right(), dataset=images(64), batch_sizes=[1], numeric_samples=1, scenarios=late)
    assert timed(report).labels["answers_compared"] in {0, 1}
    told = [each.code for each in report.warnings]
    assert ("answers_not_checked" in told) == (timed(report).labels["answers_compared"] == 0)


def test_different_batches_are_drawn_first():
    plan = Plan(batch=np.arange(600) % 6)
    drawn = _drawn(np.arange(600), plan, seed=3)
    assert sorted(plan.batch[drawn[:6]]) == list(range(6))
    assert sorted(drawn) == list(range(600))
    assert FEWEST < ANSWERS


def test_of_a_run_that_may_end_early_early_answers_are_drawn():
    whole, early = (
        Plan(batch=np.zeros(10_000, np.int64), stop=stop) for stop in (Stop(), Stop(when_enough=True, min_queries=100))
    )
    records = np.arange(10_000)
    assert (_drawn(records, early, seed=0)[:ANSWERS] < 1_000).sum() > ANSWERS / 2
    assert (_drawn(records, whole, seed=0)[:ANSWERS] < 1_000).sum() < ANSWERS / 2
