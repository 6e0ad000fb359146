"""A backend in the harness' own process: no isolation, nothing copied."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import AnyBackend, CompiledModel, seam
from bytemlperf.errors import BenchmarkError, CompileError, PredictError, failure_of
from bytemlperf.issuer import answers, issue
from bytemlperf.sample import Array
from bytemlperf.spec import to_json
from bytemlperf.trace import from_buffer
from bytemlperf.worker.description import BackendDescription
from bytemlperf.worker.faults import error_from
from bytemlperf.worker.recording import Answers, Recording
from bytemlperf.worker.target import Compilation, Conversion, Isolation, Series, Target
from bytemlperf.worker.watch import Watch

T = TypeVar("T")


def inline(backend: AnyBackend, compiled: CompiledModel[Any]) -> InlineTarget:
    """Return a target for what the caller has compiled already.

    Example:
        One piece alone::

            recording = Runner().run(inline(backend, compiled), FixedBatch().plan(4, Seeds()), batches)
    """
    return InlineTarget(backend, compiled)


class InlineTarget(Target):
    """A backend instance of the caller.

    A crash ends the caller too, a hang cannot be ended, and memory is not watched; the report
    says that it ran so.
    """

    isolation: ClassVar[Isolation] = Isolation.INLINE

    def __init__(self, backend: AnyBackend, compiled: CompiledModel[Any] | None = None) -> None:
        """Take an instance, and what it has compiled if anything."""
        self._backend = backend
        self._compiled = compiled
        self._description: BackendDescription | None = None

    @property
    def description(self) -> BackendDescription:
        """What the backend says of itself."""
        if self._description is None:
            self._description = BackendDescription.read(seam.describe(self._backend))
        return self._description

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise SpecError if the backend's options class refuses these values."""
        seam.options(self._backend, options)

    def convert(self, artifact: ModelArtifact, options: Mapping[str, Any], watch: Watch) -> Conversion:  # noqa: ARG002 - cannot be ended
        """Let the backend rewrite the artifact."""
        read = seam.options(self._backend, options)
        started = time.perf_counter_ns()
        converted = _edge(CompileError, lambda: self._backend.convert(artifact, read))
        return Conversion(artifact=converted, duration_ns=time.perf_counter_ns() - started)

    def compile(self, artifact: ModelArtifact, options: Mapping[str, Any], watch: Watch) -> Compilation:  # noqa: ARG002 - cannot be ended
        """Compile in this process."""
        self.release()
        read = seam.options(self._backend, options)
        started = time.perf_counter_ns()
        self._compiled = _edge(CompileError, lambda: self._backend.compile(artifact, read))
        taken = time.perf_counter_ns() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return Compilation(info=self._compiled.info, duration_ns=taken, peak_rss_bytes=peak)

    def issue(self, series: Series, watch: Watch) -> Recording:
        """Issue a series from this thread and, for more clients, from threads of its own."""
        assert self._compiled is not None, "compile comes before issue"
        held: dict[int, Mapping[str, Array]] = {}
        run = self._run(series, watch, held)
        plan = series.plan
        order = [int(index) for index in plan.batch]
        buffer = issue.TraceBuffer(len(order), chunks=_chunk_room(self.description, len(order)))
        warmed = run.warm_up(order, plan.clients, **to_json(plan.warmup))
        run.sink = _memory_sink(held) if series.keep else None
        if not run.failures:
            run.closed_loop(order, plan.clients, buffer)
        buffer.meta[1], buffer.meta[2] = warmed[0], int(warmed[1])
        told = (error_from(answers.described(error), default=PredictError) for _, error in run.failures)
        failures = tuple(failure_of(error, step=series.step) for error in told)
        trace = from_buffer(memoryview(buffer.map))
        return Recording(trace=trace, answers=Answers(held=held), failures=failures, answered_twice=run.twice)

    def _run(self, series: Series, watch: Watch, held: dict[int, Mapping[str, Array]]) -> Any:  # noqa: ANN401, ARG002 - the issuer is untyped: it has to run on old Pythons
        compiled, batches = self._compiled, series.batches
        assert compiled is not None
        submit, flush = seam.submit_of(self._backend, issue.blocking_submit)
        return issue.Run(
            submit=submit,
            flush=flush,
            compiled=compiled,
            batches=[batches.batch(index) for index in range(len(batches))],
            sizes=[batches.size - int(padding) for padding in batches.padding],
            max_in_flight=compiled.info.max_in_flight,
            query_s=watch.limits.query_s,
        )

    def release(self) -> None:
        """Give back the compiled model."""
        compiled, self._compiled = self._compiled, None
        if compiled is not None:
            self._backend.release(compiled)

    def close(self) -> str | None:
        """Release."""
        try:
            self.release()
        except Exception as error:  # noqa: BLE001 - the plug-in edge: a failed teardown is a warning
            return f"{type(error).__name__}: {error}"
        return None


def _chunk_room(description: BackendDescription, queries: int) -> int:
    return queries * 4 if description.streams or description.asynchronous else 0


def _memory_sink(held: dict[int, Mapping[str, Array]]) -> Callable[[int, Mapping[str, Array]], None]:
    def keep(query: int, outputs: Mapping[str, Array]) -> None:
        held[query] = {
            **held.get(query, {}),
            **{name: answers.widened(value).copy() for name, value in outputs.items()},
        }

    return keep


def _edge(kind: type[BenchmarkError], call: Callable[[], T]) -> T:
    try:
        return call()
    except BenchmarkError:
        raise
    except Exception as error:  # the plug-in edge: a vendor's runtime may raise anything
        raise error_from(answers.described(error), default=kind) from error
