"""Our logs against those of LoadGen itself, key by key, of the same settings and times."""

from __future__ import annotations

import json
import re

import attrs
import numpy as np
import pytest
from tests import loadgen_oracle
from tests.loadgen_runs import RUNS

from bytemlperf.errors import SpecError
from bytemlperf.report import mlperf
from bytemlperf.report.mlperf import LEFT_OUT, System, make_files
from bytemlperf.scenarios import MLPERF_SEEDS, MultiStream, Offline, Seeds, Server, SingleStream

SEEDS = Seeds(loaded=3, samples=2**63 + 5, schedule=11)
OURS = {
    "loadgen_version": "who wrote it",
    "result_invalid_reason": "our own words",
    "error_runtime": "the same, with other numbers in it",
    "result_qps_with_loadgen_overhead": "LoadGen's clock begins a little before the first query is due",
    "result_token_throughput_with_loadgen_overhead": "the same",
    "result_completed_tokens_per_second": "the same, but for Server; held equal there in the tests of figures",
}
"""Keys whose values differ on purpose."""


def as_ours(log, times=None, **more):
    """Write what LoadGen's log tells of a run ourselves."""
    system = System(backend="PySUT", dataset="PyQSL", started_utc=log.value("test_datetime"), version="ours")
    return make_files(log.setup, system, log.times if times is None else times, **more)


def values(log):
    return {line.key: line.value for line in reversed(log.lines)}


def assert_same(theirs, ours, but=()):
    """No key is missing but those that cannot be had, none is new, and each value is LoadGen's to its six digits."""
    found, told = values(theirs), values(ours)
    assert set(told) == set(found) - set(LEFT_OUT) - set(but)
    for key in set(told) - set(OURS):
        assert type(told[key]) in {type(found[key]), int, float}, key
        if isinstance(told[key], float):
            assert told[key] == pytest.approx(found[key], rel=6e-6), key
        else:
            assert told[key] == found[key], key


