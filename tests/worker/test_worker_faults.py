"""Whatever a backend does to its worker becomes one typed failure; what was there before stands; nothing is left."""

import numpy as np
import pytest
from tests.worker.asking import ARTIFACT, series, watch
from tests.worker.vendors import MEGABYTE

from bytemlperf.errors import (
    BackendUnavailableError,
    Blame,
    CompileError,
    CrashError,
    FailureCode,
    OutOfHostMemoryError,
    UnsupportedOperatorError,
)

BEFORE = 3


def assert_what_was_before_stands(recording):
    assert recording.trace.status.tolist() == [1] * BEFORE + [0] * (8 - BEFORE)
    assert (recording.trace.latency_ns > 0).all()
    assert recording.trace.batch.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert list(recording.answers) == list(range(BEFORE))
    for query in range(BEFORE):
        np.testing.assert_array_equal(recording.answers[query]["y"].ravel(), 2 * np.arange(6 * query, 6 * query + 6))


@pytest.mark.parametrize(
    ("fault", "signal", "exit_code"),
    [
        ("sigkill", "SIGKILL", None),
        ("segfault", "SIGSEGV", None),
        ("realtime_signal", "signal 37", None),
        ("daemon", "SIGSEGV", None),
        ("exit_0", None, 0),
    ],
)
def test_a_worker_that_dies_in_predict_is_a_crash(compiled, nothing_left, fault, signal, exit_code):
    target = compiled(in_predict=fault, after=BEFORE)
    recording = target.issue(series(keep=True), watch())
    (failure,) = recording.failures
    assert (failure.code, failure.blame, failure.step) == (FailureCode.CRASH, Blame.BACKEND, "test")
    assert (failure.signal, failure.exit_code) == (signal, exit_code)
    assert_what_was_before_stands(recording)
    assert not target.alive
    assert target.close() is None  # told already
    assert nothing_left() == []


def test_the_log_shows_where_it_crashed(compiled):
    target = compiled(in_predict="segfault")
    (failure,) = target.issue(series(), watch()).failures
    assert "vendors.py" in failure.log_tail
    assert "in predict" in failure.log_tail


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        ("raise", FailureCode.PREDICT_ERROR, "ValueError: the vendor says no"),
        ("sys_exit", FailureCode.PREDICT_ERROR, "SystemExit: 3"),
        ("ours", FailureCode.UNSUPPORTED_OPERATOR, "no kernel (at $.graph.node[3])"),
        ("out_of_memory", FailureCode.OUT_OF_HOST_MEMORY, "no room for 12 GB"),
    ],
)
def test_an_exception_in_predict_is_a_failure_of_its_query(lasting, fault, code, text):
    target = lasting(in_predict=fault, after=BEFORE)
    recording = target.issue(series(keep=True), watch())
    assert recording.trace.status.tolist() == [1, 1, 1, 2, 2, 2, 2, 2]
    assert list(recording.answers) == [0, 1, 2]
    assert [(each.code, text in each.message) for each in recording.failures] == [(code, True)] * 5
    assert target.alive


def test_an_exceptions_facts_and_trail_are_kept(lasting):
    target = lasting(in_predict="ours")
    failure = target.issue(series(1), watch()).failures[0]
    assert (failure.operator, failure.path) == ("Einsum", "$.graph.node[3]")
    assert "fail_as_ours" in failure.log_tail


def test_a_worker_that_failed_queries_serves_the_next_series(lasting):
    target = lasting("Answering", names=["none"])
    assert target.issue(series(), watch()).failures
    target.compile(ARTIFACT, {"names": ["number"]}, watch())
    assert target.issue(series(), watch()).failures == ()


@pytest.mark.parametrize(
    ("step", "fault", "text"),
    [
        ("compile", "segfault", "ended by SIGSEGV during compile"),
        ("compile", "exit_0", "exited with 0 during compile"),
        ("convert", "sigkill", "ended by SIGKILL during convert"),
    ],
)
def test_a_worker_that_dies_in_compile_or_convert_is_a_crash(start, nothing_left, step, fault, text):
    target = start()
    with pytest.raises(CrashError, match=text):
        getattr(target, step)(ARTIFACT, {f"in_{step}": fault}, watch())
    assert not target.alive
    assert nothing_left() == []


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        ("sys_exit", CompileError, "SystemExit: 3"),
        ("raise", CompileError, "ValueError: the vendor says no"),
        ("ours", UnsupportedOperatorError, "no kernel"),
        ("out_of_memory", OutOfHostMemoryError, "no room"),
    ],
)
@pytest.mark.parametrize("step", ["compile", "convert"])
def test_an_exception_in_compile_or_convert_is_typed(lasting, step, fault, kind, text):
    target = lasting()
    with pytest.raises(kind, match=text) as caught:
        getattr(target, step)(ARTIFACT, {f"in_{step}": fault}, watch())
    assert caught.type is kind
    assert target.alive


def test_a_worker_that_shuts_its_output_is_a_crash(start, nothing_left):
    target = start()
    with pytest.raises(CrashError, match="shut its output"):
        target.compile(ARTIFACT, {"in_compile": "shut_output"}, watch())
    assert nothing_left() == []


@pytest.mark.parametrize(
    ("fault", "text"),
    [("crash_at_exit", "SIGSEGV during its exit"), ("hang_at_exit", "did not end within 1 s")],
)
def test_trouble_at_exit_is_told_and_figures_stand(start, nothing_left, fault, text):
    target = start(looked_at_by=watch(grace_s=1.0))
    target.compile(ARTIFACT, {"in_compile": fault}, watch())
    recording = target.issue(series(), watch())
    assert recording.failures == ()
    assert recording.trace.answered.all()
    assert text in target.close()
    assert target.close() is None
    assert nothing_left() == []


