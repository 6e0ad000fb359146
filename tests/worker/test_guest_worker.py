"""A worker in an interpreter without bytemlperf: this one with the package hidden, and really old ones."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.worker.asking import ARTIFACT, batches, series, watch

from bytemlperf.backends import Segment
from bytemlperf.errors import BackendUnavailableError, CompileError, FailureCode, SpecError
from bytemlperf.scenarios import Warmup
from bytemlperf.spec import DType, Format

OLD_VERSIONS = ("3.7", "3.8")

VENDOR = """
from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass

import numpy as np

import bytemlperf
from bytemlperf.backends import (
    AsyncBackend, Backend, Chunk, CompiledModel, CompileError, CompileInfo, CompileOptions, Device, Format,
    InputMismatchError, Segment, UnsupportedOperatorError,
)


@dataclass(frozen=True)
class OldOptions(CompileOptions):
    factor: float = 2.0
    level: int = 1
    mode: str = ""
    fast: bool = False


class Old(Backend[OldOptions, object]):
    name = "old"
    formats = frozenset([Format.ONNX])
    options_type = OldOptions
    tried_on = ("cpu",)

    def version(self):
        return "%d.%d" % sys.version_info[:2]

    def devices(self):
        return (Device(id="card0", name="Card", memory_bytes=8),)

    def convert(self, artifact, options):
        import dataclasses
        return dataclasses.replace(artifact, origin=artifact.spec.inputs[0].sized(3).__repr__())

    def compile(self, artifact, options):
        print("compiling", artifact.name, artifact.path)
        if options.mode == "refuse":
            error = UnsupportedOperatorError("no kernel", where="$.node[1]")
            error.operator = "Einsum"
            raise error
        if options.mode == "nothing":
            return None
        info = CompileInfo(
            precision="float32", segments=(Segment(name="all", device="card0", operators=3),),
            inputs=artifact.spec.inputs, max_in_flight=2, optimizations={"package": bytemlperf.__file__},
        )
        return CompiledModel(options, info)

    def predict(self, compiled, batch):
        if compiled.handle.mode == "mismatch":
            raise InputMismatchError("wrong shape")
        if compiled.handle.mode == "hang":
            time.sleep(1000)
        return {"y": batch.inputs["x"] * compiled.handle.factor}


class OldStream(Old):
    def stream(self, compiled, batch):
        yield Chunk({}, 0)
        yield Chunk(self.predict(compiled, batch), 2)


class OldPushing(AsyncBackend):
    name = "old_pushing"
    formats = frozenset([Format.ONNX])

    def compile(self, artifact, options):
        return CompiledModel(None, CompileInfo(precision="float32", max_in_flight=None))

    def submit(self, compiled, batch, reply):
        outputs = {"y": batch.inputs["x"] * 2}
        threading.Timer(0.002, lambda: reply.done(outputs)).start()