@pytest.fixture(params=RUNS, scope="module")
def compared(request, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("logs")
    scenario, behaviour = RUNS[request.param]
    loadgen_oracle.run(scenario, tmp_path / "theirs", seeds=SEEDS, **behaviour)
    theirs = mlperf.read(tmp_path / "theirs")
    files = as_ours(theirs, asked=theirs.samples.sample)
    files.write(tmp_path / "ours")
    return scenario, theirs, files, tmp_path


def test_every_key_is_loadgens(compared):
    scenario, theirs, files, _ = compared
    assert theirs.scenario == attrs.evolve(scenario, performance_samples=64)
    assert theirs.seeds == SEEDS
    assert_same(theirs, files.log)
    assert len(files.log.errors) == len(theirs.errors) == theirs.results["num_errors"]
    assert [each.partition(".")[0].partition(":")[2][:20] for each in files.log.errors] == [
        each.partition(".")[0].partition(":")[2][:20] for each in theirs.errors
    ]


def test_what_is_written_is_read_again(compared):
    _, theirs, files, folder = compared
    again = mlperf.read(folder / "ours")
    assert again == files.log
    assert again.samples.sample.tolist() == theirs.samples.sample.tolist()
    for name in ("scheduled_ns", "sent_ns", "done_ns"):
        assert getattr(again.times, name).tolist() == getattr(theirs.times, name).tolist()
    assert json.loads((folder / "ours" / "mlperf_log_accuracy.json").read_text()) == []
    json.loads((folder / "ours" / "mlperf_log_trace.json").read_text())


def test_verdicts_judged_anew_are_loadgens(compared):
    _, theirs, _, _ = compared
    assert theirs.verdict().valid is theirs.valid


SUMMARY_OWN = re.compile(
    r"QPS w/ |WARNING|^Generated samples|^setting|^Check the gen|^the real|^samples_per_query value|"
    r"\d+ warning|\d+ ERROR|^ \* |^   See|th percentile latency|^$|Recommendations|^No warnings"
)


def test_the_summary_is_loadgens(compared):
    _, _, _, folder = compared
    ours, theirs = ((folder / name / "mlperf_log_summary.txt").read_text().splitlines() for name in ("ours", "theirs"))
    kept = lambda lines: [line for line in lines if not SUMMARY_OWN.search(line)]
    assert kept(ours) == kept(theirs)
    early = lambda lines: [line for line in lines if line.startswith(" * Early stopping") or "Run " in line]
    assert early(ours) == early(theirs)


SERVER = Server(target_qps=1000, min_duration_s=0, min_queries=500, ttft_bound_ms=1000, tpot_bound_ms=1000)
UNUSED = ("requested_server_ttft_latency", "requested_server_tpot_latency")
"""Bounds that LoadGen tells of streams too, which have none."""
TOKENS = {
    "valid": SERVER,
    "late": attrs.evolve(SERVER, ttft_bound_ms=0.001),
    "slow": attrs.evolve(SERVER, tpot_bound_ms=0.001),
    "single": SingleStream(min_duration_s=0, min_queries=700),
    "single, too few": SingleStream(min_duration_s=0, min_queries=20),
    "single, p90 only": SingleStream(min_duration_s=0, min_queries=100),
}


@pytest.mark.parametrize("name", TOKENS)
def test_every_key_of_a_run_with_tokens_is_loadgens(name, tmp_path):
    tokens = lambda number: 2 + number % 5
    settings = {} if isinstance(TOKENS[name], Server) else {"use_token_latencies": True}
    run = loadgen_oracle.run(
        TOKENS[name], tmp_path, seeds=SEEDS, tokens=tokens, first_waits_s=1e-4, waits_s=lambda _: 1e-4, **settings
    )
    theirs = mlperf.read(tmp_path)
    counts = np.array([tokens(number) for number in range(len(run.done_ns))], np.int64)
    ours = as_ours(theirs, attrs.evolve(theirs.times, first_ns=run.first_ns, tokens=counts)).log
    if name in {"slow", "single, too few"}:  # LoadGen looks at first tokens only where the others are in time
        assert values(theirs)["early_stopping_ttft_result"] == ""
        lines = tuple(attrs.evolve(line, value="") if "ttft_result" in line.key else line for line in ours.lines)
        ours = attrs.evolve(ours, lines=lines)
    assert_same(theirs, ours, but=() if isinstance(TOKENS[name], Server) else UNUSED)
    assert theirs.verdict() is None


def test_tokens_of_an_offline_run_are_loadgens(tmp_path):
    loadgen_oracle.run(
        Offline(min_duration_s=0, min_queries=200), tmp_path, tokens=lambda _: 7, use_token_latencies=True
    )
    theirs = mlperf.read(tmp_path)
    times = attrs.evolve(theirs.times, first_ns=theirs.times.done_ns, tokens=np.full(len(theirs.times), 7, np.int64))
    assert_same(theirs, as_ours(theirs, times).log)


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("kind", [SingleStream, MultiStream, Server, Offline])
def test_settings_drawn_at_random_are_read_and_written(kind, number, tmp_path):
    rng = np.random.default_rng(number)
    fields = {
        SingleStream: {"expected_latency_ms": 0.25, "percentile": 0.95, "whole_permutations": bool(number % 2)},
        MultiStream: {"expected_latency_ms": 0.5, "samples_per_query": int(rng.integers(1, 9)), "percentile": 0.9},
        Server: {"target_qps": float(rng.integers(1000, 5000)), "bound_ms": 15, "whole_permutations": bool(number % 2)},
        Offline: {"expected_qps": float(rng.integers(100, 9000)), "whole_permutations": bool(number % 2)},
    }[kind]
    scenario = kind(min_duration_s=0.004, min_queries=int(rng.integers(1, 200)), performance_samples=50, **fields)
    loadgen_oracle.run(scenario, tmp_path, seeds=MLPERF_SEEDS, performance=50)
    theirs = mlperf.read(tmp_path)
    assert (theirs.scenario, theirs.seeds) == (scenario, MLPERF_SEEDS)
    assert_same(theirs, as_ours(theirs).log)


GOOD = (
    ':::MLLOG {"key": "x", "value": 1, "time_ms": 0.5, "namespace": "mlperf::logging", "event_type": "POINT_IN_TIME", '
    '"metadata": {"is_error": false, "is_warning": false, "file": "a.cc", "line_no": 3, "pid": 1, "tid": 2}}\n'
)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("hello", "no line of MLPerf's detail log"),
        (":::MLLOG {", "cannot be read"),
        (":::MLLOG [1]", "cannot be read"),
        (GOOD.replace('"is_error": false, ', ""), "is_error"),
        (GOOD.replace('"x"', "3"), "key is 3"),
        (
            GOOD.replace('"x", "value": 1', '"result_query_count", "value": 1.5'),
            "result_query_count is of another type",
        ),
        (GOOD.replace('"x", "value": 1', '"result_query_count", "value": true'), "expected int"),
        (GOOD.replace('"x", "value": 1', '"loaded_qsl_set", "value": ["a"]'), "loaded_qsl_set is of another type"),
    ],
)
def test_a_malformed_line_is_told_with_its_place(line, told, tmp_path):
    file = tmp_path / "mlperf_log_detail.txt"
    file.write_text(GOOD + "\n" + line)
    with pytest.raises(SpecError, match=told) as caught:
        mlperf.read(file)
    assert "mlperf_log_detail.txt:3" in str(caught.value)