def test_a_crash_after_the_last_answer_is_told_at_close(compiled):
    target = compiled(in_compile="crash_when_idle")
    assert target.issue(series(), watch()).failures == ()
    target._process._process.wait(timeout=20)
    assert "SIGSEGV" in target.close()


def test_a_failed_release_is_told_at_close_and_does_not_fail_the_next_compile(compiled):
    target = compiled(in_release="raise")
    target.compile(ARTIFACT, {}, watch())
    assert target.issue(series(), watch()).failures == ()
    assert "the vendor says no" in target.close()


def test_a_crash_in_release_is_not_blamed_on_the_next_compile(compiled):
    target = compiled(in_release="segfault")
    with pytest.raises(CrashError, match="SIGSEGV during release"):
        target.compile(ARTIFACT, {}, watch())


def test_a_series_for_a_dead_worker_is_a_crash_without_stamps(compiled):
    target = compiled()
    target.kill()
    recording = target.issue(series(), watch())
    assert [each.code for each in recording.failures] == [FailureCode.CRASH]
    assert recording.trace.status.tolist() == [0] * 8


@pytest.mark.parametrize("fault", ["memory", "memory_in_child"])
def test_memory_beyond_the_limit_in_predict(compiled, nothing_left, fault):
    target = compiled(in_predict=fault, after=BEFORE)
    recording = target.issue(series(keep=True), watch(memory_bytes=300 * MEGABYTE))
    (failure,) = recording.failures
    assert (failure.code, failure.limit) == (FailureCode.OUT_OF_HOST_MEMORY, "memory_bytes")
    assert_what_was_before_stands(recording)
    assert nothing_left() == []


@pytest.mark.parametrize("fault", ["memory", "memory_in_child"])
def test_memory_beyond_the_limit_in_compile(start, nothing_left, fault):
    target = start()
    with pytest.raises(OutOfHostMemoryError, match="during compile, above the limit memory_bytes"):
        target.compile(ARTIFACT, {"in_compile": fault}, watch(memory_bytes=300 * MEGABYTE))
    assert nothing_left() == []


def test_memory_within_the_limit_is_left_alone(lasting):
    target = lasting(in_predict="pause")
    assert target.issue(series(2), watch(memory_bytes=300 * MEGABYTE)).failures == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tests.worker.nowhere:Missing", "No module named 'tests.worker.nowhere'"),
        ("tests.worker.vendors:Missing", "has no attribute 'Missing'"),
        ("Abstract", "predict"),
        ("Undescribed", "punched_cards"),
        ("Unserialisable", "not JSON serializable"),
        ("Shouting", "RuntimeError: no driver"),
    ],
)
def test_a_backend_that_cannot_be_loaded_or_described_is_unavailable(start, nothing_left, name, text):
    with pytest.raises(BackendUnavailableError, match=text) as caught:
        start(name)
    assert caught.value.blame is Blame.ENVIRONMENT
    assert nothing_left() == []


def test_what_an_import_raised_is_kept_with_its_trail(start, tmp_path, monkeypatch):
    (tmp_path / "broken_vendor.py").write_text("import ctypes; ctypes.CDLL('libbroken.so.7')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendUnavailableError, match=r"OSError: libbroken\.so\.7") as caught:
        start("broken_vendor:Broken")
    assert "broken_vendor.py" in caught.value.log_tail


@pytest.mark.parametrize(("name", "text"), [("Nothing", "got 'NoneType'"), ("WrongInfo", "not JSON serializable")])
def test_a_compile_that_returns_something_else_is_a_compile_error(start, name, text):
    target = start(name)
    with pytest.raises(CompileError, match=text):
        target.compile(ARTIFACT, {}, watch())
    assert target.close() is None


@pytest.mark.parametrize("answer", ["none", "list", "number", "objects", "text", "malformed"])
def test_what_is_no_answer_is_malformed_when_answers_are_kept(lasting, answer):
    target = lasting("Answering", names=[answer])
    recording = target.issue(series(3, keep=True), watch())
    assert {each.code for each in recording.failures} == {FailureCode.MALFORMED_OUTPUT}
    assert recording.trace.status.tolist() == [2, 2, 2]
    assert len(recording.answers) == 0


@pytest.mark.parametrize(("names", "codes"), [(["other"], [FailureCode.MALFORMED_OUTPUT]), (["same"], [])])
def test_an_answer_that_a_later_call_changes_is_none(lasting, names, codes):
    recording = lasting("Reusing", names=names).issue(series(3, keep=True), watch())
    assert [each.code for each in recording.failures] == codes
    assert all("'y' of query 0 was changed after it had been given" in each.message for each in recording.failures)
    assert recording.trace.status.tolist() == [1, 1, 1]


def test_inputs_cannot_be_written_to(lasting):
    recording = lasting("Overwriting").issue(series(3), watch())
    assert [each.code for each in recording.failures] == [FailureCode.PREDICT_ERROR] * 3
    assert all("read-only" in each.message for each in recording.failures)


def test_a_command_that_cannot_be_started_makes_the_backend_unavailable(start):
    with pytest.raises(BackendUnavailableError, match="cannot be started"):
        start(command=("/nowhere/python",))


def test_a_command_that_ends_at_once_makes_the_backend_unavailable_with_its_words(start, nothing_left):
    with pytest.raises(BackendUnavailableError, match="exited with 7 during hello") as caught:
        start(command=("sh", "-c", "echo no such container >&2; exit 7"))
    assert "no such container" in caught.value.log_tail
    assert nothing_left() == []
