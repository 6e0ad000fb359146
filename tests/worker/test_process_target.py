"""A backend in a worker: described, compiled and asked without being imported here."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ml_dtypes
import numpy as np
import psutil
import pytest
from tests.worker.asking import ARTIFACT, batches, series, watch
from tests.worker.conftest import processes_of

import bytemlperf
from bytemlperf.errors import FailureCode, SpecError
from bytemlperf.scenarios import Warmup
from bytemlperf.spec import DType, Format
from bytemlperf.worker import Isolation
from bytemlperf.worker.process import scrubbed


def test_a_backend_is_described_without_being_imported(lasting):
    sys.modules.pop("tests.worker.vendors", None)
    described = lasting().description
    assert "tests.worker.vendors" not in sys.modules
    assert (described.name, described.version, described.formats) == ("doubling", "1.2", (Format.ONNX,))
    assert described.devices[0].name == "processor"
    assert {option.name: option.type for option in described.options}["after"] == "int"
    assert (described.asynchronous, described.streams, described.phased) == (False, False, False)


def test_streaming_and_pushing_backends_say_so(lasting):
    assert lasting("Streaming").description.streams
    assert lasting("Pushing").description.asynchronous


def test_it_runs_in_a_process_of_its_own(lasting):
    target = lasting()
    compilation = target.compile(ARTIFACT, {}, watch())
    assert compilation.info.optimizations["pid"] != os.getpid()
    assert compilation.info.precision is DType.FLOAT32
    assert compilation.duration_ns > 0
    assert compilation.peak_rss_bytes > 1_000_000
    assert target.isolation is Isolation.WORKER
    assert target.load_ns > 0


def test_convert_gives_the_rewritten_artifact(lasting):
    conversion = lasting().convert(ARTIFACT, {}, watch())
    assert conversion.artifact.origin == "rewritten"
    assert conversion.artifact.spec == ARTIFACT.spec
    assert conversion.duration_ns > 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"aftre": 3}, r"\$\.options\.aftre\); did you mean 'after'"),
        ({"after": "3"}, r"wrong type \(at \$\.options\.after\); got '3'; expected int"),
        ({"names": "abc"}, r"\$\.options\.names"),
        ({"batch_size": "two"}, r"\$\.options\.batch_size"),
    ],
)
def test_options_that_a_backend_does_not_have_are_refused_by_check_and_by_compile(lasting, options, text):
    target = lasting()
    with pytest.raises(SpecError, match=text):
        target.check_options(options)
    with pytest.raises(SpecError, match=text):
        target.compile(ARTIFACT, options, watch())


def test_answers_and_stamps_of_several_clients(lasting):
    target = lasting(max_in_flight=None)
    asked = batches(5)
    recording = target.issue(series(20, clients=3, keep=True, asked=asked), watch())
    trace = recording.trace
    assert recording.failures == ()
    assert trace.answered.all()
    assert (trace.scheduled_ns <= trace.sent_ns).all()
    assert (trace.sent_ns <= trace.first_ns).all()
    assert (trace.first_ns <= trace.done_ns).all()
    assert (trace.started_ns <= trace.scheduled_ns).all()
    for query in range(20):
        np.testing.assert_array_equal(recording.answers[query]["y"], 2 * asked.inputs["x"][query % 5])


def test_several_series_on_one_compiled_model(lasting):
    target = lasting()
    asked = batches(3)
    first = target.issue(series(3, keep=True, asked=asked), watch())
    second = target.issue(series(6, asked=asked), watch())
    third = target.issue(series(2, keep=True, asked=batches(2)), watch())
    assert (len(first.answers), len(second.answers), len(third.answers)) == (3, 0, 2)
    assert all(each.failures == () for each in (first, second, third))


def test_the_warm_up_is_told_and_not_in_the_trace(lasting):
    recording = lasting().issue(series(4, warmup=Warmup(max_queries=6, window=3, tolerance=1e-9)), watch())
    assert recording.trace.warmup_queries == 6
    assert len(recording.trace) == 4


def test_parts_of_a_stream_are_stamped(lasting):
    trace = lasting("Streaming").issue(series(2, keep=True), watch()).trace
    assert trace.tokens.tolist() == [4, 4]
    assert trace.chunk_query.tolist() == [0] * 4 + [1] * 4
    assert trace.chunk_tokens.tolist() == [0, 1, 2, 1] * 2
    assert trace.first_ns.tolist() == trace.chunk_ns[[1, 5]].tolist()


def test_a_backend_with_threads_of_its_own(lasting):
    asked = batches(4)
    recording = lasting("Pushing").issue(series(8, clients=4, keep=True, asked=asked), watch())
    assert recording.failures == ()
    assert (recording.trace.latency_ns > 1_000_000).all()
    np.testing.assert_array_equal(recording.answers[7]["y"], 2 * asked.inputs["x"][3])


@pytest.mark.parametrize("keep", [True, False])
def test_inputs_arrive_as_they_were(lasting, keep):
    inputs = {
        "shared": np.broadcast_to(np.arange(5, dtype=np.int64), (4, 5)),
        "scalar": np.linspace(0, 1, 4),
        "half": np.arange(8).reshape(4, 2).astype(ml_dtypes.bfloat16),
        "tiny": np.arange(8).reshape(4, 2).astype(ml_dtypes.int4),
        "shared_half": np.broadcast_to(np.arange(3).astype(ml_dtypes.bfloat16), (4, 3)),
        "turned": np.arange(24, dtype=np.int32).reshape(2, 3, 4).T.copy().T.transpose(2, 0, 1),
        "truth": np.array([[True], [False], [True], [False]]),
        "text": np.array([["a"], ["bc"], [""], ["é"]]),
        "nothing": np.zeros((4, 0), np.float32),
    }
    asked = batches(4, **inputs)
    target = lasting("Inspecting")
    if not keep:  # read into memory, not mapped: seen by the types of the arrays alone
        assert target.issue(series(4, asked=asked), watch()).failures == ()
        return
    recording = target.issue(series(4, keep=True, asked=asked), watch())
    assert recording.failures == ()
    for query, answer in recording.answers.items():
        for name, array in inputs.items():
            expected = array[query, ...]
            assert answer[f"{name}_bytes"].tobytes() == expected.tobytes(), name
            assert tuple(answer[f"{name}_shape"]) == expected.shape
            assert f"{name}_is_{expected.dtype}" in answer
            assert f"{name}_is_ndarray" in answer


def test_padding_is_told_and_does_not_count(lasting):
    asked = batches(2, size=4)
    asked.padding[1] = 3
    recording = lasting("Inspecting").issue(series(2, keep=True, asked=asked), watch())
    assert recording.trace.size.tolist() == [4, 1]
    assert [int(recording.answers[query]["padding"]) for query in range(2)] == [0, 3]
    assert int(recording.answers[1]["size"]) == 4


def test_inputs_that_cannot_be_written_are_a_failure(lasting):
    asked = batches(2, bad=np.array([[object()], [object()]]))
    recording = lasting().issue(series(2, asked=asked), watch())
    assert [each.code for each in recording.failures] == [FailureCode.HARNESS_ERROR]
    assert len(recording.trace) == 2


def test_an_answer_that_cannot_be_kept_is_no_fault_of_the_backend(compiled):
    target = compiled(in_predict="full_disk", after=1)
    recording = target.issue(series(3, keep=True), watch())
    assert {each.code for each in recording.failures} == {FailureCode.HARNESS_ERROR}
    assert "an answer could not be kept" in recording.failures[0].message
    assert recording.trace.status.tolist() == [1, 2, 2]
    assert list(recording.answers) == [0]


def test_a_full_disk_is_found_before_the_clock_starts(compiled):
    recording = compiled(in_compile="full_disk").issue(series(3), watch())
    assert {each.code for each in recording.failures} == {FailureCode.HARNESS_ERROR}
    assert recording.trace.status.tolist() == [0, 0, 0]


def test_what_a_backend_prints_goes_to_the_log_and_disturbs_nothing(compiled):
    target = compiled("Talking")
    recording = target.issue(series(2, keep=True), watch())
    assert recording.failures == ()
    log = target._process.log.read_text()
    for words in ("plain words from compile", '{"id": 3', "words of a child", "words from predict", "error words"):
        assert words in log
    assert "error words" in target._process.log_tail()


def test_the_tail_of_a_long_log_is_short(lasting):
    target = lasting()
    with target._process.log.open("a") as log:
        log.writelines(f"line {number} {'x' * 5000}\n" for number in range(1000))
        log.write("the end\n")
    tail = target._process.log_tail()
    assert tail.endswith("the end")
    assert len(tail) <= 20_000


def test_secrets_do_not_reach_the_worker(start, monkeypatch):
    for name in ("HF_TOKEN", "OMP_SECRET", "TF_API_KEY", "UNKNOWN_THING", "OMP_KNOWN_THING"):
        monkeypatch.setenv(name, "1")
    target = start("Environment", CHOSEN="1")
    names = ["HF_TOKEN", "OMP_SECRET", "TF_API_KEY", "UNKNOWN_THING", "OMP_KNOWN_THING", "CHOSEN", "PATH"]
    target.compile(ARTIFACT, {"names": [*names, "BYTEMLPERF_DEATH_PIPE"]}, watch())
    answer = target.issue(series(1, keep=True), watch()).answers[0]
    found = [name for name in answer if answer[name]]
    assert found == ["OMP_KNOWN_THING", "CHOSEN", "PATH"]


def test_another_interpreter_gets_nothing_of_this_ones_python():
    environment = {"PYTHONPATH": "here", "PYTHONHOME": "there", "PATH": "/bin", "VIRTUAL_ENV": "venv"}
    assert scrubbed(environment) == environment
    assert scrubbed(environment, foreign=True) == {"PATH": "/bin"}


def test_close_ends_the_worker_and_twice_is_harmless(compiled, nothing_left):
    target = compiled()
    assert target.close() is None
    assert target.close() is None
    target.kill()
    assert not target.alive
    assert nothing_left() == []


def test_a_with_block_closes(start, nothing_left):
    with start() as target:
        assert target.alive
    assert not target.alive
    assert nothing_left() == []


def test_a_target_that_is_forgotten_takes_its_worker_along(tmp_path, worker, mark, nothing_left):
    code = f"""
