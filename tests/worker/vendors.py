"""Backends as careful and as careless vendors write them; workers import them by `tests.worker.vendors:Name`."""

from __future__ import annotations

import atexit
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import attrs
import numpy as np

from bytemlperf.backends import (
    AsyncBackend,
    Backend,
    Chunk,
    CompiledModel,
    CompileInfo,
    CompileOptions,
    Device,
)
from bytemlperf.errors import CompileError, MalformedOutputError, UnsupportedOperatorError
from bytemlperf.spec import DType, Format

MEGABYTE = 1_000_000


def hang_with_interpreter():
    ctypes.PyDLL(None).sleep(1000)  # PyDLL keeps the interpreter's lock


def segfault():
    ctypes.string_at(0)


def hold_memory(megabytes=600):
    held = np.ones(megabytes * MEGABYTE, np.uint8)
    time.sleep(1000)
    return held


def hold_memory_in_child():
    if not os.fork():
        hold_memory()
    time.sleep(1000)


def leave_daemon_and_die():
    """End with a child that left the group and keeps what it inherited, as a compile server does."""
    if not os.fork():
        os.setsid()
        time.sleep(1000)
        os._exit(0)
    time.sleep(0.1)
    segfault()


def refuse():
    raise ValueError("the vendor says no")


def fail_as_ours():
    error = UnsupportedOperatorError("no kernel", where="$.graph.node[3]")
    error.operator = "Einsum"
    raise error


def out_of_memory():
    raise MemoryError("no room for 12 GB")


def full_disk():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def shut_output():
    os.closerange(3, 256)
    time.sleep(1000)


FAULTS = {
    "": lambda: None,
    "sigkill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": segfault,
    "realtime_signal": lambda: os.kill(os.getpid(), signal.SIGRTMIN + 3),
    "hang": lambda: time.sleep(1000),
    "hang_with_interpreter": hang_with_interpreter,
    "pause": lambda: time.sleep(0.3),
    "memory": hold_memory,
    "memory_in_child": hold_memory_in_child,
    "daemon": leave_daemon_and_die,
    "raise": refuse,
    "ours": fail_as_ours,
    "out_of_memory": out_of_memory,
    "exit_0": lambda: os._exit(0),
    "sys_exit": lambda: sys.exit(3),
    "shut_output": shut_output,
    "full_disk": full_disk,
    "crash_at_exit": lambda: atexit.register(segfault),
    "crash_when_idle": lambda: threading.Timer(0.3, segfault).start(),
    "hang_at_exit": lambda: atexit.register(time.sleep, 1000),
}


@attrs.frozen(kw_only=True)
class FaultOptions(CompileOptions):
    in_convert: str = ""
    in_compile: str = ""
    in_predict: str = ""
    in_release: str = ""
    after: int = 0
    max_in_flight: int | None = 1
    names: tuple[str, ...] = ()


class Doubling(Backend[FaultOptions, FaultOptions]):
    """Doubles `x`; with a fault where the options say so, in predict after so many answers."""

    name = "doubling"
    formats = frozenset({Format.ONNX})
    options_type = FaultOptions
    tried_on = ("cpu",)

    def __init__(self):
        self.answered = 0

    def convert(self, artifact, options):
        FAULTS[options.in_convert]()
        return attrs.evolve(artifact, origin="rewritten")

    def compile(self, artifact, options):
        FAULTS[options.in_compile]()
        self.answered = 0
        info = CompileInfo(
            precision=DType.FLOAT32, max_in_flight=options.max_in_flight, optimizations={"pid": os.getpid()}
        )
        return CompiledModel(options, info)

    def predict(self, compiled, batch):
        if self.answered >= compiled.handle.after:
            FAULTS[compiled.handle.in_predict]()
        self.answered += 1
        return {"y": batch.inputs["x"] * 2}

    def release(self, compiled):
        FAULTS[compiled.handle.in_release]()

    def version(self):
        return "1.2"

    def devices(self):
        return (Device(id="cpu", name="processor"),)


class Environment(Doubling):
    """Answers with what it finds around it."""

    def predict(self, compiled, batch):
        return {name: np.array(name in os.environ) for name in compiled.handle.names}


