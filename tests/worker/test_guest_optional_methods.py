"""Tuning, phases and a vendor's own figures of a backend in an interpreter without bytemlperf."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.worker.asking import ARTIFACT, batches, series, watch

from bytemlperf.errors import CompileError
from bytemlperf.worker import Series

VENDOR = """
from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

import numpy as np

from bytemlperf.backends import Backend, CompiledModel, CompileInfo, CompileOptions, Format, Phased


@dataclass(frozen=True)
class OldOptions(CompileOptions):
    pause_us: int = 5000
    choices: tuple = (4000, 1000, 2500)
    wrong: bool = False


class Plain(Backend):
    name = "plain"
    formats = frozenset([Format.ONNX])
    options_type = OldOptions

    def compile(self, artifact, options):
        half = [dataclasses.replace(each, dtype="float16") for each in artifact.spec.inputs]
        return CompiledModel(options, CompileInfo(precision="float32", inputs=tuple(half)))

    def predict(self, compiled, batch):
        assert batch.inputs["x"].dtype == np.float16
        time.sleep(compiled.handle.pause_us / 1e6)
        return {"y": batch.inputs["x"].astype(np.float32) * 2}


class Thorough(Phased, Plain):
    name = "thorough"

    def tune(self, artifact, options, measure):
        if options.wrong:
            return dataclasses.replace(options, seed=7)
        return min((dataclasses.replace(options, pause_us=each) for each in options.choices), key=measure)

    def vendor_benchmark(self, compiled, samples):
        return {"fps": np.float64(12.5), "batches": len(samples), "nan": float("nan"), "half": samples[0].inputs["x"]}

    def prepare(self, compiled, batch):
        return batch.inputs["x"]

    def execute(self, compiled, inputs):
        time.sleep(0.002)
        return inputs.astype(np.float32) * 2

    def fetch(self, compiled, outputs):
        return {"y": outputs}
"""


def old_pythons():
    """Interpreters with numpy that `BYTEMLPERF_OLD_PYTHON` names."""
    found = []
    for candidate in filter(None, os.environ.get("BYTEMLPERF_OLD_PYTHON", "").split(os.pathsep)):
        done = subprocess.run([candidate, "-c", "import numpy"], check=False, capture_output=True, timeout=60)
        if done.returncode == 0:
            found.append(candidate)
    return found


@pytest.fixture(params=["", *old_pythons()], ids=lambda python: python or "this")
def guest(request, start, tmp_path):
    """Start a backend of `old_thorough` in an interpreter that has numpy and no bytemlperf."""
    (tmp_path / "old_thorough.py").write_text(VENDOR)
    installed = Path(np.__file__).parent.parent
    for name in ("numpy", "numpy.libs"):
        if not request.param and (installed / name).exists():
            (tmp_path / name).symlink_to(installed / name)
    command = (request.param,) if request.param else (sys.executable, "-S")
    return lambda name: start(f"old_thorough:{name}", command=command, folder=name, PYTHONPATH=str(tmp_path))


def halves(inputs):
    assert [(tensor.name, tensor.dtype.value) for tensor in inputs] == [("x", "float16")]
    return batches(3, x=batches(3).inputs["x"].astype(np.float16))


def test_a_guest_says_which_optional_methods_it_has(guest):
    for name, has in (("Plain", False), ("Thorough", True)):
        told = guest(name).description
        assert (told.tunes, told.vendor_benchmark, told.phased) == (has, has, has)


def test_a_guest_tunes_by_measurements_of_the_harness(guest):
    target = guest("Thorough")
    found = target.tune(ARTIFACT, {"batch_size": 2, "precision": "float32"}, halves, watch())
    assert found.changed == {"pause_us": 1000}
    assert found.measurements == 3
    assert found.duration_ns > (4 + 1 + 2.5) * 17 * 1e6
    with pytest.raises(CompileError, match=r"not the backend's own; got \['seed'\]"):
        target.tune(ARTIFACT, {"wrong": True}, halves, watch())


def test_a_guests_phases_and_its_tools_figures(guest):
    target = guest("Thorough")
    target.compile(ARTIFACT, {"pause_us": 0}, watch())
    asked = series(4, asked=halves(target._info.inputs), keep=True)
    recording = target.issue(Series(plan=asked.plan, batches=asked.batches, keep=True, phased=True), watch())
    assert recording.failures == ()
    assert recording.trace.chunk_query.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert (np.diff(recording.trace.chunk_ns)[::2] > 2_000_000).all()
    np.testing.assert_array_equal(recording.answers[3]["y"], 2 * asked.batches.inputs["x"][0].astype(np.float32))
    found = target.vendor_benchmark(asked.batches, watch())
    assert found.figures == {"fps": 12.5, "batches": 3.0}
    assert set(found.refused) == {"nan", "half"}
