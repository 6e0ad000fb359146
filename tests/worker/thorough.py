"""A backend that uses all that a backend may: `tests.worker.thorough:Thorough`, and how each part goes wrong."""

from __future__ import annotations

import fractions
import os
import time
from pathlib import Path

import attrs
import numpy as np

from bytemlperf.backends import Backend, CompiledModel, CompileInfo, CompileOptions, Phased
from bytemlperf.spec import DType, Format, TensorSpec

PREPARE_S, EXECUTE_S, FETCH_S = 0.002, 0.006, 0.001


def refuse():
    raise ValueError("the vendor says no")


@attrs.frozen(kw_only=True)
class ThoroughOptions(CompileOptions):
    """`pause_us` is how long a query takes: tuning should find the shortest of `choices`."""

    pause_us: int = 5000
    choices: tuple[int, ...] = (4000, 1000, 2500)
    engine_dtype: str = ""
    tuning: str = ""
    phases: str = ""
    tool: str = ""
    log: str = ""


def note(options, word):
    if options.log:
        with Path(options.log).open("a") as file:
            file.write(f"{word} {os.getpid()}\n")


TOOLS = {
    "": lambda samples: {"fps": 1234.5, "batches": len(samples), "watts": np.float32(7.5)},
    "odd": lambda samples: {
        "fps": 10,
        "nan": float("nan"),
        "inf": np.inf,
        "text": "fast",
        "truth": True,
        "none": None,
        "array": np.ones(2),
        "part": fractions.Fraction(1, 4),
        "huge": 10**400,
        3: 1.0,
        " ": 1.0,
    },
    "nothing": lambda samples: {},
    "list": lambda samples: [1, 2],
    "raise": lambda samples: refuse(),
    "die": lambda samples: os.abort(),
}


class Thorough(Phased, Backend[ThoroughOptions, ThoroughOptions]):
    """Doubles `x` after a pause."""

    name = "thorough"
    formats = frozenset({Format.ONNX})
    options_type = ThoroughOptions

    def compile(self, artifact, options):
        note(options, "compile")
        if options.pause_us < 0:
            refuse()
        inputs = None
        if options.engine_dtype:
            inputs = (TensorSpec(name="x", shape=("batch", 3), dtype=options.engine_dtype),)
        return CompiledModel(options, CompileInfo(precision=DType.FLOAT32, inputs=inputs))

    def predict(self, compiled, batch):
        options = compiled.handle
        if options.engine_dtype:
            assert batch.inputs["x"].dtype == options.engine_dtype
        time.sleep(options.pause_us / 1e6)
        return {"y": np.asarray(batch.inputs["x"], np.float32) * 2}

    def release(self, compiled):
        note(compiled.handle, "release")

    def tune(self, artifact, options, measure):
        return TUNINGS[options.tuning](options, measure)

    def vendor_benchmark(self, compiled, samples):
        return TOOLS[compiled.handle.tool](samples)

    def prepare(self, compiled, batch):
        time.sleep(PREPARE_S)
        return batch.inputs["x"]

    def execute(self, compiled, inputs):
        if compiled.handle.phases == "raise":
            refuse()
        if compiled.handle.phases == "hang":
            time.sleep(1000)
        time.sleep(EXECUTE_S)
        return np.asarray(inputs, np.float32) * {"off": 2.5}.get(compiled.handle.phases, 2)

    def fetch(self, compiled, outputs):
        time.sleep(FETCH_S)
        if compiled.handle.phases == "nothing":
            return None
        return {"z" if compiled.handle.phases == "name" else "y": outputs}


def fastest(options, measure):
    return min((attrs.evolve(options, pause_us=each) for each in options.choices), key=measure)


def fastest_that_works(options, measure):
    taken = {}
    for each in options.choices:
        choice = attrs.evolve(options, pause_us=each)
        try:
            taken[choice] = measure(choice)
        except ValueError:
            continue
    return min(taken, key=taken.get)


def stubborn(options, measure):
    """Measure for ever, whatever is raised."""
    for _ in range(100_000):
        try:
            measure(options)
        except Exception:  # noqa: BLE001 - as careless as vendors are
            time.sleep(0.001)
    return options


TUNINGS = {
    "": fastest,
    "works": fastest_that_works,
    "dtypes": lambda options, measure: min(
        (attrs.evolve(options, engine_dtype=each, pause_us=pause) for each, pause in (("float16", 500), ("", 4000))),
        key=measure,
    ),
    "keeps": lambda options, measure: options,
    "raise": lambda options, measure: refuse(),
    "hang": lambda options, measure: time.sleep(1000),
    "die": lambda options, measure: os.abort(),
    "stubborn": stubborn,
    "something": lambda options, measure: {"pause_us": 3},
    "not_its_own": lambda options, measure: attrs.evolve(options, batch_size=64, pause_us=1),
}


class Plain(Backend):
    """Uses nothing that it need not."""

    name = "plain"
    formats = frozenset({Format.ONNX})

    def compile(self, artifact, options):
        return CompiledModel(None, CompileInfo(precision=DType.FLOAT32))

    def predict(self, compiled, batch):
        return {"y": batch.inputs["x"] * 2}