class Talking(Doubling):
    """Prints wherever it can, and asks a question on standard input."""

    def compile(self, artifact, options):
        print("plain words from compile", flush=True)  # noqa: T201 - what vendors do
        os.write(1, b'{"id": 3, "ok": false}\n')
        subprocess.run(["echo", "words of a child"], check=True)
        assert sys.stdin.read() == ""
        return super().compile(artifact, options)

    def predict(self, compiled, batch):
        os.write(1, b"words from predict\n")
        print("error words", file=sys.stderr)  # noqa: T201 - what vendors do
        return super().predict(compiled, batch)


class Inspecting(Doubling):
    """Tells what arrays it got."""

    def predict(self, compiled, batch):
        arrays = batch.inputs
        told = {f"{name}_bytes": np.frombuffer(array.tobytes(), np.uint8) for name, array in arrays.items()}
        told |= {f"{name}_shape": np.array(array.shape, np.int64) for name, array in arrays.items()}
        told |= {f"{name}_is_{array.dtype}": np.array(True) for name, array in arrays.items()}
        told |= {f"{name}_is_{type(array).__name__}": np.array(True) for name, array in arrays.items()}
        return told | {"size": np.array(batch.size), "padding": np.array(batch.padding)}


class Streaming(Doubling):
    """Answers in parts: first one without a token, then three of one and two tokens."""

    def stream(self, compiled, batch):
        yield Chunk({}, tokens=0)
        for tokens in (1, 2, 1):
            yield Chunk({"y": batch.inputs["x"] * 2}, tokens=tokens)


class Pushing(AsyncBackend[FaultOptions, FaultOptions]):
    """Completes on threads of its own, each time a little later."""

    name = "pushing"
    formats = frozenset({Format.ONNX})
    options_type = FaultOptions

    def compile(self, artifact, options):
        return CompiledModel(options, CompileInfo(precision=DType.FLOAT32, max_in_flight=None))

    def submit(self, compiled, batch, reply):
        if compiled.handle.in_predict == "silence":
            return None
        timer = threading.Timer(0.002, lambda: reply.done({"y": batch.inputs["x"] * 2}))
        timer.start()
        return timer.cancel


class Undescribed(Doubling):
    """Tells formats that there are none of."""

    formats = frozenset({"punched_cards"})


class Unserialisable(Doubling):
    def version(self):
        return object()


class Shouting(Doubling):
    def version(self):
        raise RuntimeError("no driver")


class WrongInfo(Doubling):
    """Compiles to something whose facts are none."""

    def compile(self, artifact, options):
        return CompiledModel(options, CompileInfo(precision=DType.FLOAT32, optimizations={"set": {1, 2}}))


class Nothing(Doubling):
    def compile(self, artifact, options):
        return None


class Abstract(Backend):
    name = "abstract"
    formats = frozenset({Format.ONNX})

    def compile(self, artifact, options):
        raise CompileError("never")


class Answering(Doubling):
    """Answers what `names` says: each word stands for something that is no answer, or hardly one."""

    def predict(self, compiled, batch):
        return ANSWERS[compiled.handle.names[0]]()


ANSWERS = {
    "none": lambda: None,
    "list": lambda: [np.zeros(2)],
    "number": lambda: {"y": 1.0},
    "objects": lambda: {"y": np.array([object()])},
    "text": lambda: {"y": np.array(["a"])},
    "malformed": lambda: (_ for _ in ()).throw(MalformedOutputError("three rows are missing", where="y")),
}


class Reusing(Doubling):
    """Answers in the same memory every time; other numbers, unless `names` has `same`."""

    def compile(self, artifact, options):
        self.buffer = np.zeros(2**17)
        return super().compile(artifact, options)

    def predict(self, compiled, batch):
        self.buffer += "same" not in compiled.handle.names
        return {"y": self.buffer}


class Overwriting(Doubling):
    """Writes to what it is asked when it has answered."""

    def predict(self, compiled, batch):
        answer = super().predict(compiled, batch)
        batch.inputs["x"][...] = 0
        return answer


class SlowStart(Doubling):
    """Takes long to be made, as an SDK that looks for devices does."""

    def __init__(self):
        time.sleep(1000)


class Stubborn(Pushing):
    """Answers only when it is cancelled, with an error."""

    def submit(self, compiled, batch, reply):
        return lambda: reply.fail(RuntimeError("stopped by its cancel"))
