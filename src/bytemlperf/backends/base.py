"""What a backend author writes. Two methods are enough."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, final

import numpy as np
from typing_extensions import TypeVar

from bytemlperf.backends.compiled import CompiledModel, CompileOptions, Device, HandleT
from bytemlperf.errors import PredictError
from bytemlperf.sample import Batch, Chunk

if TYPE_CHECKING:
    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.sample import Outputs, Reply
    from bytemlperf.spec import Format

OptionsT = TypeVar("OptionsT", bound=CompileOptions, default=CompileOptions)
DeviceT = TypeVar("DeviceT", default=object)
Cancel: TypeAlias = Callable[[], None]
"""Stops one query; its reply may still come."""


class Backend(ABC, Generic[OptionsT, HandleT]):
    """A compiler and its runtime, behind two blocking methods.

    Attributes:
        name: Name in reports.
        formats: Formats that `compile` takes; the harness converts up to them, and times it.
        options_type: The class of `compile`'s options.
        dynamic_batch: Whether one compiled model takes every batch size. Otherwise there is
            one compile for each, released before the next.
        fixed_batch_formats: Formats of which, for all that, a compiled model takes one batch size only.
        spans_devices: Whether one compiled model uses all devices; otherwise one is made for each.
        remote: Whether the model lies with a server: no weights are resolved, and `compile` gets an artifact without
            a file.
        asks: What it answers, of `forward`, `generate` and `score`: `bytemlperf.sample` says what each answer holds. A
            job that asks for something else is refused before anything is compiled.
        tried_on: Devices on which this backend was really run by its authors.

    Example:
        A complete backend::

            class Twice(Backend):
                name = "twice"
                formats = frozenset({Format.ONNX})

                def compile(self, artifact, options):
                    session = runtime.load(artifact.path)
                    return CompiledModel(session, CompileInfo(precision="fp32"))

                def predict(self, compiled, batch):
                    return compiled.handle.run(batch.inputs)
    """

    name: ClassVar[str]
    formats: ClassVar[frozenset[Format]]
    options_type: ClassVar[type[CompileOptions]] = CompileOptions
    dynamic_batch: ClassVar[bool] = False
    fixed_batch_formats: ClassVar[frozenset[Format]] = frozenset()
    spans_devices: ClassVar[bool] = False
    remote: ClassVar[bool] = False
    asks: ClassVar[tuple[str, ...]] = ("forward",)
    tried_on: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def compile(self, artifact: ModelArtifact, options: OptionsT) -> CompiledModel[HandleT]:
        """Make a model ready to run.

        Args:
            artifact: In one of `formats`.
            options: An instance of `options_type`.

        Raises:
            CompileError: If the model is refused; UnsupportedOperatorError names the operator.
                Any other exception is reported as a compile error too.
        """

    @abstractmethod
    def predict(self, compiled: CompiledModel[HandleT], batch: Batch) -> Outputs:
        """Answer a batch; return when the answer is in host memory.

        Args:
            compiled: From `compile`.
            batch: Inputs by canonical name at the engine's batch size and dtype; not to be written to.

        Returns:
            Outputs by canonical name. The caller owns them: later calls leave them alone.
        """

    def stream(self, compiled: CompiledModel[HandleT], batch: Batch) -> Iterator[Chunk]:
        """Answer in parts, each yielded when it is there; closing the iterator cancels."""
        yield Chunk(self.predict(compiled, batch))

    def release(self, compiled: CompiledModel[HandleT]) -> None:
        """Give back what a compiled model holds. Always called; twice is harmless."""

    def version(self) -> str:
        """Return the versions of SDK, driver and firmware that decide the figures."""
        return "unknown"

    def devices(self) -> tuple[Device, ...]:
        """Return the devices that can be asked for."""
        return ()

    def convert(self, artifact: ModelArtifact, options: OptionsT) -> ModelArtifact:  # noqa: ARG002 - for subclasses
        """Rewrite the artifact before `compile`; timed apart. The default changes nothing."""
        return artifact

    def tune(
        self,
        artifact: ModelArtifact,  # noqa: ARG002 - for subclasses
        options: OptionsT,
        measure: Callable[[OptionsT], int],  # noqa: ARG002 - for subclasses
    ) -> OptionsT:
        """Choose among the backend's own options, before the first compile of a batch size.

        It has a process and a `work_dir` of its own, so that a cold start stays cold: what is chosen must lie in
        the options. The default keeps them.

        Args:
            artifact: In one of `formats`.
            options: What was asked for.
            measure: Gives the median nanoseconds of a query at one choice: the harness compiles it, warms it up, asks
                a few queries and releases it. Raises what compile or a query raised.

        Returns:
            The given options, with other values only in fields that `options_type` adds.
        """
        return options

    def best_batch_sizes(self, artifact: ModelArtifact) -> tuple[int, ...]:  # noqa: ARG002 - for subclasses
        """Return batch sizes to measure besides the workload's; their rows are marked `vendor_chosen`."""
        return ()

    def vendor_benchmark(
        self,
        compiled: CompiledModel[HandleT],  # noqa: ARG002 - for subclasses
        samples: tuple[Batch, ...],  # noqa: ARG002 - for subclasses
    ) -> Mapping[str, float]:
        """Return the vendor tool's own figures by name; only ever reported as `vendor_reported`.

        Args:
            compiled: From `compile`.
            samples: The batches that the harness' own timed runs go round.
        """
        return {}


