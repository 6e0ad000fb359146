"""Figures and verdicts against MLPerf LoadGen's, of the times in its own logs."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tests import loadgen_oracle
from tests.loadgen_runs import RUNS

from bytemlperf.errors import SpecError
from bytemlperf.metrics import Cause, SampleTimes, loadgen_result, validity
from bytemlperf.scenarios import MultiStream, Offline, Seeds, Server, SingleStream

LATENCIES = {"min": "min", "max": "max", "mean": "mean"}
PERCENTILES = {f"p{p}": f"{float(p):.2f}_percentile" for p in ("50", "90", "95", "97", "99", "99.9")}
SEEDS = Seeds(schedule=11)
EARLY = {Cause.EARLY_STOPPING, Cause.TTFT_EARLY_STOPPING, Cause.TPOT_EARLY_STOPPING}
BOUNDS = {Cause.LATENCY_BOUND, Cause.TTFT_BOUND, Cause.TPOT_BOUND}
_TTFT, _TPOT = {Cause.TTFT_BOUND, Cause.TTFT_EARLY_STOPPING}, {Cause.TPOT_BOUND, Cause.TPOT_EARLY_STOPPING}
TOKENS = {
    "valid": (10000, 10000, set()),
    "first token late": (0.001, 10000, _TTFT),
    "further tokens slow": (10000, 0.001, _TPOT),
    "both": (0.001, 0.001, _TTFT | _TPOT),
}


def times_of(run, samples_per_query=1, **tokens):
    return SampleTimes(
        scheduled_ns=run.scheduled_ns,
        sent_ns=run.sent_ns,
        done_ns=run.done_ns,
        samples_per_query=samples_per_query,
        **tokens,
    )


def judge(scenario, times):
    return validity(scenario, times, loaded=64)


def assert_verdict(run, verdict):
    found = run.details
    assert verdict.valid is run.valid
    assert (Cause.MIN_DURATION not in verdict.causes) is found["result_min_duration_met"]
    assert (not {Cause.MIN_QUERIES, Cause.MIN_SAMPLES} & verdict.causes) is found["result_min_queries_met"]
    assert (not EARLY & verdict.causes) is found["early_stopping_met"]
    assert (not BOUNDS & verdict.causes) is found.get("result_perf_constraints_met", True)


def assert_latencies(figures, run, ours="latency", theirs="latency", short="latency"):
    told = {ours_name: f"result_{name}_{short}_ns" for ours_name, name in LATENCIES.items()}
    told |= {ours_name: f"result_{name}_{theirs}_ns" for ours_name, name in PERCENTILES.items()}
    assert {name: figures[f"loadgen/{ours}/{name}"].value for name in told} == {
        name: run.details[key] for name, key in told.items()
    }


def printed(run, label):
    """A number of the summary, which has more digits than the detail log."""
    return float(re.search(rf"^{re.escape(label)} *: *(\S+)", run.summary, re.MULTILINE)[1])


def assert_rate(estimate, told):
    """LoadGen prints two places or six digits."""
    assert estimate.value == pytest.approx(told, abs=0.0051, rel=6e-6)


def assert_rate_from_start(estimate, told, run):
    """The same, of a time that LoadGen begins to count a little before the first query is due."""
    count = len(run.done_ns) - 1
    slack_ns = 1 + count / told * 1e9 * (0.0051 / told + 6e-6)
    longer_ns = count / told * 1e9 - count / estimate.value * 1e9
    assert -slack_ns <= longer_ns <= run.before_ns + slack_ns


@pytest.fixture(params=RUNS)
def compared(request, tmp_path):
    scenario, behaviour = RUNS[request.param]
    run = loadgen_oracle.run(scenario, tmp_path, seeds=SEEDS, **behaviour)
    together = {MultiStream: 0, Offline: len(run.done_ns)}.get(type(scenario), 1) or scenario.samples_per_query
    return scenario, run, times_of(run, together)


def test_figures_and_verdict_are_loadgens(compared):
    scenario, run, times = compared
    figures = loadgen_result(scenario, times)
    assert_verdict(run, judge(scenario, times))
    assert_latencies(figures, run)
    assert times.queries == run.details["result_query_count"]
    assert_own_figures(scenario, figures, run)


def assert_own_figures(scenario, figures, run):
    if isinstance(scenario, SingleStream):
        assert_rate(figures["loadgen/qps_without_overhead"], printed(run, "QPS w/o loadgen overhead"))
        assert_rate_from_start(figures["loadgen/qps_with_overhead"], printed(run, "QPS w/ loadgen overhead"), run)
        assert (figures[f"loadgen/early_stopping/p{100 * scenario.percentile:g}"].value or 0) == run.details[
            "early_stopping_latency_ss"
        ]
        assert_p99(figures["loadgen/early_stopping/p99"], run)
    elif isinstance(scenario, MultiStream):
        assert_latencies(figures, run, "query_latency", "per_query_latency", "query_latency")
        assert (figures[f"loadgen/early_stopping/p{100 * scenario.percentile:g}"].value or 0) == run.details[
            "early_stopping_latency_ms"
        ]
    elif isinstance(scenario, Server):
        assert_rate(figures["loadgen/scheduled_samples_per_s"], printed(run, "Scheduled samples per second"))
        assert_rate(figures["loadgen/completed_samples_per_s"], printed(run, "Completed samples per second"))
        assert figures["loadgen/over_bound"].value == run.details["result_overlatency_query_count"]
    else:
        assert_rate(figures["loadgen/samples_per_s"], printed(run, "Samples per second"))


def assert_p99(estimate, run):
    told = re.search(r"Early stopping 99\.0th percentile estimate: (\d+)", run.summary)
    assert estimate.value == (int(told[1]) if told else None)


def test_the_runs_compared_are_valid_and_invalid_in_each_way(tmp_path):
    keys = ("result_min_duration_met", "result_min_queries_met", "early_stopping_met", "result_perf_constraints_met")
    verdicts = []
    for scenario, behaviour in RUNS.values():
        run = loadgen_oracle.run(scenario, tmp_path, seeds=SEEDS, **behaviour)
        verdicts.append([run.details.get(key, True) for key in keys])
    assert [set(each) for each in zip(*verdicts, strict=True)] == [{True, False}] * len(keys)
    assert sum(all(each) for each in verdicts) >= 5


@pytest.mark.parametrize("name", TOKENS)
def test_token_figures_and_verdict_are_loadgens(name, tmp_path):
    ttft_ms, tpot_ms, causes = TOKENS[name]
    tokens = lambda number: 2 + number % 5
    scenario = Server(
        target_qps=1000,
        min_duration_s=0,
        min_queries=500,
        bound_ms=1e-6,  # not looked at where there are token bounds
        ttft_bound_ms=ttft_ms,
        tpot_bound_ms=tpot_ms,
    )
    run = loadgen_oracle.run(
        scenario, tmp_path, seeds=SEEDS, tokens=tokens, first_waits_s=0.0001, waits_s=lambda _: 0.0001
    )
    counts = np.array([tokens(number) for number in range(500)], np.int64)
    times = times_of(run, first_ns=run.first_ns, tokens=counts)
    figures, verdict = loadgen_result(scenario, times), judge(scenario, times)
    assert_verdict(run, verdict)
    assert verdict.causes == causes
    assert_latencies(figures, run)
    assert_token_figures(figures, run)


def assert_token_figures(figures, run):
    names = {"min": "min", "max": "max", "mean": "mean"}
    told = {f"ttft/{ours}": f"result_first_token_{name}_latency_ns" for ours, name in (LATENCIES | PERCENTILES).items()}
    told |= {f"tpot/{ours}": f"result_time_to_output_token_{name}" for ours, name in names.items()}
    told |= {f"tpot/{ours}": f"result_time_per_output_token_{name}_ns" for ours, name in PERCENTILES.items()}
    assert {name: figures[f"loadgen/{name}"].value for name in told} == {
        name: run.details[key] for name, key in told.items()
    }
    assert_rate(figures["loadgen/tokens_per_s"], run.details["result_completed_tokens_per_second"])


@pytest.mark.parametrize("queries", [20, 100, 700])
def test_early_stopping_of_a_single_stream_of_tokens_is_loadgens(queries, tmp_path):
    """It speaks of the time to the first token."""
    scenario, tokens = SingleStream(min_duration_s=0, min_queries=queries), lambda number: 2 + number % 5
    run = loadgen_oracle.run(scenario, tmp_path, tokens=tokens, first_waits_s=0.0001, use_token_latencies=True)
    counts = np.array([tokens(number) for number in range(queries)], np.int64)
    times = times_of(run, first_ns=run.first_ns, tokens=counts)
    figures = loadgen_result(scenario, times)
    assert_verdict(run, judge(scenario, times))
    assert (figures["loadgen/early_stopping/p90"].value or 0) == run.details["early_stopping_latency_ss"]
    assert (figures["loadgen/early_stopping/p99"].value or 0) == run.details["early_stopping_latency_ms"]
    told = {f"ttft/{ours}": f"result_first_token_{name}_latency_ns" for ours, name in (LATENCIES | PERCENTILES).items()}
    assert {name: figures[f"loadgen/{name}"].value for name in told} == {
        name: run.details[key] for name, key in told.items()
    }


def test_offline_tokens_are_counted_over_the_whole_run(tmp_path):
    scenario = Offline(min_duration_s=0, min_queries=200)
    run = loadgen_oracle.run(scenario, tmp_path, tokens=lambda _: 7, use_token_latencies=True)
    n = len(run.done_ns)
    times = times_of(run, n, first_ns=run.done_ns, tokens=np.full(n, 7, np.int64))
    figures = loadgen_result(scenario, times)
    assert_rate(figures["loadgen/tokens_per_s"], printed(run, "Tokens per second"))
    assert "loadgen/ttft/p50" not in figures


def test_a_run_without_an_answer_has_no_result():
    none = np.zeros(0, np.int64)
    with pytest.raises(SpecError, match="without an answer"):
        loadgen_result(SingleStream(), SampleTimes(scheduled_ns=none, sent_ns=none, done_ns=none))


def test_no_time_is_no_rate():
    one = np.zeros(1, np.int64)
    figures = loadgen_result(SingleStream(), SampleTimes(scheduled_ns=one, sent_ns=one, done_ns=one))
    assert figures["loadgen/qps_with_overhead"].value is None
    assert figures["loadgen/qps_with_overhead"].note == "no time passed"


def test_percentiles_have_intervals_and_early_estimates_say_what_they_lack():
    due = np.arange(50, dtype=np.int64) * 100
    times = SampleTimes(scheduled_ns=due, sent_ns=due, done_ns=due + np.arange(50) + 10)
    figures = loadgen_result(SingleStream(), times)
    p50 = figures["loadgen/latency/p50"]
    assert p50.low < p50.value < p50.high
    assert figures["loadgen/early_stopping/p90"].value is None
    assert "it takes 64" in figures["loadgen/early_stopping/p90"].note
