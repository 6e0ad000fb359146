"""Backends for tests: one that answers, some that fail in every way, some that take a known time.

They take any model without opening its file, and are loaded in a worker as
`bytemlperf.testing.backends:EchoBackend`. None of them measures or computes anything real.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import ClassVar, Final

import attrs

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.base import AsyncBackend, Backend, Cancel
from bytemlperf.backends.checking import InputCheck, released
from bytemlperf.backends.compiled import CompiledModel, CompileInfo, CompileOptions
from bytemlperf.errors import CompileError
from bytemlperf.sample import Array, Batch, Outputs, Reply
from bytemlperf.spec import Format, ModelSpec
from bytemlperf.spec.fields import at_least
from bytemlperf.testing.completer import Completer, wait_until
from bytemlperf.testing.echo import echo, output_dtype
from bytemlperf.testing.faults import ANSWERS, REPLIES, Fault, FaultyOptions, When, spoil, strike

_SPIN_S: Final = 0.0001
"""What is waited for awake at the end of a delay: sleeping alone comes late by about as much."""


class Fake:
    """What all fakes have in common."""

    formats: ClassVar[frozenset[Format]] = frozenset(Format)
    dynamic_batch: ClassVar[bool] = True

    def version(self) -> str:
        """Return that it is made for tests."""
        return "for tests"


@attrs.define(eq=False, kw_only=True)
class Echo:
    """A model's spec; emptied by release.

    Attributes:
        spec: What is answered; None once released.
        check: What a batch must be.
    """

    spec: ModelSpec | None
    check: InputCheck

    def answer(self, batch: Batch, name: str) -> dict[str, Array]:
        """Check a batch and answer it as `echo` does."""
        if self.spec is None:
            raise released(name)
        self.check.arrays(batch)
        return echo(self.spec, batch)


def echo_of(artifact: ModelArtifact) -> Echo:
    """Return what answers a model.

    Raises:
        CompileError: If an output has a type that numpy does not have.
    """
    for tensor in artifact.spec.outputs:
        output_dtype(tensor)
    return Echo(spec=artifact.spec, check=InputCheck(artifact.spec.inputs))


def info_of(artifact: ModelArtifact, options: CompileOptions, max_in_flight: int | None = None) -> CompileInfo:
    """Say that any precision is used."""
    return CompileInfo(precision=options.precision or artifact.spec.precision, max_in_flight=max_in_flight)


class EchoBackend(Fake, Backend[CompileOptions, Echo]):
    """Answers what `bytemlperf.testing.echo.echo` computes from the inputs; refuses inputs that do not fit."""

    name: ClassVar[str] = "echo"

    def compile(self, artifact: ModelArtifact, options: CompileOptions) -> CompiledModel[Echo]:
        """Keep the spec; any precision is said to be used, and changes nothing.

        Raises:
            CompileError: If an output has a type that numpy does not have.
        """
        return CompiledModel(echo_of(artifact), info_of(artifact, options))

    def predict(self, compiled: CompiledModel[Echo], batch: Batch) -> Outputs:
        """Answer a batch.

        Raises:
            InputMismatchError: If it does not fit the spec.
            PredictError: If the model was released.
        """
        return compiled.handle.answer(batch, self.name)

    def release(self, compiled: CompiledModel[Echo]) -> None:
        """Forget the spec."""
        compiled.handle.spec = None


@attrs.define(eq=False, kw_only=True)
class Faulty:
    """An echo and the fault that it will have.

    Attributes:
        echo: What answers well.
        options: What goes wrong, and when.
        queries: Numbers of the queries that come.
    """

    echo: Echo
    options: FaultyOptions
    queries: Iterator[int] = attrs.field(factory=itertools.count)

    def due(self) -> Fault | None:
        """Count a query; return the fault that it will have."""
        number = next(self.queries)
        is_time = self.options.moment is When.PREDICT and number >= self.options.after
        return self.options.fault if is_time else None

    def answer(self, batch: Batch, name: str, fault: Fault | None) -> Outputs:
        """Answer a query with that fault, as far as an answer can have it."""
        if fault is not None and fault not in ANSWERS | REPLIES:
            strike(self.options)
        outputs = self.echo.answer(batch, name)
        return spoil(outputs, fault) if fault in ANSWERS else outputs

    def release(self) -> None:
        """Forget the spec, with the fault where it is then."""
        if self.options.moment is When.RELEASE:
            strike(self.options)
        self.echo.spec = None


def _faulty(artifact: ModelArtifact, options: FaultyOptions) -> CompiledModel[Faulty]:
    faulty = Faulty(echo=echo_of(artifact), options=options)
    if options.moment is When.COMPILE:
        strike(options)
    return CompiledModel(faulty, info_of(artifact, options))


class FaultyBackend(Fake, Backend[FaultyOptions, Faulty]):
    """Answers as `EchoBackend` does until its fault strikes; see `Fault` for what can go wrong.

    It breaks the process that it runs in, as it is told: give it a worker.
    """

    name: ClassVar[str] = "faulty"
    options_type: ClassVar[type[CompileOptions]] = FaultyOptions

    def compile(self, artifact: ModelArtifact, options: FaultyOptions) -> CompiledModel[Faulty]:
        """Keep the spec, or fail.

        Raises:
            CompileError: If the fault is one that only an asynchronous backend can have.
            UnsupportedOperatorError: For `unsupported_operator`.
            RuntimeError: For `compile_exception`, and `exception` in this call.
        """
        if options.fault in REPLIES:
            raise CompileError(
                "only an asynchronous backend can have this fault", got=options.fault.value, remedy="FaultyAsyncBackend"
            )
        return _faulty(artifact, options)

    def predict(self, compiled: CompiledModel[Faulty], batch: Batch) -> Outputs:
        """Answer a batch, or fail."""
        faulty = compiled.handle
        return faulty.answer(batch, self.name, faulty.due())

    def release(self, compiled: CompiledModel[Faulty]) -> None:
        """Forget the spec, or fail."""
        compiled.handle.release()


class FaultyAsyncBackend(Fake, AsyncBackend[FaultyOptions, Faulty]):
    """Does as `FaultyBackend` does behind `submit`, and has the faults of replies besides."""

    name: ClassVar[str] = "faulty-async"
    options_type: ClassVar[type[CompileOptions]] = FaultyOptions

    def compile(self, artifact: ModelArtifact, options: FaultyOptions) -> CompiledModel[Faulty]:
        """Keep the spec, or fail.

        Raises:
            UnsupportedOperatorError: For `unsupported_operator`.
            RuntimeError: For `compile_exception`, and `exception` in this call.
        """
        return _faulty(artifact, options)

    def submit(self, compiled: CompiledModel[Faulty], batch: Batch, reply: Reply) -> Cancel | None:
        """Reply on the calling thread, or fail."""
        faulty = compiled.handle
        fault = faulty.due()
        outputs = faulty.answer(batch, self.name, fault)
        if fault is Fault.FAIL:
            reply.fail(RuntimeError("injected fault"))
        elif fault is not Fault.NEVER_REPLY:
            reply.done(outputs)
        if fault is Fault.DOUBLE_DONE:
            reply.done(outputs)
        return None

    def release(self, compiled: CompiledModel[Faulty]) -> None:
        """Forget the spec, or fail."""
        compiled.handle.release()


@attrs.frozen(kw_only=True)
class SleepOptions(CompileOptions):
    """How long a sleeping backend takes.

    Attributes:
        latency_us: From a query's entry to its answer, in microseconds.
        in_flight: Queries that it says it takes at once; 0 for any number.
    """

    latency_us: int = attrs.field(default=1000, validator=at_least(0))
    in_flight: int = attrs.field(default=0, validator=at_least(0))


@attrs.define(eq=False, kw_only=True)
class Sleeper:
    """An echo and its delay.

    Attributes:
        echo: What answers.
        latency_s: The delay.
    """

    echo: Echo
    latency_s: float


class SleepBackend(Fake, Backend[SleepOptions, Sleeper]):
    """Answers as `EchoBackend` does, a known time after the query came in; queries do not hold each other up."""

    name: ClassVar[str] = "sleep"
    options_type: ClassVar[type[CompileOptions]] = SleepOptions

    def compile(self, artifact: ModelArtifact, options: SleepOptions) -> CompiledModel[Sleeper]:
        """Keep the spec and the delay."""
        sleeper = Sleeper(echo=echo_of(artifact), latency_s=options.latency_us / 1e6)
        return CompiledModel(sleeper, info_of(artifact, options, options.in_flight or None))

    def predict(self, compiled: CompiledModel[Sleeper], batch: Batch) -> Outputs:
        """Answer a batch when its time has come; the computing is part of the delay."""
        due = time.perf_counter() + compiled.handle.latency_s
        outputs = compiled.handle.echo.answer(batch, self.name)
        wait_until(due, spin_s=_SPIN_S)
        return outputs

    def release(self, compiled: CompiledModel[Sleeper]) -> None:
        """Forget the spec."""
        compiled.handle.echo.spec = None


@attrs.define(eq=False, kw_only=True)
class AsyncSleeper:
    """An echo, its delay, and the thread that ends queries.

    Attributes:
        echo: What answers.
        latency_s: The delay.
        completer: Ends queries when their time has come.
    """

    echo: Echo
    latency_s: float
    completer: Completer


class AsyncSleepBackend(Fake, AsyncBackend[SleepOptions, AsyncSleeper]):
    """Replies as `EchoBackend` answers, a known time after `submit`, from a thread of its own."""

    name: ClassVar[str] = "async-sleep"
    options_type: ClassVar[type[CompileOptions]] = SleepOptions

    def compile(self, artifact: ModelArtifact, options: SleepOptions) -> CompiledModel[AsyncSleeper]:
        """Keep the spec and the delay, and start the thread."""
        sleeper = AsyncSleeper(
            echo=echo_of(artifact), latency_s=options.latency_us / 1e6, completer=Completer(spin_s=_SPIN_S)
        )
        return CompiledModel(sleeper, info_of(artifact, options, options.in_flight or None))

    def submit(self, compiled: CompiledModel[AsyncSleeper], batch: Batch, reply: Reply) -> Cancel | None:
        """Reply when the time has come; what is returned fails the query at once."""
        sleeper = compiled.handle
        due = time.perf_counter() + sleeper.latency_s
        return sleeper.completer.add(due, sleeper.echo.answer(batch, self.name), reply)

    def release(self, compiled: CompiledModel[AsyncSleeper]) -> None:
        """Forget the spec and end the thread; queries that are not due yet fail."""
        compiled.handle.echo.spec = None
        compiled.handle.completer.stop()