def test_a_log_that_is_not_whole_is_refused(tmp_path):
    file = tmp_path / "mlperf_log_detail.txt"
    with pytest.raises(SpecError, match="cannot be read"):
        mlperf.read(tmp_path)
    file.write_text("")
    with pytest.raises(SpecError, match="empty"):
        mlperf.read(tmp_path)
    file.write_text(GOOD)
    with pytest.raises(SpecError, match="requested_scenario"):
        mlperf.read(file)


def test_keys_that_are_not_known_are_kept(tmp_path):
    loadgen_oracle.run(SingleStream(min_duration_s=0, min_queries=1), tmp_path)  # LoadGen writes nan here
    file = tmp_path / "mlperf_log_detail.txt"
    file.write_text(file.read_text() + GOOD.replace('"x"', '"sut_colour"').replace("1,", '"red\u2028\u0085",', 1))
    log = mlperf.read(tmp_path)
    assert log.extras["sut_colour"] == "red\u2028\u0085"  # no end of a line
    assert log.extras["get_sut_name_duration_ns"] > 0
    assert log.lines[-1].extras["line_no"] == 3
    assert log.value("no such key") is None


def test_a_trace_that_lacks_samples_is_refused(tmp_path):
    loadgen_oracle.run(SingleStream(min_duration_s=0, min_queries=20), tmp_path)
    file = tmp_path / "mlperf_log_trace.json"
    whole = file.read_text()
    file.write_text("\n".join(line for line in whole.splitlines() if '"sample_seq":7,' not in line))
    with pytest.raises(SpecError, match="lacks samples"):
        mlperf.read(tmp_path)
    file.write_text("{}")
    with pytest.raises(SpecError, match="no sample"):
        mlperf.read(tmp_path)


def test_times_of_another_run_are_refused(tmp_path):
    loadgen_oracle.run(SingleStream(min_duration_s=0, min_queries=20), tmp_path)
    log = mlperf.read(tmp_path)
    with pytest.raises(SpecError, match="not of this scenario"):
        as_ours(log, attrs.evolve(log.times, samples_per_query=2))
    with pytest.raises(SpecError, match="no tokens"):
        as_ours(attrs.evolve(log, setup=attrs.evolve(log.setup, token_latencies=True)))


def test_lost_samples_are_errors_and_make_a_run_invalid(tmp_path):
    loadgen_oracle.run(SingleStream(min_duration_s=0, min_queries=100), tmp_path)
    log = mlperf.read(tmp_path)
    times = log.times
    fewer = {name: getattr(times, name)[:-3] for name in ("scheduled_ns", "sent_ns", "done_ns")}
    ours = as_ours(log, attrs.evolve(times, lost=3, **fewer)).log
    assert not ours.valid
    assert ours.errors == ("3 samples failed or were not answered",)
