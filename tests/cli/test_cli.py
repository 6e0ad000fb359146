"""The command as people and scripts use it: what it prints where, how wide, and with which exit code it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import attrs
import pytest
from tests.waves import ECHO, SLEEP, load, waves

from bytemlperf import Job
from bytemlperf.cli import main
from bytemlperf.report import Report, Status
from bytemlperf.spec import AccuracyTarget, to_json

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def artifact(tmp_path_factory):
    return waves(tmp_path_factory.mktemp("waves"))


@pytest.fixture(autouse=True)
def _alone(scratch, monkeypatch):
    """Leave nothing, wait for nobody, and write for a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def job(artifact):
    """A job of a file of one's own, as data."""
    return Job(
        task="waves", model=artifact.spec, weights=str(artifact.path), backend=ECHO, checks=["performance"],
        batch_sizes=(1, 4), scenarios=(load(),),
    )  # fmt: skip


@pytest.fixture
def job_file(job, tmp_path):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(to_json(job)))
    return path


def _fits(text, columns=80):
    return [line for line in text.splitlines() if len(line) > columns] == []


def test_a_job_file_gives_a_report_on_screen_and_on_disk(job, job_file, tmp_path, capsys):
    assert main(["run", str(job_file), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    report = Report.load(tmp_path / "out")
    assert (report.job, report.status) == (job, Status.COMPLETE)
    assert "waves on echo" in printed.out
    assert _fits(printed.out)
    assert str(tmp_path / "out") in printed.err.replace("\n", "")
    assert main(["show", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == printed.out
    assert main(["show", str(tmp_path / "out" / "report.json"), "--json"]) == 0
    assert Report.from_dict(json.loads(capsys.readouterr().out)) == report


def test_json_is_a_report_and_nothing_else_comes_with_it(job_file, capsys):
    code = main([
        "run", str(job_file), "--json", "--backend", "bytemlperf.testing:FaultyBackend", "--option",
        "fault=print_to_stdout", "--batch-sizes", "2",
    ])  # fmt: skip
    printed = capsys.readouterr()
    report = Report.from_dict(json.loads(printed.out))
    assert (code, report.status, printed.err) == (0, Status.COMPLETE, "")


def test_arguments_take_the_place_of_the_jobs_own(job_file, capsys):
    arguments = {
        "--backend": SLEEP, "--option": "latency_us=2000", "--batch-sizes": "3", "--clients": "1,2",
        "--iterations": "10", "--seed": "7", "--query-limit": "5", "--memory-limit": "4", "--disk-limit": "0.5",
        "--total-limit": "100", "--step-limit": "50", "--compile-limit": "40", "--checks": "performance,compile",
        "--numeric-samples": "9", "--accuracy-target": "top1=0.999",
    }  # fmt: skip
    assert main(["run", str(job_file), "--json", *(word for pair in arguments.items() for word in pair)]) == 0
    job = Report.from_dict(json.loads(capsys.readouterr().out)).job
    assert (job.backend, job.options, job.batch_sizes, job.seed) == (SLEEP, {"latency_us": 2000}, (3,), 7)
    assert [(each.clients, each.iterations) for each in job.scenarios] == [(1, 10), (2, 10)]
    assert (job.checks, job.numeric_samples) == (("compile", "performance"), 9)
    assert job.acceptance.targets == (AccuracyTarget(metric="top1", share=0.999),)
    limits = job.limits
    assert (limits.query_s, limits.compile_s, limits.step_s, limits.total_s) == (5, 40, 50, 100)
    assert (limits.memory_bytes, limits.disk_bytes) == (4 * 10**9, 5 * 10**8)


@pytest.mark.parametrize("text", ["top1=2", "top1=all"])
def test_a_target_that_is_none_is_refused(job_file, capsys, text):
    assert main(["run", str(job_file), "--accuracy-target", text]) == 2
    assert "--accuracy-target" in capsys.readouterr().err


def test_a_failure_is_shown_and_ends_with_1(job_file, capsys):
    faulty = ["--backend", "bytemlperf.testing:FaultyBackend", "--option", "fault=sigkill", "--option", "after=30"]
    assert main(["run", str(job_file), *faulty]) == 1
    printed = capsys.readouterr()
    assert "SIGKILL" in printed.out
    assert _fits(printed.out)


def test_a_backend_that_cannot_be_loaded_ends_with_1(job_file, capsys):
    assert main(["run", str(job_file), "--backend", "bytemlperf.testing.imports:RaisingBackend"]) == 1
    printed = capsys.readouterr()
    assert "libmychip.so.1" in printed.out
    assert _fits(printed.out)


BAD = {
    "unknown task": (["run", "resnet5-torch-fp32"], ["unknown model 'resnet5-", "did you mean 'resnet50-torch-fp32'"]),
    "unknown backend": (["run", "JOB", "--backend", "torsch"], ["unknown backend 'torsch'", "did you mean 'torch'"]),
    "unknown option": (["run", "JOB", "--option", "speed=1"], ["no such option", "$.options.speed"]),
    "unknown dataset": (["run", "JOB", "--dataset", "digit"], ["unknown dataset 'digit'", "did you mean 'digits'"]),
    "dataset's option": (["run", "JOB", "--dataset-option", "a=1"], ["add --dataset NAME"]),
    "samples without dataset": (["run", "JOB", "--samples", "0"], ["add --dataset NAME"]),
    "precision": (["run", "JOB", "--precision", "fp7"], ["unknown dtype", "fp7", "did you mean 'fp8'"]),
    "checks": (["run", "JOB", "--checks", "speed"], ["speed"]),
    "iterations": (["run", "JOB", "--iterations", "0"], ["iterations"]),
    "clients": (["run", "JOB", "--clients", "0"], ["clients"]),
    "resume": (["run", "JOB", "--resume"], ["nothing to resume without a folder"]),
    "no such file": (["run", "gone.json"], ["cannot be read", "gone.json"]),
    "nothing to show": (["show", "resnet5"], ["unknown model, backend or report 'resnet5'"]),
    "no report": (["show", "FOLDER"], ["report.json"]),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_request_ends_with_2_and_says_what_to_do(job_file, tmp_path, capsys, bad):
    arguments, words = BAD[bad]
    given = {"JOB": str(job_file), "FOLDER": str(tmp_path)}
    assert main([given.get(each, each) for each in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("bad request: ")
    assert _fits(printed.err)
    joined = " ".join(printed.err.split())
    assert [word for word in words if word not in joined] == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "job.json:$"),
        ('{"task": "x", "batchsizes": [1]}', "$.batchsizes"),
        ('{"task": "x", "limits": {"query_s": -1}}', "$.limits.query_s"),
        ('{"task": "x", "seed": "one"}', "$.seed"),
    ],
)
def test_a_job_file_that_is_wrong_names_the_place(job_file, capsys, content, words):
    job_file.write_text(content)
    assert main(["run", str(job_file)]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_workload_file_of_bytemlperf_is_taken(tmp_path, capsys):
    path = tmp_path / "workload.json"
    path.write_text(json.dumps({
        "model": "digits-resnet-onnx-fp32", "test_perf": True, "test_accuracy": False, "test_numeric": False,
        "clients": 1, "iterations": 10, "batch_sizes": [2], "data_percent": 100, "compile_only": False,
    }))  # fmt: skip
    assert main(["run", str(path), "--backend", ECHO, "--weights", "random", "--json"]) in {0, 1}
    report = Report.from_dict(json.loads(capsys.readouterr().out))
    assert (report.job.batch_sizes, report.job.scenarios[0].iterations) == ((2,), 10)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: COMMAND"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["list", "planets"], "invalid choice: 'planets'"),
        (["run", "x", "--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["run", "x", "--batch-sizes", "1,a"], "'a' is no whole number"),
        (["run", "x", "--batch-sizes", ","], "there is nothing in the list"),
        (["run", "x", "--option", "threads"], "'threads' is not NAME=VALUE"),
        (["run", "x", "--memory-limit", "nan"], "'nan' is no number above 0"),
        (["run", "x", "--total-limit", "-1"], "'-1' is no number above 0"),
        (["run", "x", "--worker", "'python"], "is no command"),
        (["run", "x", "--samples", "ten"], "'ten' is no whole number"),
    ],
)
def test_arguments_that_cannot_be_read_end_with_2(capsys, arguments, words):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    printed = capsys.readouterr()
    assert (caught.value.code, printed.out) == (2, "")
    assert words in printed.err


@pytest.mark.parametrize("kind", ["models", "backends", "datasets", "metrics"])
def test_lists_name_everything_with_its_distribution(capsys, kind):
    assert main(["list", kind, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == sorted(row["name"] for row in rows)
    assert all(row["distribution"].startswith("bytemlperf ") for row in rows if ":" in row["reference"])
    assert main(["list", kind]) == 0
    printed = capsys.readouterr().out
    assert [row["name"] for row in rows if row["name"] not in printed] == []
    assert _fits(printed)


def test_a_model_is_shown_as_its_spec(capsys):
    assert main(["show", "resnet50-torch-fp32"]) == 0
    printed = capsys.readouterr().out
    assert _fits(printed)
    assert "parameters          25,557,032" in printed
    assert "image: original_name input_1.1, shape [batch, 3, 224, 224]" in printed
    assert main(["show", "resnet50-torch-fp32", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 25_557_032


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("albert-torch-fp32", "reference_accuracy  unknown"),  # of SQuAD, and published by nobody
        ("bert-torch-fp32", "reference_accuracy  metric em, value 80.9"),
        ("gpt2-torch-fp32", None),  # without data there is no accuracy
    ],
)
def test_a_model_is_shown_with_its_reference_accuracy_or_that_it_is_unknown(capsys, name, told):
    assert main(["show", name]) == 0
    printed = capsys.readouterr().out
    assert ("reference_accuracy" in printed) == (told is not None)
    assert told is None or told in printed
    assert main(["show", name, "--json"]) == 0
    assert bool(json.loads(capsys.readouterr().out)["reference_accuracy"]) == ("80.9" in (told or ""))


def test_a_model_is_shown_with_how_its_work_was_counted(capsys):
    assert main(["show", "resnet50-tf-fp32"]) == 0
    assert "its torch definition: ATen's operators" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", ["null", "bytemlperf.testing:EchoBackend"])
def test_a_backend_is_shown_as_it_says(capsys, name):
    assert main(["show", name]) == 0
    printed = capsys.readouterr().out
    assert "dynamic_batch" in printed
    assert _fits(printed)


def test_a_backend_that_cannot_be_shown_ends_with_1(capsys):
    assert main(["show", "bytemlperf.testing.imports:RaisingBackend"]) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err.startswith("backend_unavailable: ")) == ("", True)
    assert "libmychip" in printed.err


def test_help_fits_and_lists_the_exit_codes(capsys):
    for arguments in (["--help"], ["run", "--help"], ["list", "--help"], ["show", "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        printed = capsys.readouterr().out
        assert caught.value.code == 0
        assert _fits(printed)
        if len(arguments) == 1:
            assert "130 interrupted" in " ".join(printed.split())


def test_the_command_may_be_called_from_another_thread(job_file, capsys):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["run", str(job_file), "--batch-sizes", "1"])))
    thread.start()
    thread.join(60)
    assert codes == [0]


def _started(arguments, **fields):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", "import sys; from bytemlperf.cli import main; sys.exit(main(sys.argv[1:]))", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True, **fields,
    )  # fmt: skip


def _wait_for(path, words):
    until = time.monotonic() + 60
    while not (path.exists() and words in path.read_text()) and time.monotonic() < until:
        time.sleep(0.05)


def test_an_interrupt_ends_the_job_in_order(job, job_file, tmp_path):
    out = tmp_path / "out"
    slow = attrs.evolve(job, backend=SLEEP, options={"latency_us": 20_000}, scenarios=(load(iterations=3000),))
    job_file.write_text(json.dumps(to_json(slow)))
    with _started(["run", str(job_file), "--out", str(out)]) as process:
        _wait_for(out / "events.jsonl", '"step_progress", "step": "performance/fixed')
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in errors) == (130, False)
    report = Report.load(out)
    assert (report.status, report.rows[0].note[:10]) == (Status.CANCELLED, "cancelled:")
    assert "cancelled" in printed
    assert _fits(printed)
    assert json.loads((out / "events.jsonl").read_text().splitlines()[-1])["kind"] == "job_finished"


def test_a_second_interrupt_ends_the_program(job_file, tmp_path):
    out = tmp_path / "out"
    hangs = ["--backend", "bytemlperf.testing:FaultyBackend", "--option", "fault=hang", "--option", "when=compile"]
    with _started(["run", str(job_file), *hangs, "--out", str(out)]) as process:
        _wait_for(out / "events.jsonl", "compile/batch=1")
        process.send_signal(signal.SIGINT)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed, errors) == (130, "", "interrupted\n"), "no report, which comes with the grace"


def test_a_reader_that_has_gone_is_no_traceback():
    with _started(["list", "models"]) as process:
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (1, "")


@pytest.mark.parametrize(
    "command",
    [[str(Path(sys.executable).with_name("bytemlperf"))], [sys.executable, "-m", "bytemlperf"]],
    ids=["command", "module"],
)
def test_the_installed_command_runs(command):
    ended = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.startswith("bytemlperf ")
