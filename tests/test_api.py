"""`run` as a caller meets it: what it takes, what it refuses before anything is written, and what it gives back."""

from __future__ import annotations

import os
import random
import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import numpy as np
import psutil
import pytest
from tests.waves import ECHO, FAULTY, ITERATIONS, codes, evaluate, keys, labelled, load, samples, waves

from bytemlperf import (
    ArrayLoader,
    Backend,
    CompiledModel,
    DatasetRequest,
    Format,
    Job,
    Limits,
    ModelArtifact,
    SpecError,
    UnknownNameError,
    Worker,
    Workload,
    run,
)
from bytemlperf.evaluation import EventKind
from bytemlperf.report import Report, Status
from bytemlperf.scenarios import Server
from bytemlperf.testing import EchoBackend


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return waves(tmp_path_factory.mktemp("waves"))


@pytest.fixture(autouse=True)
def _alone(scratch):
    """Leave nothing, and wait for nobody."""


REFUSED = {
    "task": ({"task": "resnet5-torch-fp32"}, UnknownNameError, "did you mean 'resnet50-torch-fp32'"),
    "no task": ({"task": 7}, SpecError, "a task is none"),
    "backend": ({"backend": "onxruntime"}, UnknownNameError, "did you mean 'onnxruntime'"),
    "no backend": ({"backend": 7}, SpecError, "a backend is none"),
    "no backend class": ({"backend": dict}, SpecError, "a backend is none"),
    "dataset": ({"dataset": "digit"}, UnknownNameError, "did you mean 'digits'"),
    "dataset option": (
        {"dataset": DatasetRequest(name="synthetic", options={"sed": 1})},
        SpecError,
        r"\$.dataset.options.sed",
    ),
    "dataset too small": ({"dataset": DatasetRequest(name="digits", samples=10**6)}, SpecError, "samples"),
    "option": ({"backend": ECHO, "options": {"thread": 1}}, SpecError, r"no such option \(at \$.options.thread\)"),
    "option's value": ({"backend": "onnxruntime", "options": {"threads": "x"}}, SpecError, r"\$.options.threads"),
    "weights": ({"weights": "randm"}, SpecError, "did you mean 'random'"),
    "precision": ({"precision": "fp23"}, SpecError, "fp23"),
    "checks": ({"checks": ["speed"]}, SpecError, "speed"),
    "batch sizes": ({"batch_sizes": [0]}, SpecError, "batch sizes"),
    "repeats": ({"repeats": 0}, SpecError, "repeats"),
    "scenarios": ({"scenarios": [load(), load()]}, SpecError, "scenarios"),
    "resume": ({"out": None, "resume": True}, SpecError, "nothing to resume"),
    "instance in a worker": ({"backend": EchoBackend(), "worker": Worker()}, SpecError, "cannot be run in a worker"),
    "scenario beyond its limit": ({"scenarios": [Server(min_duration_s=9e9)]}, SpecError, r"\$.scenarios\[0\]"),
    "scenarios beyond the limit": (
        {"scenarios": [Server()], "batch_sizes": [1, 2], "limits": Limits(total_s=19)},
        SpecError,
        "20 s in 2 runs",
    ),
    "limits of another type": ({"limits": 3}, SpecError, r"\$.limits"),
    "weights of another type": ({"weights": 3}, SpecError, r"\$.weights"),
    "worker of another type": ({"worker": "python3.8"}, SpecError, "at worker"),
    "folder of another type": ({"out": 3}, SpecError, "at out"),
    "listener that is none": ({"on_event": 3}, SpecError, "at on_event"),
    "wish that is none": ({"cancel": True}, SpecError, "is_set"),
    "somebody's artifact": (
        {"task": Workload(task="mine", weights="sha256:" + "0" * 64)},
        (SpecError, UnknownNameError),
        "artifact|mine",
    ),
}


def children():
    return {process.pid for process in psutil.Process().children()}


@pytest.mark.parametrize("wrong", REFUSED)
def test_a_request_that_cannot_be_is_refused_and_nothing_is_written(tmp_path, scratch, wrong):
    given, error, words = REFUSED[wrong]
    heard, before = [], children()  # a library may have started a helper of its own in an earlier test
    fields = {"task": "digits-resnet-onnx-fp32", "backend": ECHO, "out": tmp_path / "out", "on_event": heard.append}
    fields |= given
    wrote = tmp_path / "out" if isinstance(fields["out"], int) else fields["out"] or tmp_path / "out"
    with pytest.raises(error, match=words):
        run(fields.pop("task"), **fields)
    assert not wrote.exists()
    assert list(scratch.glob("bytemlperf-*")) == []
    assert children() <= before
    assert [event.kind for event in heard[-1:]] in ([], [EventKind.JOB_FINISHED]), "who waits for the end hears of it"