import sys, pathlib
from bytemlperf.worker import ProcessTarget, Worker
from tests.worker.asking import watch
target = ProcessTarget("tests.worker.vendors:Doubling", worker=Worker(env={dict(worker.env)!r}),
                       folder=pathlib.Path({str(tmp_path / "forgotten")!r}), watch=watch())
print("up", flush=True)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=_root(), env=_environment(), timeout=120)
    assert nothing_left() == []


def test_inputs_do_not_stay_on_disk(compiled, tmp_path):
    target = compiled()
    target.issue(series(2), watch())
    target.issue(series(2, asked=batches(7)), watch())
    assert len(list(tmp_path.glob("worker/inputs-*"))) == 1
    target.close()
    assert list(tmp_path.glob("worker/inputs-*")) == []


def test_a_command_may_greet_before_it_becomes_the_worker(start):
    target = start(
        command=("sh", "-c", 'echo "welcome to the old SDK"; exec "$0" "$@"', sys.executable), PYTHONPATH=_python_path()
    )
    assert target.description.name == "doubling"
    assert "welcome to the old SDK" in target._process.log.read_text()


def test_a_command_that_loses_the_guard_is_ended_all_the_same(start, nothing_left):
    command = ("env", "-u", "BYTEMLPERF_DEATH_PIPE", sys.executable)
    target = start(command=command, PYTHONPATH=_python_path())
    target.compile(ARTIFACT, {"in_predict": "hang"}, watch())
    recording = target.issue(series(1), watch(query_s=0.3))
    assert [each.limit for each in recording.failures] == ["query_s"]
    assert nothing_left() == []


