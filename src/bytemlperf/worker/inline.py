"""A backend in the harness' own process: no isolation, nothing copied."""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import AnyBackend, CompiledModel, seam
from bytemlperf.errors import (
    BackendUnavailableError,
    BenchmarkError,
    CancelledError,
    CompileError,
    PredictError,
    TimeLimitError,
)
from bytemlperf.failure import failure_of
from bytemlperf.issuer import answers, telling
from bytemlperf.issuer.buffer import TraceBuffer
from bytemlperf.issuer.gathering import Gathering
from bytemlperf.issuer.issue import Run
from bytemlperf.issuer.order import Order
from bytemlperf.issuer.tuning import Measure
from bytemlperf.issuer.verbs import blocking_submit, phased_submit
from bytemlperf.sample import Array, Batch, BatchSet
from bytemlperf.scenarios import Plan
from bytemlperf.spec import Format, TensorSpec, from_json, to_json
from bytemlperf.trace import from_buffer
from bytemlperf.worker.description import BackendDescription
from bytemlperf.worker.faults import error_from
from bytemlperf.worker.recording import Answers, Recording
from bytemlperf.worker.target import (
    Compilation,
    Conversion,
    Isolation,
    Prepare,
    Series,
    Target,
    Tuning,
    VendorFigures,
    asked_replicas,
    joined,
    options_of_replicas,
    room_for,
)
from bytemlperf.worker.watch import Watch

T = TypeVar("T")
Sink: TypeAlias = Callable[[int, Mapping[str, Array]], None]

LOOK_EVERY_S: Final = 0.05
"""How often the caller's wish to stop is looked at."""


def inline(backend: AnyBackend, compiled: CompiledModel[Any]) -> InlineTarget:
    """Return a target for what the caller has compiled already.

    Example:
        One piece alone::

            recording = Runner().run(inline(backend, compiled), FixedBatch().plan(4, Seeds()), batches)
    """
    return InlineTarget(backend, compiled)


class InlineTarget(Target):
    """A backend instance of the caller.

    A crash ends the caller too, a call that hangs cannot be ended, and memory is not watched; the
    report says that it ran so. The caller's wish to stop and limits of time hold between queries.
    """

    isolation: ClassVar[Isolation] = Isolation.INLINE

    def __init__(self, backend: AnyBackend, compiled: CompiledModel[Any] | None = None) -> None:
        """Take an instance, and what it has compiled if anything."""
        self._backend = backend
        self._replicas = [] if compiled is None else [compiled]
        self._format: Format | None = None
        self._description: BackendDescription | None = None
        self._problems: list[str] = []

    @property
    def description(self) -> BackendDescription:
        """What the backend says of itself."""
        if self._description is None:
            told = _edge(BackendUnavailableError, lambda: seam.describe(self._backend))
            self._description = BackendDescription.read(told)
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

    def best_batch_sizes(self, artifact: ModelArtifact, watch: Watch) -> tuple[int, ...]:  # noqa: ARG002 - cannot be ended
        """Ask the backend which batch sizes suit it."""
        sizes = _edge(CompileError, lambda: self._backend.best_batch_sizes(artifact))
        return tuple(int(size) for size in sizes)

    def tune(self, artifact: ModelArtifact, options: Mapping[str, Any], prepare: Prepare, watch: Watch) -> Tuning:
        """Let the backend choose its options; time that is used up ends it at its next measurement."""
        self.release()
        read = seam.options(self._backend, options)
        measure = Measure(
            seam=seam,
            backend=self._backend,
            artifact=artifact,
            prepare=lambda inputs: _listed(prepare(_tensors(inputs))),
            begin=_gate(watch),
            query_s=watch.limits.query_s,
        )
        started = time.perf_counter_ns()
        chosen = _edge(CompileError, lambda: self._backend.tune(artifact, read, measure))
        taken = time.perf_counter_ns() - started - measure.waited_ns
        changed = seam.changed_options(self._backend, read, chosen)
        return Tuning(changed=changed, duration_ns=taken, measurements=measure.count)

    def compile(self, artifact: ModelArtifact, options: Mapping[str, Any], watch: Watch) -> Compilation:  # noqa: ARG002 - cannot be ended
        """Compile in this process, once for each device where the backend does not span them."""
        self.release()
        self._format = artifact.format
        each = options_of_replicas(self.description, options) if options.get("devices") else [dict(options)]
        return joined([self._compile_one(artifact, replica) for replica in each])

    def _compile_one(self, artifact: ModelArtifact, options: Mapping[str, Any]) -> Compilation:
        read = seam.options(self._backend, options)
        started = time.perf_counter_ns()
        compiled = _edge(CompileError, lambda: self._backend.compile(artifact, read))
        taken = time.perf_counter_ns() - started
        seam.check_compiled(compiled)
        self._replicas.append(compiled)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return Compilation(info=compiled.info, duration_ns=taken, peak_rss_bytes=peak)

    def issue(self, series: Series, watch: Watch) -> Recording:
        """Issue a series from this thread and, for more clients, from threads of its own."""
        assert self._replicas, "compile comes before issue"
        held: dict[int, list[Mapping[str, Array]]] = {}
        sampled = None if series.sampled is None else answers.SampledSink(series.sampled.tolist(), _memory_sink(held))
        kept = answers.FirstAnswer(_memory_sink(held)) if series.keep and sampled is None else None
        run = self._run(series, watch, sampled or kept)
        order = _order(series.plan)
        stamps = TraceBuffer(len(order), None, **room_for(self.description, series))
        with _watched(run, watch, series.step) as ended:
            stamps.meta[1], stamps.meta[2] = run.warm_up_for(order, **to_json(series.plan.warmup))
            if not run.failures:
                run.issue(order, stamps)
        if sampled is not None:
            sampled.hand_on()
        if kept is not None and run.blocks and not seam.streams(self._backend):
            run.note_objection(kept.objection())
        trace = from_buffer(memoryview(stamps.map))
        told = [error_from(telling.described(error), default=PredictError) for _, error in run.failures]
        if watch.cancelled and not told and not trace.answered.all():
            told = [CancelledError("the caller asked to stop")]
        failures = tuple(failure_of(error, step=series.step) for error in [*told, *ended])
        if watch.progress is not None:
            watch.progress(int(trace.answered.sum()), len(trace))
        return Recording(
            trace=trace,
            answers=Answers(parts=held),
            failures=failures,
            answered_twice=run.twice,
            reported=answers.reported_figures(run.reported),
        )

    def _run(self, series: Series, watch: Watch, sink: Sink | None) -> Run:
        replicas, batches = asked_replicas(self._replicas, series), series.batches
        submit, flush = seam.submit_of(self._backend, blocking_submit)
        if series.phased:
            submit, flush = phased_submit(self._backend), None
        listed, sizes = _listed(batches)
        return Run(
            submit=submit,
            flush=flush,
            replicas=replicas,
            batches=listed,
            sizes=sizes,
            max_in_flight=replicas[0].info.max_in_flight,
            gathering=self._gathering(series),
            query_s=watch.limits.query_s,
            check=answers.check,
            sink=sink,
            sampled=None if series.sampled is None else series.sampled.tolist(),
        )

    def _gathering(self, series: Series) -> Gathering | None:
        batching, ask = series.batching, series.batches.ask
        if batching is None:
            return None
        return Gathering(
            size=batching.size,
            max_delay_ns=batching.max_delay_ns,
            pads=not self.description.takes_every_batch(self._format),
            axes=series.batches.axes,
            make=lambda inputs, size, padding: Batch(inputs=inputs, size=size, padding=padding, ask=ask),
        )

    def vendor_benchmark(self, batches: BatchSet, watch: Watch) -> VendorFigures:  # noqa: ARG002 - cannot be ended
        """Have the vendor's own tool measure in this process."""
        assert self._replicas, "compile comes before vendor_benchmark"
        compiled = self._replicas[0]
        samples = tuple(_listed(batches)[0])
        figures, refused = _edge(
            PredictError, lambda: answers.told_figures(self._backend.vendor_benchmark(compiled, samples))
        )
        return VendorFigures(figures=figures, refused=refused)

    def release(self) -> None:
        """Give back the compiled model, of each device; what the backend raises there is told by `close`."""
        replicas, self._replicas = self._replicas, []
        for replica in replicas:
            try:
                _edge(PredictError, partial(self._backend.release, replica))
            except BenchmarkError as error:
                self._problems.append(f"release: {error}")

    def close(self) -> str | None:
        """Release; return what went wrong there, and at earlier releases."""
        self.release()
        problems, self._problems = self._problems, []
        return "; ".join(problems) or None


