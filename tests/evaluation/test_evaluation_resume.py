"""A run that was ended is taken up again: what is finished stands, the rest is measured."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import psutil
import pytest
from tests.waves import ECHO, FAULTY, ITERATIONS, codes, evaluate, keys, labelled

from bytemlperf import Limits
from bytemlperf.report import Report, Status
from bytemlperf.workload import MEASURED

ROOT = Path(__file__).parents[2]
HARNESS = "BYTEMLPERF_TEST_HARNESS"
CHIP = "tests.evaluation.vendors:Chip"

SCRIPT = """
import os, sys
from tests.waves import waves, evaluate, load
from bytemlperf import zoo
os.environ["BYTEMLPERF_TEST_HARNESS"] = str(os.getpid())
evaluate(
    zoo.from_onnx(sys.argv[1]), "tests.evaluation.vendors:Chip", options={"kills_parent_at": 30},
    checks=["compile", "numeric", "performance"], numeric_samples=4, out=sys.argv[2],
)
"""


def _killed(artifact, out):
    """Run a job in a process that its own backend kills in the middle of the second batch size."""
    own = out.with_name("tmp-of-the-killed")
    own.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(artifact.path), str(out)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(own)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    until = time.monotonic() + 10
    while _processes_of(own) and time.monotonic() < until:
        time.sleep(0.05)
    assert _processes_of(own) == []


def _processes_of(folder):
    """Processes that a run with this folder of temporary files has started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # another user's, or gone
            if process.environ().get("TMPDIR") == str(folder):
                found.append(process)
    return found


def test_a_run_whose_process_was_killed_is_taken_up_again(artifact, tmp_path, left, monkeypatch):
    out = tmp_path / "out"
    _killed(artifact, out)
    assert not (out / "report.json").exists()
    numbers = {row["stored"]["row"]["key"] for row in map(_json, (out / "rows").glob("*.json"))}
    assert numbers == {
        "numeric/batch=1/fp32/devices=1",
        "numeric/batch=4/fp32/devices=1",
        "performance/fixed_batch/clients=1/batch=1/fp32/devices=1",
    }
    before = [json.loads(line)["seq"] for line in (out / "events.jsonl").read_text().splitlines()]
    monkeypatch.delenv(HARNESS, raising=False)
    heard = []
    options, checks = {"kills_parent_at": 30}, ["compile", "numeric", "performance"]
    report = evaluate(
        artifact, CHIP, options=options, checks=checks, numeric_samples=4, out=out, resume=True, on_event=heard.append
    )
    assert (report.status, report.failures) == (Status.COMPLETE, ())
    assert (keys(report, "numeric"), keys(report), keys(report, "compile")) == ([1, 4], [1, 4], [1])
    earlier, now = report.parts
    parts = {row.key: row.part for row in report.rows}
    assert {key for key, part in parts.items() if part == earlier.id} == numbers
    assert {key for key, part in parts.items() if part == now.id} == set(parts) - numbers
    assert heard[0].seq == before[-1] + 1, "a listener goes on where the file ends"
    assert Report.load(out) == report
    assert all((out / file).is_file() for row in report.rows for file in row.files)
    assert left() == []


def _json(path):
    return json.loads(path.read_text())


def _again(artifact, out, **fields):
    """Run the same job again, taking up what is there; return the report and the rows that were measured now."""
    report = evaluate(artifact, out=out, resume=True, **fields)
    return report, {row.key for row in report.rows if row.part == report.parts[-1].id}


