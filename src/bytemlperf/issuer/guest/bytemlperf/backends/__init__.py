"""What a backend author imports: base classes and values, as the real package has them."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from bytemlperf.errors import (
    BackendUnavailableError,
    BenchmarkError,
    CompileError,
    DeviceBusyError,
    InputMismatchError,
    MalformedOutputError,
    OutOfDeviceMemoryError,
    PredictError,
    SpecError,
    UnsupportedAskError,
    UnsupportedOperatorError,
)
from bytemlperf.values import (
    AccuracyTarget,
    Axis,
    Batch,
    CalibrationSet,
    Chunk,
    Format,
    Forward,
    Generation,
    ModelArtifact,
    ModelSpec,
    Recipe,
    ReferenceAccuracy,
    Score,
    Source,
    TensorSpec,
)

__all__ = [
    "AccuracyTarget",
    "AsyncBackend",
    "Axis",
    "Backend",
    "BackendUnavailableError",
    "Batch",
    "BenchmarkError",
    "CalibrationSet",
    "Chunk",
    "CompileError",
    "CompileInfo",
    "CompileOptions",
    "CompiledModel",
    "Device",
    "DeviceBusyError",
    "Format",
    "Forward",
    "Generation",
    "InputMismatchError",
    "MalformedOutputError",
    "ModelArtifact",
    "ModelSpec",
    "OutOfDeviceMemoryError",
    "Phased",
    "PredictError",
    "Recipe",
    "ReferenceAccuracy",
    "Score",
    "Segment",
    "Source",
    "SpecError",
    "TensorSpec",
    "UnsupportedAskError",
    "UnsupportedOperatorError",
]


@dataclass(frozen=True)
class CompileOptions:
    """What the harness asks of every compiler; a vendor's options subclass it as a frozen dataclass."""

    batch_size: int = None
    precision: str = None
    devices: tuple = ()
    seed: int = 0
    calibration: CalibrationSet = None
    work_dir: str = ""


@dataclass(frozen=True)
class Segment:
    """A part of the graph and where it runs."""

    name: str = ""
    device: str = ""
    operators: int = 0
    fallback: bool = False


@dataclass(frozen=True)
class Device:
    """A device that a backend sees."""

    id: str = ""
    name: str = ""
    memory_bytes: int = None
    serial_sha256: str = None


@dataclass(frozen=True)
class CompileInfo:
    """What a compiler says it did."""

    precision: str = ""
    segments: tuple = None
    files: tuple = ()
    devices: tuple = ()
    instances: int = 1
    inputs: tuple = None
    max_in_flight: int = 1
    weights: str = "none"
    optimizations: dict = field(default_factory=dict)


class CompiledModel:
    """A model ready to run."""

    def __init__(self, handle, info):
        """Keep the runtime's own object and what the compiler did."""
        self.handle, self.info = handle, info

    @classmethod
    def __class_getitem__(cls, _):
        """Allow `CompiledModel[Handle]` in annotations."""
        return cls


class Backend(ABC):
    """A compiler and its runtime, behind two blocking methods."""

    name = ""
    formats = frozenset()
    options_type = CompileOptions
    dynamic_batch = False
    fixed_batch_formats = frozenset()
    spans_devices = False
    remote = False
    asks = ("forward",)
    tried_on = ()

    @classmethod
    def __class_getitem__(cls, _):
        """Allow `Backend[Options, Handle]` as a base class."""
        return cls

    @abstractmethod
    def compile(self, artifact, options):
        """Make a model ready to run; return a CompiledModel."""

    @abstractmethod
    def predict(self, compiled, batch):
        """Answer a batch; return outputs by canonical name."""

    def stream(self, compiled, batch):
        """Answer in parts."""
        yield Chunk(self.predict(compiled, batch))

    def release(self, compiled):
        """Give back what a compiled model holds."""

    def version(self):
        """Return the versions that decide the figures."""
        return "unknown"

    def devices(self):
        """Return the devices that can be asked for."""
        return ()

    def convert(self, artifact, options):
        """Rewrite the artifact before `compile`."""
        return artifact

    def tune(self, artifact, options, measure):
        """Choose among options."""
        return options

    def best_batch_sizes(self, artifact):
        """Return batch sizes to measure besides the workload's."""
        return ()

    def vendor_benchmark(self, compiled, samples):
        """Return the vendor tool's own figures."""
        return {}


class AsyncBackend(Backend):
    """A backend whose runtime pushes completions."""

    asks = ("forward", "generate", "score")

    @abstractmethod
    def submit(self, compiled, batch, reply):
        """Start a query; its answer goes to `reply` from any thread."""

    def flush(self, compiled):
        """Push out partial batches."""

    def predict(self, compiled, batch):
        """Submit and wait."""
        chunks = list(self.stream(compiled, batch))
        return chunks[-1].outputs if chunks else {}

    def stream(self, compiled, batch):
        """Submit, wait, and give the parts."""
        reply = _Waiting()
        self.submit(compiled, batch, reply)
        self.flush(compiled)
        reply.ended.wait()
        if reply.error is not None:
            raise PredictError("the query failed", got=repr(reply.error))
        return iter(reply.chunks)


class _Waiting:
    def __init__(self):
        self.cancelled, self.chunks, self.error, self.ended = False, [], None, threading.Event()

    def chunk(self, outputs, tokens=1):
        self.chunks.append(Chunk(outputs, tokens() if callable(tokens) else tokens))

    def done(self, outputs=None, tokens=None, reported=None):
        if outputs is not None:
            self.chunks.append(Chunk(outputs, 1 if tokens is None else tokens))
        self.ended.set()

    def fail(self, error):
        self.error = error
        self.ended.set()


class Phased(ABC):
    """A mixin for runtimes that can tell copying in, computing and copying out apart."""

    @abstractmethod
    def prepare(self, compiled, batch):
        """Copy a batch to the device."""

    @abstractmethod
    def execute(self, compiled, inputs):
        """Compute; return when the device is done."""

    @abstractmethod
    def fetch(self, compiled, outputs):
        """Copy the answer to host memory."""