def test_a_metric_that_nobody_has_is_refused(artifact, tmp_path):
    x, _ = samples()
    loader = ArrayLoader(x=x, labels=np.zeros(len(x)), metric="top2")
    with pytest.raises(UnknownNameError, match="unknown metric 'top2'"):
        evaluate(artifact, ECHO, dataset=loader, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_arrays_that_are_not_the_models_are_refused(artifact, tmp_path):
    with pytest.raises(SpecError, match="are not the inputs of model 'waves'"):
        evaluate(artifact, ECHO, dataset=ArrayLoader(image=np.zeros((2, 3))), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_refused(artifact, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SpecError, match="the folder for the report cannot be made"):
        evaluate(artifact, ECHO, out=tmp_path / "file" / "out")
    assert (tmp_path / "file").read_text() == "not a folder"


def test_a_local_class_cannot_be_run_in_a_worker_and_an_abstract_one_nowhere(artifact):
    class Local(EchoBackend):
        pass

    class Abstract(Backend):
        name = "abstract"

    with pytest.raises(SpecError, match="Local"):
        evaluate(artifact, Local, worker=Worker())
    with pytest.raises(SpecError, match=r"cannot be made .*Abstract.*TypeError: .*abstract"):
        evaluate(artifact, Abstract)


def test_an_artifact_without_a_digest_is_given_one(artifact):
    bare = attrs.evolve(artifact, sha256="")
    assert evaluate(bare, ECHO, batch_sizes=[1]).job.weights == f"sha256:{artifact.sha256}"
    for nothing in (attrs.evolve(bare, path="gone.onnx"), ModelArtifact(spec=bare.spec, format=Format.TORCH_MODULE)):
        with pytest.raises(SpecError):
            evaluate(nothing, ECHO)


def test_a_class_is_found_by_a_worker_by_its_name(artifact):
    fields = {"checks": ["accuracy"], "dataset": labelled()}
    by_class, by_name = (evaluate(artifact, backend, **fields) for backend in (EchoBackend, ECHO))
    for report in (by_class, by_name):
        assert (report.status, str(report.backend.isolation)) == (Status.COMPLETE, "worker")
    assert by_class.backend.reference == "bytemlperf.testing.backends:EchoBackend"


class Inline(EchoBackend):
    """Says a setting that JSON does not have, and how often it was asked."""

    def __init__(self):
        self.asked = 0

    def compile(self, artifact, options):
        compiled = super().compile(artifact, options)
        info = attrs.evolve(compiled.info, optimizations={"scale": float("inf")})
        return CompiledModel(compiled.handle, info)

    def predict(self, compiled, batch):
        self.asked += 1
        return super().predict(compiled, batch)


def test_an_instance_runs_in_this_process_and_the_report_says_so(artifact, tmp_path):
    backend = Inline()
    fields = {"checks": ["compile", "accuracy", "performance"], "dataset": labelled()}
    report = evaluate(artifact, backend, **fields, repeats=2, out=tmp_path / "out")
    assert backend.asked > 40
    assert (report.status, str(report.backend.isolation)) == (Status.COMPLETE, "inline")
    assert {row.labels["isolation"] for row in report.rows} == {"inline"}
    (compiled,) = (row for row in report.rows if row.kind == "compile")
    assert "cannot be started anew" in compiled.note
    assert report.metrics["compile/warm/compile_s"].value is None
    assert [warning.code for warning in report.warnings if warning.code == "no_repeats"] == ["no_repeats"]
    assert [row.labels["processes"] for row in report.rows if row.kind == "performance"] == [1, 1]
    again = evaluate(artifact, backend, **fields, repeats=2, out=tmp_path / "out", resume=True)
    assert {row.part for row in again.rows} == {report.parts[0].id}
    assert again.compiles[compiled.key].optimizations == {"scale": "inf"}


def test_a_local_class_runs_in_this_process(artifact):
    class Local(EchoBackend):
        pass

    assert str(evaluate(artifact, Local, batch_sizes=[1]).backend.isolation) == "inline"


def test_what_an_instance_raises_is_a_failure_too(artifact):
    class Raising(EchoBackend):
        def predict(self, compiled, batch):
            raise ZeroDivisionError("the vendor's own")

    report = evaluate(artifact, Raising(), batch_sizes=[1])
    assert codes(report) == ["predict_error"]
    assert "ZeroDivisionError: the vendor's own" in report.failures[0].message


def test_several_processes_are_the_unit_of_variance(artifact, tmp_path):
    report = evaluate(artifact, ECHO, repeats=2, batch_sizes=[2], out=tmp_path / "out", scenarios=[load(warmup=10)])
    (row,) = report.rows
    assert row.labels["processes"] == 2
    throughput = row.metrics["throughput/samples_per_s"]
    assert (throughput.n, throughput.low < throughput.value < throughput.high) == (2, True)
    assert "mean over independent processes" in throughput.definition
    assert len(row.files) == 2
    assert all((tmp_path / "out" / file).is_file() for file in row.files)


def test_a_process_that_fails_is_left_out_and_said(artifact):
    """The first process has one query more, the first answer after the compile: there the fault strikes in the last."""
    options = {"fault": "sigkill", "after": ITERATIONS}
    report = evaluate(artifact, FAULTY, repeats=3, batch_sizes=[1], options=options)
    assert codes(report) == ["crash"]
    (row,) = report.rows
    assert (row.labels["processes"], row.metrics["latency/p50"].n) == (2, 2)
    assert row.note == "2 of 3 processes answered every query; the others are in no figure"


def test_a_job_is_run_again_as_it_is_and_by_keywords_otherwise(artifact):
    job = Job(
        task="digits-resnet-onnx-fp32", backend=ECHO, checks=["accuracy"], batch_sizes=(90,),
        scenarios=(load(),), dataset=DatasetRequest(name="digits", samples=90),
    )  # fmt: skip
    report = run(job)
    assert (report.job, report.job.key) == (job, job.key)
    assert keys(report, "accuracy") == [90]
    other = run(job, batch_sizes=[45], labels={"rack": "7"})
    assert (keys(other, "accuracy"), other.job.key == job.key) == ([45], False)


def test_a_report_that_cannot_be_written_is_returned_with_a_failure(artifact, tmp_path):
    """The folder goes while the job runs, and a file is where it was."""
    out = tmp_path / "out"

    def spoil(event):
        if event.kind is EventKind.STEP_STARTED and event.step.startswith("performance/fixed"):
            out.rename(tmp_path / "moved")
            out.write_text("no folder")

    report = evaluate(artifact, ECHO, out=out, on_event=spoil, batch_sizes=[1])
    assert set(codes(report)) == {"harness_error"}
    assert report.failures[-1].step == "report"
    assert str(report.failures[-1].blame) == "harness"
    assert out.read_text() == "no folder"


def test_eight_threads_run_at_once(artifact, tmp_path):
    before = children()

    def job(number):
        return evaluate(
            artifact, ECHO, out=tmp_path / str(number), checks=["accuracy", *["performance"] * (number % 4 == 0)],
            seed=number, dataset=labelled(12, wrong=number), batch_sizes=[1 + number], limits=Limits(),
        )  # fmt: skip

    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(job, range(8)))
    assert [report.status for report in reports] == [Status.COMPLETE] * 8
    for number, report in enumerate(reports):
        assert report.metrics["accuracy/top1"].value == pytest.approx((12 - number) / 12)
        assert keys(report, "accuracy") == [1 + number]
        assert keys(report) == ([1 + number] if number % 4 == 0 else [])
        assert Report.load(tmp_path / str(number)) == report
    assert len({report.job.key for report in reports}) == 8
    assert children() <= before


def _globals():
    signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    random_states = (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002 - the one that is global
    return dict(os.environ), Path.cwd(), random_states, warnings.filters[:], signals


def test_nothing_of_the_process_is_changed(artifact):
    before, threads = _globals(), set(threading.enumerate())
    evaluate(artifact, EchoBackend(), checks=["accuracy", "performance"], dataset=labelled(), batch_sizes=[1])
    assert _globals() == before
    assert set(threading.enumerate()) <= threads


def test_a_worker_command_that_is_no_interpreter_is_the_environments_fault(artifact):
    report = run(artifact, backend=ECHO, worker=Worker(command=("/bin/true",)), batch_sizes=[1], scenarios=[load()])
    failure = report.failures[0]
    assert (failure.code, failure.blame, failure.step) == ("backend_unavailable", "environment", "load backend")
    assert "did not start" in failure.message