HARNESS = """
import pathlib, sys
from bytemlperf.worker import ProcessTarget, Worker
from tests.worker.asking import ARTIFACT, series, watch
folder, mark, fault = sys.argv[1:]
target = ProcessTarget("tests.worker.vendors:Doubling", worker=Worker(env={mark: "1"}),
                       folder=pathlib.Path(folder), watch=watch())
target.compile(ARTIFACT, {"in_predict": fault}, watch())
print("compiled", flush=True)
target.issue(series(), watch())
"""


@pytest.mark.parametrize("fault", ["hang", "hang_with_interpreter", "memory_in_child"])
@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_does_not_outlive_a_harness_that_was_killed(tmp_path, mark, nothing_left, fault, ended_by):
    command = [sys.executable, "-c", HARNESS, str(tmp_path / "worker"), mark, fault]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_root(), env=_environment()) as harness:
        assert harness.stdout.readline() == b"compiled\n"
        _wait_for(lambda: _stamped(tmp_path / "worker"))
        assert len(processes_of(mark)) >= 2
        harness.send_signal(ended_by)
        harness.wait(timeout=20)
    assert nothing_left() == []


def test_a_killed_guard_takes_the_worker_along(compiled, mark, nothing_left):
    target = compiled()
    os.kill(target._process._process.pid, signal.SIGKILL)
    target._process._process.wait(30)  # until it is dead, the worker may answer so short a series
    recording = target.issue(series(), watch())
    assert [(each.code, each.signal) for each in recording.failures] == [(FailureCode.CRASH, "SIGKILL")]
    assert nothing_left() == []


def test_a_guard_that_is_asked_to_end_ends_all(compiled, nothing_left):
    target = compiled()
    os.kill(target._process._process.pid, signal.SIGTERM)
    target._process._process.wait(30)
    assert [each.code for each in target.issue(series(), watch()).failures] == [FailureCode.CRASH]
    assert nothing_left() == []


def _stamped(folder):
    return list(folder.glob("series-*/trace.bin.warmup")) or list(folder.glob("series-*/trace.bin"))


def _wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def _root():
    return str(psutil.Process().cwd())


def _python_path():
    return os.pathsep.join([_root(), str(Path(bytemlperf.__file__).parents[1])])


def _environment():
    return {**os.environ, "PYTHONPATH": _python_path()}
