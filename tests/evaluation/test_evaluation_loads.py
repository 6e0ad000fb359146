"""Load patterns through a whole evaluation: rows that are judged, failures that are typed, warnings that are told."""

from __future__ import annotations

import json

import pytest
from tests.waves import FAULTY, SLEEP, evaluate, keys

from bytemlperf import (
    MLPERF_SEEDS,
    Certainty,
    ClosedLoop,
    ConstantRate,
    Limits,
    MultiStream,
    Offline,
    Seeds,
    Server,
    SingleStream,
    Warmup,
    audit,
)
from bytemlperf.metrics import Cause
from bytemlperf.report import Outcome, Report, Status
from bytemlperf.report.auditing.finding import Severity

SHORT = {"min_duration_s": 0.02, "min_queries": 10, "warmup": Warmup(max_queries=0)}
LONG = {"min_duration_s": 30.0, "warmup": Warmup(max_queries=0)}
ALONE = {**LONG, "senders": 1}
"""One call at a time: a killed process takes the calls under way with it, and there may be as many as senders."""
SCENARIOS = (
    SingleStream(**SHORT),
    MultiStream(**SHORT, samples_per_query=4),
    Server(**SHORT, target_qps=200, bound_ms=10_000),
    Offline(**SHORT, expected_qps=1000),
)


def timed(artifact, *scenarios, **fields):
    job = {"backend": SLEEP, "options": {"latency_us": 500}, "batch_sizes": [1], "checks": ["performance"]}
    return evaluate(artifact, scenarios=scenarios, **{**job, **fields})


@pytest.fixture(scope="module")
def judged(module_artifact, tmp_path_factory):
    out = tmp_path_factory.mktemp("judged")
    return timed(module_artifact, *SCENARIOS, batch_sizes=[1, 4], seeds=MLPERF_SEEDS, out=out)


@pytest.fixture(scope="module")
def module_artifact(tmp_path_factory):
    from tests.waves import waves

    return waves(tmp_path_factory.mktemp("model"))


def test_each_scenario_has_a_row_at_each_batch_size(judged):
    assert judged.failures == ()
    assert len(judged.rows) == 8
    assert all(row.metrics["queries/unanswered"].value == 0 for row in judged.rows)
    assert {row.scenario.partition("/")[0] for row in judged.rows} == {
        "single_stream", "multi_stream", "server", "offline",
    }  # fmt: skip


def test_mlperfs_scenarios_are_judged_by_its_rules(judged):
    for row in judged.rows:
        assert row.validity is not None
        causes = row.validity.causes
        if row.scenario.startswith("offline"):
            assert causes <= {Cause.MIN_DURATION}
        else:
            assert Cause.EARLY_STOPPING in causes
            assert row.passed is None
        assert any(name.startswith("loadgen/") for name in row.metrics)
    assert judged.verdict.outcome is Outcome.UNDECIDED
    assert any("are too few for p99 (run at least 662 queries)" in reason.text for reason in judged.verdict.reasons)


def test_a_judged_row_survives_json_table_text_and_markdown(judged):
    again = Report.from_dict(json.loads(json.dumps(judged.to_dict())))
    assert again.rows == judged.rows
    lines = [line for line in judged.table() if line["row_key"] == judged.rows[0].key]
    assert {(line["valid"], line["invalid_causes"]) for line in lines} == {(False, "early_stopping")}
    assert "run at least" in (judged.folder / "report.md").read_text()
    assert "run at least" in str(judged)


def test_the_seeds_of_mlperf_are_taken(judged):
    assert (judged.seeds.schedule, judged.seeds.samples) == (MLPERF_SEEDS.schedule, MLPERF_SEEDS.samples)


def test_calls_are_filled_where_the_engine_takes_more(judged):
    full = {row.scenario.partition("/")[0]: row for row in judged.rows if row.batch_size == 4}
    assert full["offline"].metrics["calls/samples"].value > 3
    assert full["multi_stream"].metrics["calls/samples"].value == 4
    assert all("calls/samples" not in row.metrics for row in judged.rows if row.batch_size == 1)


def test_streams_are_derived_from_the_jobs_seed(module_artifact):
    report = timed(module_artifact, SingleStream(**SHORT), seed=3)
    assert report.seeds == Seeds.derived(3)
    assert len({report.seeds.samples, report.seeds.schedule, report.seeds.loaded}) == 3


