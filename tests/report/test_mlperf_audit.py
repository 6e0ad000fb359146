"""The audit of MLPerf's detail logs: nothing where nothing is wrong, and each lie found."""

from __future__ import annotations

import json

import pytest
from tests import loadgen_oracle
from tests.loadgen_runs import RUNS

from bytemlperf.cli.main import main
from bytemlperf.report import FindingKind, Severity, audit
from bytemlperf.scenarios import Offline, Seeds, Server, SingleStream

HARMLESS = {FindingKind.TOO_FEW_SAMPLES, FindingKind.PERCENTILE_IS_MAXIMUM, FindingKind.LOGGED_ERROR}
STREAM = SingleStream(min_duration_s=0, min_queries=700)
SERVER = Server(target_qps=4000, min_duration_s=0, min_queries=500, bound_ms=5000)


@pytest.mark.parametrize("name", RUNS)
def test_loadgens_own_logs_have_no_error(name, tmp_path):
    scenario, behaviour = RUNS[name]
    loadgen_oracle.run(scenario, tmp_path, seeds=Seeds(schedule=11), **behaviour)
    assert {(each.kind, each.reason) for each in audit(tmp_path).findings if each.kind not in HARMLESS} == set()


def changed(folder, **values):
    """Change values in a log."""
    file = folder / "mlperf_log_detail.txt"
    lines = []
    for line in file.read_text().splitlines():
        data = json.loads(line.removeprefix(":::MLLOG"))
        data["value"] = values.get(data["key"].replace(".", "_"), data["value"])
        lines.append(f":::MLLOG {json.dumps(data)}\n")
    file.write_text("".join(lines))
    return file


LIES = [
    (STREAM, {"result_validity": "INVALID"}, FindingKind.VALIDITY),
    (STREAM, {"result_min_queries_met": False}, FindingKind.VALIDITY),
    (STREAM, {"effective_min_query_count": 9000}, FindingKind.VALIDITY),
    (STREAM, {"result_90_00_percentile_latency_ns": 1}, FindingKind.PERCENTILE_ORDER),
    (STREAM, {"result_mean_latency_ns": 10**12}, FindingKind.PERCENTILE_ORDER),
    (STREAM, {"result_qps_with_loadgen_overhead": 1e9}, FindingKind.LITTLES_LAW),
    (STREAM, {"result_50_00_percentile_latency_ns": 1}, FindingKind.STAMPS_DISAGREE),
    (STREAM, {"result_query_count": 699}, FindingKind.COUNTS),
    (STREAM, {"num_errors": 3}, FindingKind.COUNTS),
    (STREAM, {"effective_qsl_rng_seed": 5}, FindingKind.PLAN_DISAGREES),
    (STREAM, {"effective_sample_index_rng_seed": 5}, FindingKind.PLAN_DISAGREES),
    (SERVER, {"result_perf_constraints_met": False}, FindingKind.VALIDITY),
    (SERVER, {"result_overlatency_query_count": 100}, FindingKind.VALIDITY),
    (Offline(min_duration_s=0, min_queries=300), {"result_samples_per_second": 1}, FindingKind.INCONSISTENT_THROUGHPUT),
]


@pytest.mark.parametrize(("scenario", "lie", "kind"), LIES)
def test_each_lie_is_found(scenario, lie, kind, tmp_path):
    loadgen_oracle.run(scenario, tmp_path)
    found = audit(changed(tmp_path, **lie))
    assert kind in {each.kind for each in found.errors}
    assert found.rows == 1


def test_a_run_that_its_stamps_make_invalid_is_found(tmp_path):
    loadgen_oracle.run(SingleStream(min_duration_s=0, min_queries=20), tmp_path)
    changed(tmp_path, result_validity="VALID", early_stopping_met=True)
    (finding,) = audit(tmp_path).errors
    assert "its stamps make it invalid" in finding.reason


def test_errors_and_what_is_missing_are_told(tmp_path):
    loadgen_oracle.run(SingleStream(min_duration_s=0, min_queries=50, max_queries=30), tmp_path)
    file = tmp_path / "mlperf_log_detail.txt"
    found = {(each.kind, each.severity) for each in audit(file).findings}
    assert (FindingKind.LOGGED_ERROR, Severity.WARNING) in found
    file.write_text("".join(line for line in file.read_text().splitlines(True) if '"result_' not in line))
    assert FindingKind.MISSING_FIELD in {each.kind for each in audit(file).findings}
    file.write_text(":::MLLOG nonsense")
    assert [each.kind for each in audit(file).findings] == [FindingKind.UNREADABLE]


def test_the_command_takes_logs(tmp_path, capsys):
    loadgen_oracle.run(STREAM, tmp_path)
    assert main(["audit", str(tmp_path)]) == 0
    assert "1 files, 1 rows: 0 errors" in capsys.readouterr().out
    assert main(["audit", str(changed(tmp_path, result_validity="INVALID"))]) == 1