AnyBackend: TypeAlias = Backend[Any, Any]
"""Any backend, whatever its options and handle: what functions that take a backend ask for."""


class AsyncBackend(Backend[OptionsT, HandleT]):
    """A backend whose runtime pushes completions, batches across requests or serves tokens.

    It is taken to answer whatever is asked; `submit` raises UnsupportedAskError for what it does not, unless `asks`
    says less.
    """

    asks: ClassVar[tuple[str, ...]] = ("forward", "generate", "score")

    @abstractmethod
    def submit(self, compiled: CompiledModel[HandleT], batch: Batch, reply: Reply) -> Cancel | None:
        """Start a query; its answer goes to `reply` from any thread, now or later.

        Returns:
            What stops it, where it can be stopped.
        """

    def flush(self, compiled: CompiledModel[HandleT]) -> None:
        """No more queries come in this series: push out partial batches."""

    @final
    def predict(self, compiled: CompiledModel[HandleT], batch: Batch) -> Outputs:
        """Submit and wait; the parts of a stream are given as the last one."""
        reply = _Waiting()
        self.submit(compiled, batch, reply)
        self.flush(compiled)
        chunks = reply.wait()
        return chunks[-1].outputs if chunks else {}

    @final
    def stream(self, compiled: CompiledModel[HandleT], batch: Batch) -> Iterator[Chunk]:
        """Submit, wait, and give the parts."""
        reply = _Waiting()
        self.submit(compiled, batch, reply)
        self.flush(compiled)
        yield from reply.wait()


class _Waiting:
    """A reply that keeps what came until its query ends."""

    def __init__(self) -> None:
        self.cancelled = False
        self._chunks: list[Chunk] = []
        self._error: BaseException | None = None
        self._ended = threading.Event()

    def chunk(self, outputs: Outputs, tokens: int | Callable[[], int] = 1) -> None:
        self._chunks.append(Chunk(_copied(outputs), tokens() if callable(tokens) else tokens))

    def done(
        self,
        outputs: Outputs | None = None,
        tokens: int | None = None,
        reported: Mapping[str, float] | None = None,  # noqa: ARG002 - the protocol's
    ) -> None:
        if outputs is not None:
            self._chunks.append(Chunk(_copied(outputs), 1 if tokens is None else tokens))
        self._ended.set()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._ended.set()

    def wait(self) -> list[Chunk]:
        self._ended.wait()
        if self._error is not None:
            raise PredictError("the query failed", got=repr(self._error)) from self._error
        return self._chunks


def _copied(outputs: Outputs) -> Outputs:
    """Copy what is only borrowed until the reply returns."""
    return {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in outputs.items()}


class Phased(ABC, Generic[HandleT, DeviceT]):
    """A mixin for runtimes that can tell copying in, computing and copying out apart.

    `fetch(execute(prepare(batch)))` gives what `predict` gives; measured in a pass of its own.
    """

    @abstractmethod
    def prepare(self, compiled: CompiledModel[HandleT], batch: Batch) -> DeviceT:
        """Copy a batch to the device; return when it is there."""

    @abstractmethod
    def execute(self, compiled: CompiledModel[HandleT], inputs: DeviceT) -> DeviceT:
        """Compute; return when the device is done."""

    @abstractmethod
    def fetch(self, compiled: CompiledModel[HandleT], outputs: DeviceT) -> Outputs:
        """Copy the answer to host memory."""