def test_a_broken_bound_fails_the_verdict_and_is_no_failure(module_artifact):
    report = timed(module_artifact, Server(**SHORT, target_qps=500, bound_ms=0.01))
    assert (report.status, report.failures) == (Status.COMPLETE, ())
    (row,) = report.rows
    assert row.passed is False
    assert Cause.LATENCY_BOUND in row.validity.causes
    assert report.verdict.outcome is Outcome.FAIL
    assert any("lower target_qps" in reason.text for reason in report.verdict.reasons)


def test_waiting_before_the_call_is_told(module_artifact):
    crowded = {"latency_us": 3000, "in_flight": 1}
    for scenario in (ConstantRate(**SHORT, target_qps=5000), ClosedLoop(clients=4, queries=40, warmup=SHORT["warmup"])):
        report = timed(module_artifact, scenario, options=crowded)
        assert "coordinated_omission" in {warning.code for warning in report.warnings}
    report = timed(module_artifact, SingleStream(**SHORT), options=crowded)
    assert "coordinated_omission" not in {warning.code for warning in report.warnings}


def test_a_run_ends_when_its_percentile_is_known(module_artifact):
    certainty = Certainty(percentile=0.5, within=0.9)
    loop = ClosedLoop(queries=5000, max_duration_s=20, certainty=certainty, warmup=SHORT["warmup"])
    (row,) = timed(module_artifact, loop).rows
    assert row.labels["ended"] == "certain"
    assert row.metrics["queries/planned"].value < 5000
    figure = row.metrics["certain/p50"]
    assert (figure.note, figure.level) == ("", 0.95)
    assert figure.low <= figure.value <= figure.high <= 1.9 * figure.value


ENDS = {
    "sigkill": ("crash", {"signal": "SIGKILL"}),
    "hang": ("time_limit", {"limit": "query_s"}),
    "memory": ("out_of_host_memory", {"limit": "memory_bytes"}),
}


@pytest.mark.parametrize(
    ("fault", "scenario"),
    [
        ("sigkill", Server(**ALONE, target_qps=200)),
        ("hang", Server(**LONG, target_qps=200)),
        ("memory", Server(**ALONE, target_qps=200)),
        ("sigkill", SingleStream(**LONG)),
        ("hang", MultiStream(**LONG)),
        ("sigkill", Offline(**ALONE)),
    ],
    ids=lambda each: each if isinstance(each, str) else each.kind_name,
)
def test_a_fault_in_any_pattern_leaves_what_was_stamped(module_artifact, fault, scenario):
    code, facts = ENDS[fault]
    limits = Limits(query_s=1.0 if fault == "hang" else 60.0, memory_bytes=900_000_000, grace_s=5.0, max_crashes=0)
    options = {"fault": fault, "after": 30}
    report = timed(module_artifact, scenario, backend=FAULTY, options=options, limits=limits)
    (failure,) = [each for each in report.failures if str(each.code) == code]
    assert {name: getattr(failure, name) for name in facts} == facts
    (row,) = report.rows
    assert row.metrics["latency/p50"].n >= 25
    assert Cause.LOST_SAMPLES in row.validity.causes
    assert row.note.startswith(f"{code}: only ")
    assert keys(report) == [1]


def test_an_exception_in_an_open_loop_fails_its_queries_and_stops(module_artifact):
    options = {"fault": "exception", "after": 20}
    report = timed(module_artifact, Server(**LONG, target_qps=500), backend=FAULTY, options=options)
    assert [str(each.code) for each in report.failures] == ["predict_error"]
    (row,) = report.rows
    assert 10 <= row.metrics["queries/failed"].value < 60


def test_a_wish_to_stop_ends_an_open_loop(module_artifact):
    class SoonSet:
        def __init__(self):
            self.asked = 0

        def is_set(self):
            self.asked += 1
            return self.asked > 40

    report = timed(module_artifact, Server(**LONG, target_qps=200), cancel=SoonSet())
    assert report.status is Status.CANCELLED
    assert report.duration_s < 25


def test_a_plan_that_memory_cannot_hold_is_refused_before_it_is_issued(module_artifact):
    limits = Limits(memory_bytes=5 * 10**8)
    scenario = Offline(expected_qps=2 * 10**5, min_duration_s=20)
    report = timed(module_artifact, scenario, limits=limits)
    assert [str(each.code) for each in report.failures] == ["out_of_host_memory"]
    assert "4,400,000 samples" in report.failures[0].message
    assert report.rows == ()


def test_an_audit_finds_no_error_in_rows_of_any_pattern(judged):
    found = audit(judged.folder).findings
    assert [each for each in found if each.severity is Severity.ERROR] == []
