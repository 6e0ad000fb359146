"""A backend that tunes, has phases and brings its vendor's tool; workers import it by `tests.evaluation.thorough`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import attrs
import numpy as np

from bytemlperf.backends import Backend, CompiledModel, CompileInfo, CompileOptions, Phased
from bytemlperf.spec import DType, Format
from bytemlperf.testing.echo import echo


@attrs.frozen(kw_only=True)
class ThoroughOptions(CompileOptions):
    """What it does; `log` gets a line for each call that matters."""

    pause_us: int = 3000
    mode: str = ""
    tuning: str = ""
    tool: str = ""
    precision_used: str = "fp32"
    log: str = ""


class Thorough(Phased, Backend[ThoroughOptions, object]):
    name = "thorough"
    formats = frozenset({Format.ONNX})
    options_type = ThoroughOptions

    def compile(self, artifact, options):
        _note(options, f"compile {options.batch_size} {options.pause_us} {options.work_dir.name}")
        return CompiledModel((artifact.spec, options), CompileInfo(precision=options.precision_used))

    def predict(self, compiled, batch):
        spec, options = compiled.handle
        time.sleep(options.pause_us / 1e6)
        return echo(spec, batch)

    def tune(self, artifact, options, measure):
        _note(options, f"tune {options.batch_size} {options.work_dir.name}")
        if options.tuning == "raise":
            raise RuntimeError("no tuning today")
        if options.tuning == "die":
            os.abort()
        if options.tuning == "hang":
            time.sleep(1000)
        return min((attrs.evolve(options, pause_us=each) for each in (20_000, 500, 10_000)), key=measure)

    def vendor_benchmark(self, compiled, samples):
        told = {"fps": 98765.0, "batches": len(samples), "size": samples[0].size, "worst": float("nan")}
        tools = {"": told, "nothing": {}, "odd": {"text": "fast"}}
        if compiled.handle[1].tool == "die":
            os.abort()
        return tools[compiled.handle[1].tool]

    def prepare(self, compiled, batch):
        return batch

    def execute(self, compiled, inputs):
        spec, options = compiled.handle
        time.sleep(0.002)
        if options.mode == "fails":
            raise RuntimeError("no execution today")
        return echo(spec, inputs)

    def fetch(self, compiled, outputs):
        wrong = {
            "": lambda y: y,
            "fails": lambda y: y,
            "off": lambda y: y + np.float32(1e-2),
            "shape": lambda y: y[:, :2],
            "nan": lambda y: y * np.float32("nan"),
        }
        return {"y": wrong[compiled.handle[1].mode](outputs["y"])}


class Dynamic(Thorough):
    """Takes every batch size at once."""

    dynamic_batch = True


class Quantised(Thorough):
    """Says that it computes in int8, for which there is no bound."""

    def compile(self, artifact, options):
        return CompiledModel((artifact.spec, options), CompileInfo(precision=DType.INT8))


def _note(options, line):
    if options.log:
        with Path(options.log).open("a") as file:
            file.write(f"{os.getpid()} {line}\n")