"""


@pytest.fixture(scope="module")
def vendor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vendor")
    (folder / "old_vendor.py").write_text(VENDOR)
    return folder


@pytest.fixture(scope="module")
def numpy_alone(tmp_path_factory):
    """A folder with numpy and nothing else of what is installed."""
    folder = tmp_path_factory.mktemp("numpy_alone")
    installed = Path(np.__file__).parent
    for name in ("numpy", "numpy.libs"):
        if (installed.parent / name).exists():
            (folder / name).symlink_to(installed.parent / name)
    return folder


def old_python(version):
    """Return an interpreter of that version with numpy, or None."""
    named = os.environ.get("BYTEMLPERF_OLD_PYTHON", "").split(os.pathsep)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(str(each) for each in pyenv.glob(f"versions/{version}.*/bin/python"))
    for candidate in filter(None, [*named, shutil.which(f"python{version}"), *kept]):
        code = "import sys, numpy; print('%d.%d' % sys.version_info[:2])"
        try:
            done = subprocess.run([candidate, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        except OSError:
            continue
        if done.stdout.strip() == version:
            return candidate
    return None


@pytest.fixture(params=["this", *OLD_VERSIONS])
def guest(request, start, vendor, numpy_alone):
    """Start backends of `old_vendor` in an interpreter that has numpy and no bytemlperf."""
    if request.param == "this":
        command, path = (sys.executable, "-S"), f"{vendor}{os.pathsep}{numpy_alone}"
    else:
        found = old_python(request.param)
        if found is None:
            pytest.skip(f"no Python {request.param} with numpy; name one by BYTEMLPERF_OLD_PYTHON")
        command, path = (found,), str(vendor)
    return lambda name="Old": start(f"old_vendor:{name}", command=command, folder=name, PYTHONPATH=path)


def test_a_guest_does_all_that_a_worker_does(guest, nothing_left):
    target = guest()
    described = target.description
    assert (described.name, described.formats) == ("old", (Format.ONNX,))
    assert described.devices[0].id == "card0"
    assert {option.name: (option.type, option.default) for option in described.options} == {
        "factor": ("float", 2.0),
        "level": ("int", 1),
        "mode": ("str", ""),
        "fast": ("bool", False),
    }
    assert target.convert(ARTIFACT, {}, watch()).artifact.origin == "(3, 3)"
    info = target.compile(ARTIFACT, {"factor": 3, "batch_size": 2, "precision": "float32"}, watch()).info
    assert info.precision is DType.FLOAT32
    assert info.segments == (Segment(name="all", device="card0", operators=3),)
    assert info.inputs == ARTIFACT.spec.inputs
    assert "guest" in info.optimizations["package"]
    asked = batches(5)
    recording = target.issue(series(12, clients=3, keep=True, asked=asked, warmup=Warmup(max_queries=6)), watch())
    assert recording.failures == ()
    assert recording.trace.answered.all()
    assert recording.trace.warmup_queries == 6
    assert (recording.trace.scheduled_ns <= recording.trace.sent_ns).all()
    for query in range(12):
        np.testing.assert_array_equal(recording.answers[query]["y"], 3 * asked.inputs["x"][query % 5])
    assert target.close() is None
    assert nothing_left() == []


def test_a_guests_errors_are_typed(guest):
    target = guest()
    for options, text in [
        ({"fcator": 3}, r"unknown key \(at \$\.options\.fcator\)"),
        ({"level": "3"}, r"wrong type \(at \$\.options\.level\)"),
        ({"level": 1.5}, r"wrong type \(at \$\.options\.level\)"),
        ({"fast": 1}, r"wrong type \(at \$\.options\.fast\)"),
        ({"level": True}, r"wrong type \(at \$\.options\.level\)"),
        ({"mode": None}, r"wrong type \(at \$\.options\.mode\)"),
    ]:
        with pytest.raises(SpecError, match=text):
            target.check_options(options)
    with pytest.raises(CompileError, match="no kernel") as caught:
        target.compile(ARTIFACT, {"mode": "refuse"}, watch())
    assert (caught.value.code, caught.value.operator) == (FailureCode.UNSUPPORTED_OPERATOR, "Einsum")
    with pytest.raises(CompileError, match="NoneType"):
        target.compile(ARTIFACT, {"mode": "nothing"}, watch())
    target.compile(ARTIFACT, {"mode": "mismatch"}, watch())
    failures = target.issue(series(2), watch()).failures
    assert [each.code for each in failures] == [FailureCode.INPUT_MISMATCH] * 2


def test_a_guest_that_hangs_is_ended(guest, nothing_left):
    target = guest()
    target.compile(ARTIFACT, {"mode": "hang"}, watch())
    assert [each.limit for each in target.issue(series(2), watch(query_s=0.3)).failures] == ["query_s"]
    assert nothing_left() == []


def test_a_guests_stream_and_completions(guest):
    target = guest("OldStream")
    assert target.description.streams
    target.compile(ARTIFACT, {}, watch())
    trace = target.issue(series(3, keep=True), watch()).trace
    assert trace.tokens.tolist() == [2, 2, 2]
    assert trace.chunk_tokens.tolist() == [0, 2] * 3
    pushing = guest("OldPushing")
    assert pushing.description.asynchronous
    pushing.compile(ARTIFACT, {}, watch())
    recording = pushing.issue(series(6, clients=2, keep=True), watch())
    assert recording.failures == ()
    assert len(recording.answers) == 6


def test_an_interpreter_without_numpy_says_so(start, vendor):
    with pytest.raises(BackendUnavailableError, match="needs numpy"):
        start("old_vendor:Old", command=(sys.executable, "-S"), PYTHONPATH=str(vendor))