def _listed(batches: BatchSet) -> tuple[list[Batch], list[int]]:
    """Return each batch, and the samples that count in it."""
    sizes = [batches.size - int(padding) for padding in batches.padding]
    return [batches.batch(index) for index in range(len(batches))], sizes


def _tensors(inputs: list[Any] | None) -> tuple[TensorSpec, ...] | None:
    return None if inputs is None else tuple(from_json(TensorSpec, each) for each in inputs)


def _gate(watch: Watch) -> Callable[[Run | None], None]:
    """Return what refuses a further measurement when the caller wants to stop, or the time for a compile is over."""
    deadline, name = watch.deadline(watch.limits.compile_s, "compile_s")

    def begin(_: Run | None) -> None:
        if watch.cancelled:
            raise CancelledError("the caller asked to stop")
        if time.monotonic() >= deadline:
            error = TimeLimitError(f"tune took longer than the limit {name}")
            error.limit = name
            raise error

    return begin


def _order(plan: Plan) -> Order:
    return Order(
        plan.batch.tolist(),
        clients=plan.clients,
        samples_per_query=plan.samples_per_query,
        scheduled_ns=plan.scheduled_ns,
        senders=plan.senders,
        stop=to_json(plan.stop),
    )


def _memory_sink(held: dict[int, list[Mapping[str, Array]]]) -> Sink:
    def keep(query: int, outputs: Mapping[str, Array]) -> None:
        part = {name: value.copy() for name, value in answers.named(outputs).items()}
        held.setdefault(query, []).append(part)

    return keep


def _edge(kind: type[BenchmarkError], call: Callable[[], T]) -> T:
    try:
        return call()
    except BenchmarkError:
        raise
    except (Exception, SystemExit) as error:  # the plug-in edge: a vendor's runtime may raise anything
        raise error_from(telling.described(error), default=kind) from error


@contextlib.contextmanager
def _watched(run: Run, watch: Watch, step: str) -> Iterator[list[BenchmarkError]]:
    """Stop a run when the caller wants it, or its time is used up: then the error is in the list."""
    ended: list[BenchmarkError] = []
    over = threading.Event()
    deadline, name = watch.deadline(watch.limits.step_s, "step_s")

    def look() -> None:
        every = None if watch.cancel is None else LOOK_EVERY_S
        while not over.wait(_nearest_wait(deadline, every)):
            if time.monotonic() >= deadline:
                ended.append(TimeLimitError(f"{step} took longer than the limit {name}"))
                ended[-1].limit = name
            if ended or watch.cancelled:
                run.stop()
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield ended
    finally:
        over.set()
        thread.join()


def _nearest_wait(deadline_s: float, every_s: float | None) -> float:
    left = max(deadline_s - time.monotonic(), 0.0)
    return min(left if every_s is None else min(left, every_s), threading.TIMEOUT_MAX)