@pytest.fixture(scope="module")
def finished(artifact, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "out"
    fields = {"backend": ECHO, "checks": MEASURED, "dataset": labelled(), "numeric_samples": 4}
    return out, fields, evaluate(artifact, out=out, **fields)


@pytest.fixture
def whole(finished, tmp_path):
    """A folder of a finished run, the fields that were given, and its report."""
    out, fields, report = finished
    return shutil.copytree(out, tmp_path / "out"), fields, report


def test_nothing_is_measured_twice_and_no_worker_stays(artifact, whole, left):
    out, fields, first = whole
    report, new = _again(artifact, out, **fields)
    assert new == set()
    assert [attrs.evolve(row, part="") for row in report.rows] == [attrs.evolve(row, part="") for row in first.rows]
    assert report.compiles == first.compiles
    assert report.verdict == first.verdict
    assert [part.id for part in report.parts][:1] == [first.parts[0].id]
    assert left() == []


def test_only_what_is_missing_is_measured(artifact, whole):
    out, fields, _ = whole
    (out / "rows" / "performance-fixed_batch-clients=1-batch=4-fp32-devices=1.json").unlink()
    (out / "rows" / "compile-batch=1-fp32-devices=1.json").write_text("{")
    report, new = _again(artifact, out, **fields)
    assert new == {
        "performance/fixed_batch/clients=1/batch=4/fp32/devices=1",
        "compile/batch=1/fp32/devices=1",
    }
    assert (report.status, len(report.rows)) == (Status.COMPLETE, 6)


@pytest.fixture
def scored(artifact, tmp_path):
    """A folder of a job that only scores, and the fields that were given."""
    out = tmp_path / "out"
    fields = {"backend": ECHO, "checks": ["accuracy"], "batch_sizes": [4], "dataset": labelled()}
    assert evaluate(artifact, out=out, **fields).metrics["accuracy/top1"].value == 1
    return out, fields


def test_without_resume_everything_is_measured_anew(artifact, scored):
    out, fields = scored
    report = evaluate(artifact, out=out, **fields)
    assert len(report.parts) == 1
    assert {row.part for row in report.rows} == {report.parts[0].id}


def test_limits_and_labels_may_change(artifact, scored):
    out, fields = scored
    _, new = _again(artifact, out, **fields, limits=Limits(query_s=5.0), labels={"rack": "7"})
    assert new == set()


def test_other_data_take_nothing_over(artifact, scored):
    out, fields = scored
    report, new = _again(artifact, out, **{**fields, "dataset": labelled(wrong=3)})
    assert new == {"accuracy/batch=4/fp32/devices=1"}
    assert report.metrics["accuracy/top1"].value == pytest.approx(9 / 12)


def test_another_job_takes_nothing_over(artifact, scored):
    out, fields = scored
    _, new = _again(artifact, out, **fields, seed=1)
    assert new == {"accuracy/batch=4/fp32/devices=1"}


def test_another_version_of_the_backend_takes_nothing_over(artifact, tmp_path):
    from bytemlperf import Worker

    fields = {
        "backend": "tests.evaluation.vendors:Static", "batch_sizes": [1], "out": tmp_path / "out",
        "checks": ["accuracy"], "dataset": labelled(),
    }  # fmt: skip
    evaluate(artifact, **fields, worker=Worker(env={"STATIC_VERSION": "1"}))
    same = evaluate(artifact, **fields, worker=Worker(env={"STATIC_VERSION": "1"}), resume=True)
    other = evaluate(artifact, **fields, worker=Worker(env={"STATIC_VERSION": "2"}), resume=True)
    assert [len(report.parts) for report in (same, other)] == [2, 1]


def test_a_row_that_ended_early_is_measured_again(artifact, tmp_path):
    out = tmp_path / "out"
    options = {"fault": "sigkill", "after": 1 + ITERATIONS + 1 + 5}
    first = evaluate(artifact, FAULTY, options=options, out=out)
    assert [row.note == "" for row in first.rows] == [True, False]
    report, new = _again(artifact, out, backend=FAULTY, options=options)
    assert new == {first.rows[1].key}
    assert report.status is Status.COMPLETE, "in a fresh process the fault strikes after the row"


def test_a_row_keeps_its_failures_and_warnings(artifact, tmp_path):
    fields = {"backend": "tests.evaluation.vendors:Off", "checks": ["numeric"], "numeric_samples": 4}
    first = evaluate(artifact, out=tmp_path / "out", **fields)
    report, new = _again(artifact, tmp_path / "out", **fields)
    assert new == set()
    assert codes(report) == codes(first) == ["numeric_mismatch"] * 2
    assert report.failures == first.failures
    assert report.status is first.status is Status.PARTIAL
