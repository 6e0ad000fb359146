"""Reports as MLPerf's logs, from the raw stamps beside them."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from tests.report.report_samples import performance_row, report

from bytemlperf.cli.main import main
from bytemlperf.errors import SpecError
from bytemlperf.report import IN_MEMORY, DatasetFacts, Row, RowKind, mlperf, row_key
from bytemlperf.report.files import trace_path, write_trace
from bytemlperf.scenarios import FixedBatch, Offline, Seeds, Server, SingleStream
from bytemlperf.spec import DType
from bytemlperf.trace import empty
from bytemlperf.workload import Job

SEEDS = Seeds(loaded=1, samples=2, schedule=3)
SCENARIOS = (
    SingleStream(min_duration_s=0, min_queries=100),
    Server(target_qps=1000, min_duration_s=0, min_queries=500, bound_ms=5),
    Offline(min_duration_s=0, min_queries=200),
)
IN_RAM = 40


def stamps(scenario):
    """A trace of a system that takes 2 ms each, one after another or all at once."""
    plan = scenario.plan(IN_RAM, SEEDS)
    n = len(plan.batch)
    due = (
        np.arange(n) * 2_000_000 if plan.scheduled_ns is None else np.repeat(plan.scheduled_ns, plan.samples_per_query)
    )
    done = 7 + due + 2_000_000
    return attrs.evolve(
        empty(n),
        scheduled_ns=due + 7,
        sent_ns=due + 7,
        first_ns=done,
        done_ns=done,
        tokens=np.ones(n, np.uint32),
        batch=plan.batch.astype(np.uint32),
        size=np.ones(n, np.uint32),
        status=np.ones(n, np.uint8),
        started_ns=7,
        samples_per_query=plan.samples_per_query,
    )


def saved(folder):
    rows = []
    for scenario in SCENARIOS:
        key = row_key("performance", scenario=scenario.key, batch_size=1, precision=DType.FLOAT32)
        write_trace(folder / trace_path(key), stamps(scenario))
        rows.append(
            Row(
                kind=RowKind.PERFORMANCE,
                key=key,
                scenario=scenario.key,
                batch_size=1,
                precision="fp32",
                labels={IN_MEMORY: IN_RAM},
                files=(trace_path(key),),
            )
        )
    made = report(
        rows=rows,
        job=Job(task="t", scenarios=(*SCENARIOS, FixedBatch())),
        seeds=SEEDS,
        parts=(),
        dataset=DatasetFacts(name="digits", samples=360),
        folder=folder,
    )
    made.save(folder, plots=False)
    return made


def test_each_row_of_a_scenario_of_mlperfs_is_written(tmp_path):
    paths = saved(tmp_path).to_mlperf(tmp_path / "mlperf", trace=True)
    logs = [mlperf.read(path) for path in paths]
    assert [log.scenario for log in logs] == [attrs.evolve(each, performance_samples=IN_RAM) for each in SCENARIOS]
    assert [log.valid for log in logs] == [log.verdict().valid for log in logs] == [True] * 3
    assert {log.seeds for log in logs} == {SEEDS}
    assert {log.value("qsl_reported_total_count") for log in logs} == {360}
    assert logs[0].results["result_99.00_percentile_latency_ns"] == 2_000_000
    assert logs[2].results["result_samples_per_second"] == 100_000
    assert logs[1].samples.sample.tolist() == SCENARIOS[1].plan(IN_RAM, SEEDS).batch.tolist()
    assert paths[0].parent.parts[-2:] == ("performance", "run_1")
    assert sorted(each.name for each in paths[0].parent.iterdir()) == [
        "mlperf_log_accuracy.json",
        "mlperf_log_detail.txt",
        "mlperf_log_summary.txt",
        "mlperf_log_trace.json",
    ]


def test_the_command_writes_the_same(tmp_path, capsys):
    saved(tmp_path / "out")
    assert main(["export", "--mlperf", str(tmp_path / "out"), str(tmp_path / "mlperf")]) == 0
    folders = capsys.readouterr().out.splitlines()
    assert [mlperf.read(each).valid for each in folders] == [True] * 3
    assert main(["export", "--mlperf", str(tmp_path / "none"), str(tmp_path / "mlperf")]) == 2


def test_a_report_without_such_a_row_or_stamps_is_refused(tmp_path):
    with pytest.raises(SpecError, match="no row of a scenario of MLPerf's"):
        report(rows=[performance_row()]).to_mlperf(tmp_path)
    made = saved(tmp_path / "out")
    with pytest.raises(SpecError, match="raw stamps"):
        attrs.evolve(made, folder=None).to_mlperf(tmp_path)
    unlabelled = attrs.evolve(made, rows=tuple(attrs.evolve(row, labels={}) for row in made.rows))
    with pytest.raises(SpecError, match="what was in memory"):
        unlabelled.to_mlperf(tmp_path)
