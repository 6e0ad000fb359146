"""A backend's optional methods in a whole run: tuned before the compile, phases and the vendor's figures beside."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.evaluation import thorough
from tests.waves import ECHO, codes, evaluate, labelled, load

from bytemlperf import Limits
from bytemlperf.report import Outcome, Status
from bytemlperf.report.files import read_trace
from bytemlperf.workload import MEASURED

THOROUGH = "tests.evaluation.thorough:Thorough"
DYNAMIC = "tests.evaluation.thorough:Dynamic"


def row_of(report, start):
    (row,) = [each for each in report.rows if each.key.startswith(start)]
    return row


def lines(log):
    return [line.split(maxsplit=1) for line in log.read_text().splitlines()]


@pytest.fixture(params=["worker", "inline"])
def backend(request):
    return THOROUGH if request.param == "worker" else thorough.Thorough()


def test_everything_that_a_backend_offers_is_in_the_report(artifact, backend, tmp_path):
    report = evaluate(
        artifact,
        backend,
        checks=MEASURED,
        dataset=labelled(),
        batch_sizes=[2],
        scenarios=[load(warmup=6)],
        out=tmp_path / "out",
    )
    assert codes(report) == []
    assert report.status is Status.COMPLETE
    assert [row.key.rpartition("/batch")[0] for row in report.rows] == [
        "compile",
        "accuracy",
        "numeric",
        "performance/fixed_batch/clients=1",
        "performance/phases",
        "performance/vendor_reported",
    ]
    text = str(report)
    assert "prepare" in text
    assert "98,765" in text
    assert len(report.to_bytemlperf()["Performance"]) == 1


def test_what_was_chosen_is_compiled_and_told_in_every_row(artifact, backend, tmp_path):
    log = tmp_path / "log"
    report = evaluate(
        artifact, backend, checks=["compile", "performance"], batch_sizes=[1, 4], options={"log": str(log)}
    )
    assert codes(report) == []
    words = [line for _, line in lines(log)]
    per_size = {size: [each for each in words if each.split()[1] == str(size)] for size in (1, 4)}
    for size, told in per_size.items():
        measured = [f"compile {size} {pause} tune-work" for pause in (20_000, 500, 10_000)]
        assert told[:4] == [f"tune {size} tune-work", *measured]
        assert set(told[4:]) == {f"compile {size} 500 batch={size}"}
    assert {json.loads(row.labels["tuned"])["pause_us"] for row in report.rows} == {500}
    row = row_of(report, "compile/batch=4")
    assert "tuned by 3 measurements: pause_us=500" in row.note
    tune_s = row.metrics["compile/tune_s"].value
    assert tune_s > (20_000 + 500 + 10_000) * 17 / 1e6
    assert row.metrics["compile/cold/time_to_first_answer_s"].value < tune_s
    p50_ns = row_of(report, "performance/fixed_batch/clients=1/batch=4").metrics["latency/p50"].value
    assert 500_000 <= p50_ns < 10_000_000


def test_a_tuned_model_is_compiled_in_a_process_that_has_not_tuned(artifact, tmp_path):
    log = tmp_path / "log"
    evaluate(
        artifact, THOROUGH, checks=["compile", "performance"], batch_sizes=[1], options={"log": str(log)}, repeats=2
    )
    in_process = {}
    for pid, line in lines(log):
        in_process.setdefault(pid, []).append(line.split()[0] + " " + line.split()[-1])
    tuning, *compiling = in_process.values()
    assert tuning == ["tune tune-work"] + ["compile tune-work"] * 3
    assert compiling == [["compile batch=1"]] * 3, "the cold start, the second process and the warm start"


def test_one_model_for_every_batch_size_is_tuned_once(artifact, tmp_path):
    log = tmp_path / "log"
    report = evaluate(artifact, DYNAMIC, batch_sizes=[1, 4], options={"log": str(log)})
    assert codes(report) == []
    assert [line for _, line in lines(log) if line.startswith("tune")] == ["tune None tune-work"]
    assert {json.loads(row.labels["tuned"])["pause_us"] for row in report.rows} == {500}


@pytest.mark.parametrize(("tuning", "code"), [("raise", "compile_error"), ("die", "crash"), ("hang", "time_limit")])
def test_a_tuning_that_fails_leaves_the_options_as_they_were(artifact, left, tuning, code):
    report = evaluate(
        artifact,
        THOROUGH,
        checks=["compile", "performance"],
        batch_sizes=[2],
        options={"tuning": tuning, "pause_us": 700},
        limits=Limits(compile_s=3.0 if tuning == "hang" else 60.0, grace_s=10.0),
    )
    (failure,) = report.failures
    assert (str(failure.code), failure.step, str(failure.blame)) == (code, "compile/tune/batch=2", "backend")
    assert failure.limit == ("compile_s" if tuning == "hang" else None)
    assert report.status is Status.PARTIAL
    assert len(report.rows) == 4
    assert not any("tuned" in row.labels for row in report.rows)
    assert "compile/tune_s" not in row_of(report, "compile").metrics
    assert row_of(report, "performance/fixed").metrics["latency/p50"].value >= 700_000
    assert left() == []


def test_a_backend_without_optional_methods_has_none_of_this(artifact):
    report = evaluate(artifact, ECHO, checks=["compile", "performance"], batch_sizes=[2])
    assert codes(report) == []
    assert [row.kind.value for row in report.rows] == ["compile", "performance"]
    assert not any("tuned" in row.labels for row in report.rows)
    assert "compile/tune_s" not in report.rows[0].metrics


@pytest.mark.parametrize(("iterations", "queries"), [(7, 7), (150, 100)])
def test_phases_have_as_many_queries_as_one_client_and_at_most_100(artifact, iterations, queries, tmp_path):
    report = evaluate(
        artifact,
        thorough.Thorough(),
        batch_sizes=[2],
        scenarios=[load(clients=2, iterations=iterations)],
        options={"pause_us": 0},
        out=tmp_path / "out",
    )
    row = row_of(report, "performance/phases")
    assert {figure.n for figure in row.metrics.values()} == {queries}
    assert row.metrics["phases/execute/p50"].value >= 2_000_000
    assert row.metrics["phases/prepare/p50"].value < 2_000_000
    assert row.labels["phases"] is True
    assert not row.headline
    assert "never to be summed" in row.note
    trace = read_trace(tmp_path / "out" / row.files[0])
    executed = trace.chunk_ns[1::2] - trace.chunk_ns[::2]
    assert row.metrics["phases/execute/p50"].value == np.sort(executed)[queries // 2]
    assert report.metrics[f"{row.key}/phases/execute/p50"].value == row.metrics["phases/execute/p50"].value


@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [
        ("off", "numeric_mismatch", "outputs do not agree with predict"),
        ("nan", "non_finite", "outputs do not agree with predict"),
        ("shape", "malformed_output", "output 'y' has the wrong shape"),
        ("fails", "predict_error", "no execution today"),
    ],
)
def test_phases_that_do_not_give_what_predict_gives_are_a_failure_without_a_row(artifact, mode, code, words):
    report = evaluate(artifact, thorough.Thorough(), batch_sizes=[2], options={"mode": mode})
    (failure,) = report.failures
    assert (str(failure.code), str(failure.blame)) == (code, "backend")
    assert words in failure.message
    assert failure.step == "performance/phases/batch=2/fp32/devices=1"
    assert [row.key.split("/")[1] for row in report.rows] == ["fixed_batch", "vendor_reported"]
    assert report.status is Status.PARTIAL
    assert report.verdict.outcome is Outcome.FAIL


def test_phases_of_an_engine_without_a_bound_are_held_to_that_of_float32(artifact):
    report = evaluate(artifact, thorough.Quantised(), batch_sizes=[2])
    assert codes(report) == []
    off = evaluate(artifact, thorough.Quantised(), batch_sizes=[2], options={"mode": "off"})
    assert codes(off) == ["numeric_mismatch"]


def test_what_the_vendors_tool_tells_is_kept_apart(artifact, backend):
    report = evaluate(artifact, backend, batch_sizes=[2], dataset=labelled(12))
    row = row_of(report, "performance/vendor_reported")
    assert {name: figure.value for name, figure in row.metrics.items()} == {
        "vendor_reported/fps": 98765.0,
        "vendor_reported/batches": 6.0,
        "vendor_reported/size": 2.0,
    }
    assert row.labels["vendor_reported"] is True
    assert {figure.definition for figure in row.metrics.values()} == {
        "as the vendor's tool reports it; not measured by the harness"
    }
    (warning,) = [each for each in report.warnings if each.code == "vendor_figure_refused"]
    assert (warning.step, warning.message) == (row.key, "the figure 'worst' of the vendor's tool: it is nan")


@pytest.mark.parametrize(("tool", "refused"), [("nothing", 0), ("odd", 1)])
def test_a_tool_that_tells_no_number_gives_no_row(artifact, tool, refused):
    report = evaluate(artifact, thorough.Thorough(), batch_sizes=[2], options={"tool": tool})
    assert codes(report) == []
    assert not any(row.key.startswith("performance/vendor") for row in report.rows)
    assert [each.code for each in report.warnings].count("vendor_figure_refused") == refused


def test_a_tool_that_crashes_costs_its_own_row_alone(artifact, left):
    report = evaluate(artifact, THOROUGH, batch_sizes=[1, 2], options={"tool": "die"})
    assert [(str(each.code), each.step.split("/")[1]) for each in report.failures] == [("crash", "vendor_reported")] * 2
    assert [(row.key.split("/")[1], row.batch_size) for row in report.rows] == [
        ("fixed_batch", 1),
        ("fixed_batch", 2),
        ("phases", 1),
        ("phases", 2),
    ]
    assert left() == []


def test_rows_beside_are_taken_over_by_a_resumed_run(artifact, tmp_path):
    log = tmp_path / "log"
    options = {"log": str(log)}
    first = evaluate(artifact, THOROUGH, batch_sizes=[2], out=tmp_path / "out", options=options)
    before = lines(log)
    again = evaluate(artifact, THOROUGH, batch_sizes=[2], out=tmp_path / "out", options=options, resume=True)
    assert len(again.rows) == 3
    assert again.rows == first.rows
    assert [each for each in again.warnings if each.code == "vendor_figure_refused"] == [
        each for each in first.warnings if each.code == "vendor_figure_refused"
    ]
    assert lines(log) == before, "nothing is compiled or tuned again"


def test_nothing_beside_is_measured_where_performance_is_not_asked_for(artifact):
    report = evaluate(artifact, THOROUGH, checks=["compile"], batch_sizes=[2])
    assert codes(report) == []
    assert [row.kind.value for row in report.rows] == ["compile"]
