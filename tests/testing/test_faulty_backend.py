"""Each fault does what it says, when it says, and not before."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tests.tiny_models import model_spec, spec_of_conv

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import Batch
from bytemlperf.errors import CompileError, PredictError, SpecError, UnsupportedOperatorError
from bytemlperf.spec import Format, from_json, to_json
from bytemlperf.testing import Fault, FaultyAsyncBackend, FaultyBackend, FaultyOptions, When, echo
from bytemlperf.testing.faults import ANSWERS, COMPILES, REPLIES

SPEC = spec_of_conv()
ARTIFACT = ModelArtifact(spec=SPEC, format=Format.ONNX)
BOTH = pytest.mark.parametrize("kind", [FaultyBackend, FaultyAsyncBackend])


def _batch(size=2):
    return Batch(inputs={"image": np.ones((size, 1, 8, 8), np.float32)}, size=size)


def _compile(fault, kind=FaultyBackend, artifact=ARTIFACT, **options):
    backend = kind()
    return backend, backend.compile(artifact, FaultyOptions(fault=fault, **options))


@BOTH
def test_queries_before_the_fault_are_answered_well(kind):
    backend, compiled = _compile("none_answer", kind, after=3)
    expected = echo(SPEC, _batch())["logits"]
    for _ in range(3):
        np.testing.assert_array_equal(backend.predict(compiled, _batch())["logits"], expected)
    for _ in range(2):
        assert not backend.predict(compiled, _batch())


@pytest.mark.parametrize("when", ["compile", "predict", "release"])
def test_an_exception_comes_in_the_call_that_is_asked_for(when):
    done = []

    def go():
        backend, compiled = _compile("exception", when=when)
        done.append("compile")
        backend.predict(compiled, _batch())
        done.append("predict")
        backend.release(compiled)

    with pytest.raises(RuntimeError, match="injected fault"):
        go()
    assert done == {"compile": [], "predict": ["compile"], "release": ["compile", "predict"]}[when]


@BOTH
def test_wrong_answers_are_wrong_as_they_say(kind):
    def answer(fault):
        backend, compiled = _compile(fault, kind)
        return backend.predict(compiled, _batch(3))

    good = echo(SPEC, _batch(3))["logits"]
    assert answer("malformed")["logits"].shape == (2, 10)
    assert answer("missing") == {}
    assert answer("wrong_dtype")["logits"].dtype == np.int32
    spoilt = answer("nan")["logits"]
    assert np.isnan(spoilt.flat[0])
    np.testing.assert_array_equal(spoilt.flat[1:], good.flat[1:])


def test_no_answer_is_none():
    backend, compiled = _compile("none_answer")
    assert backend.predict(compiled, _batch()) is None


def test_a_nan_needs_an_output_that_can_hold_it():
    spec = model_spec({"image": ("batch", 1, 8, 8)}, {}, dtype="fp32")
    backend, compiled = _compile("nan", artifact=ModelArtifact(spec=spec, format=Format.ONNX))
    with pytest.raises(RuntimeError, match="no output can hold a NaN"):
        backend.predict(compiled, _batch())


def test_compile_can_be_slow_or_refuse():
    started = time.perf_counter()
    backend, compiled = _compile("slow_compile", delay_s=0.2)
    assert time.perf_counter() - started >= 0.2
    assert backend.predict(compiled, _batch())
    with pytest.raises(RuntimeError):
        _compile("compile_exception")
    with pytest.raises(UnsupportedOperatorError) as caught:
        _compile("unsupported_operator")
    assert caught.value.operator == "Einsum"


def test_memory_is_taken_up_to_its_bound_and_no_further():
    backend, compiled = _compile("memory", memory_bytes=2**27)
    with pytest.raises(MemoryError, match=str(2**27)):
        backend.predict(compiled, _batch())


class Kept:
    """A reply that keeps what came."""

    cancelled = False

    def __init__(self):
        self.calls = []

    def done(self, outputs=None, tokens=None, reported=None):
        self.calls.append("done")

    def fail(self, error):
        self.calls.append(error)


@pytest.mark.parametrize(
    ("fault", "calls"), [("never_reply", []), ("double_done", ["done", "done"]), ("malformed", ["done"])]
)
def test_replies_come_as_often_as_the_fault_says(fault, calls):
    backend, compiled = _compile(fault, FaultyAsyncBackend, after=1)
    for expected in (["done"], calls):
        reply = Kept()
        backend.submit(compiled, _batch(), reply)
        assert reply.calls == expected


def test_a_reply_can_fail():
    backend, compiled = _compile("fail", FaultyAsyncBackend)
    with pytest.raises(PredictError, match="injected fault"):
        backend.predict(compiled, _batch())


@pytest.mark.parametrize("fault", sorted(REPLIES))
def test_faults_of_replies_need_an_asynchronous_backend(fault):
    with pytest.raises(CompileError, match="FaultyAsyncBackend"):
        _compile(fault)


@pytest.mark.parametrize(
    ("fault", "when"), [("nan", "compile"), ("slow_compile", "predict"), ("never_reply", "release")]
)
def test_a_fault_that_cannot_strike_then_is_refused(fault, when):
    with pytest.raises(SpecError, match="cannot strike then"):
        FaultyOptions(fault=fault, when=when)


def test_every_fault_has_a_moment():
    for fault in Fault:
        expected = When.COMPILE if fault in COMPILES else When.PREDICT
        assert FaultyOptions(fault=fault).moment is expected
    assert not ANSWERS & REPLIES
    assert not ANSWERS & COMPILES


def test_options_go_through_json():
    options = FaultyOptions(fault="sigkill", when="release", delay_s=2)
    assert from_json(FaultyOptions, to_json(options)) == options
    with pytest.raises(SpecError, match="did you mean 'sigkill'"):
        FaultyOptions(fault="sigkil")


PROGRAM = """
import sys
import numpy as np
from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import Batch
from bytemlperf.spec import Format, ModelSpec, TensorSpec
from bytemlperf.testing import FaultyBackend, FaultyOptions
x, y = (TensorSpec(name=name, shape=("batch", 2), dtype="fp32") for name in "xy")
spec = ModelSpec(name="t", framework="onnx", format="onnx", inputs=(x,), outputs=(y,))
backend = FaultyBackend()
fault, when = sys.argv[1:]
artifact = ModelArtifact(spec=spec, format=Format.ONNX)
compiled = backend.compile(artifact, FaultyOptions(fault=fault, when=when or None))
backend.predict(compiled, Batch(inputs={"x": np.ones((1, 2), np.float32)}, size=1))
backend.release(compiled)
print("survived", flush=True)
"""


def _run(fault, when=""):
    command = [sys.executable, "-c", PROGRAM, fault, when]
    return subprocess.run(command, check=False, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ("fault", "when", "code", "survived"),
    [
        ("sigkill", "predict", -signal.SIGKILL, False),
        ("sigsegv", "compile", -signal.SIGSEGV, False),
        ("sigsegv", "release", -signal.SIGSEGV, False),
        ("exit0", "predict", 0, False),
        ("crash_at_exit", "", -signal.SIGSEGV, True),
    ],
)
def test_a_process_ends_as_its_fault_says(fault, when, code, survived):
    done = _run(fault, when)
    assert done.returncode == code
    assert (b"survived" in done.stdout) is survived


def test_what_is_printed_goes_to_standard_output_and_the_query_is_answered():
    done = _run("print_to_stdout")
    assert done.returncode == 0
    assert b"not JSON at all" in done.stdout
    assert b"from below Python" in done.stdout
    assert b"survived" in done.stdout


@pytest.mark.parametrize(("fault", "handler_runs"), [("hang", True), ("hang_gil", False)])
def test_a_hang_lets_python_go_on_or_does_not(fault, handler_runs):
    handler = "import signal; signal.signal(signal.SIGTERM, lambda *_: print('handled', flush=True))\n"
    announced = PROGRAM.replace("backend.predict(", "print('hanging', flush=True)\nbackend.predict(")
    command = [sys.executable, "-c", handler + announced, fault, ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"hanging\n"
            time.sleep(0.3)
            process.terminate()
            time.sleep(0.5)
            assert process.poll() is None
        finally:
            process.kill()
        assert (process.stdout.read() == b"handled\n") is handler_runs


IMPORT = "from bytemlperf.registry import load; load('bytemlperf.testing.imports:{name}')"


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("RaisingBackend", 1, b"libmychip.so.1"),
        ("CrashingBackend", -signal.SIGSEGV, b""),
        ("ExitingBackend", 3, b""),
        ("NoSuchBackend", 1, b"NoSuchBackend"),
    ],
)
def test_a_backend_can_fail_while_it_is_imported(name, code, words):
    command = [sys.executable, "-c", IMPORT.format(name=name)]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert done.returncode == code
    assert words in done.stderr


def test_an_import_can_hang():
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", IMPORT.format(name="HangingBackend")], check=False, timeout=2)
