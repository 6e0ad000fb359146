"""A backend in a worker process."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import CompileInfo, seam
from bytemlperf.errors import (
    BackendUnavailableError,
    BenchmarkError,
    CancelledError,
    CompileError,
    CrashError,
    HarnessError,
    PredictError,
    SpecError,
)
from bytemlperf.failure import Failure, failure_of
from bytemlperf.sample import BatchSet
from bytemlperf.scenarios import Batching, Plan
from bytemlperf.spec import Format, TensorSpec, from_json, to_json
from bytemlperf.trace import Trace, empty, read
from bytemlperf.worker.description import BackendDescription
from bytemlperf.worker.exchange import TraceLook, read_reported, write_batches, write_plan
from bytemlperf.worker.faults import error_from
from bytemlperf.worker.process import Worker, WorkerProcess
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

START_S: Final = 300.0
"""Seconds to start an interpreter and import a backend's SDK, unless a step has fewer."""


class ProcessTarget(Target):
    """A backend that is loaded only in the worker; the harness never imports it.

    Args:
        reference: `package.module:Class`.
        worker: How to start the process.
        folder: For its log, inputs, traces and answers alone; made if it is not there.
        watch: What may end the start early, and what is done without a watch of its own.

    Raises:
        BackendUnavailableError: If the backend cannot be imported there.
        BenchmarkError: If the worker does not start, by what went wrong.
    """

    isolation: ClassVar[Isolation] = Isolation.WORKER

    def __init__(self, reference: str, *, worker: Worker, folder: Path, watch: Watch) -> None:
        """Start the worker and load the backend."""
        self._folder, self._watch = folder, watch
        folder.mkdir(parents=True, exist_ok=True)
        self._numbers = itertools.count()
        self._written: tuple[BatchSet, Path] | None = None
        self._format: Format | None = None
        self._info: CompileInfo | None = None
        self._handles: list[str] = []
        self._problems: list[str] = []
        self._process = WorkerProcess(worker, folder)
        try:
            self._description = self._load(reference, () if worker.command else tuple(sys.path))
        except BaseException:
            self._process.kill()
            raise

    def _load(self, reference: str, sys_path: tuple[str, ...]) -> BackendDescription:
        try:
            hello = self._ask("hello", BackendUnavailableError, sys_path=list(sys_path))
        except CrashError as error:  # before any backend was touched: the command is no interpreter that can serve
            unavailable = BackendUnavailableError(
                "the worker's command did not start",
                got=error.what,
                expected="a Python of 3.7 or later with numpy, which passes standard input and output on",
            )
            unavailable.log_tail = error.log_tail
            raise unavailable from error
        self._process.guarded = hello["guarded"]
        answer = self._ask("load", BackendUnavailableError, reference=reference)
        self.load_ns: int = answer["ns"]
        return BackendDescription.read(answer["backend"])

    def _ask(self, do: str, default: type[BenchmarkError], **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Send a command that has no watch and no limit of its own."""
        step_s = self._watch.limits.step_s
        limit = (step_s, "step_s") if step_s < START_S else (START_S, "start")
        return self._process.request(do, self._watch, limit=limit, default=default, **fields)

    @property
    def description(self) -> BackendDescription:
        """What the backend says of itself."""
        return self._description

    @property
    def alive(self) -> bool:
        """Whether the worker still runs."""
        return self._process.alive

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise SpecError if the backend's options class refuses these values."""
        self._ask("check_options", SpecError, options=dict(options))

    def convert(self, artifact: ModelArtifact, options: Mapping[str, Any], watch: Watch) -> Conversion:
        """Let the backend rewrite the artifact, in the worker."""
        answer = self._ask_compiler("convert", artifact, options, watch)
        return Conversion(artifact=from_json(ModelArtifact, answer["artifact"]), duration_ns=answer["ns"])

    def best_batch_sizes(self, artifact: ModelArtifact, watch: Watch) -> tuple[int, ...]:
        """Ask the backend, in the worker, which batch sizes suit it."""
        limit = (watch.limits.compile_s, "compile_s")
        asked = seam.artifact_to(artifact)
        answer = self._process.request("best_batch_sizes", watch, limit=limit, default=CompileError, artifact=asked)
        return tuple(answer["batch_sizes"])

    def tune(self, artifact: ModelArtifact, options: Mapping[str, Any], prepare: Prepare, watch: Watch) -> Tuning:
        """Let the backend choose its options, in the worker."""
        self.release()

        def supply(needs: Mapping[str, Any]) -> Mapping[str, object]:
            told = needs["inputs"]
            inputs = None if told is None else tuple(from_json(TensorSpec, each) for each in told)
            return {"inputs": str(self._inputs(prepare(inputs)))}

        answer = self._process.request(
            "tune",
            watch,
            limit=(watch.limits.compile_s, "compile_s"),
            default=CompileError,
            supply=supply,
            artifact=seam.artifact_to(artifact),
            options=dict(options),
            query_s=watch.limits.query_s,
        )
        return Tuning(changed=answer["changed"], duration_ns=answer["ns"], measurements=answer["measurements"])

    def compile(self, artifact: ModelArtifact, options: Mapping[str, Any], watch: Watch) -> Compilation:
        """Compile in the worker, once for each device where the backend does not span them."""
        self.release()
        self._format = artifact.format
        replicas = options_of_replicas(self._description, options)
        compilation = joined([self._compile_one(artifact, each, watch) for each in replicas])
        self._info = compilation.info
        return compilation

    def _compile_one(self, artifact: ModelArtifact, options: Mapping[str, Any], watch: Watch) -> Compilation:
        handle = f"model-{len(self._handles)}"
        answer = self._ask_compiler("compile", artifact, options, watch, handle=handle)
        self._handles.append(handle)
        try:
            info = from_json(CompileInfo, answer["info"])
        except SpecError as error:
            raise CompileError("the backend's CompileInfo is wrong", got=str(error)) from error
        return Compilation(info=info, duration_ns=answer["ns"], peak_rss_bytes=answer["peak_rss_bytes"])

    def _ask_compiler(
        self, do: str, artifact: ModelArtifact, options: Mapping[str, Any], watch: Watch, **fields: str
    ) -> dict[str, Any]:
        limit = (watch.limits.compile_s, "compile_s")
        asked: dict[str, Any] = {"artifact": seam.artifact_to(artifact), "options": dict(options), **fields}
        return self._process.request(do, watch, limit=limit, default=CompileError, **asked)

    def issue(self, series: Series, watch: Watch) -> Recording:
        """Issue a series in the worker; if the worker dies, what it left is read."""
        folder = self._folder / f"series-{next(self._numbers):03d}"
        folder.mkdir()
        trace, outputs = folder / "trace.bin", folder / "outputs"
        outputs.mkdir()
        failures: tuple[Failure, ...] = ()
        twice = 0
        try:
            answer = self._ask_to_run(series, watch, trace, outputs)
            told = (error_from(each, default=PredictError) for each in answer["failures"])
            failures = tuple(failure_of(error, step=series.step) for error in told)
            twice = answer["answered_twice"]
        except BenchmarkError as error:
            failures = (failure_of(error, step=series.step),)
        kept = Answers(outputs) if series.keep or series.sampled is not None else Answers()
        left = _left(trace, len(series.plan.batch))
        if watch.cancelled and not failures and not left.answered.all():
            failures = (failure_of(CancelledError("the caller asked to stop"), step=series.step),)
        reported = read_reported(trace.with_name(trace.name + ".reported"))
        return Recording(trace=left, answers=kept, failures=failures, answered_twice=twice, reported=reported)

    def _ask_to_run(self, series: Series, watch: Watch, trace: Path, outputs: Path) -> dict[str, Any]:
        assert self._info is not None, "compile comes before issue"
        return self._process.request(
            "run",
            watch,
            limit=(watch.limits.step_s, "step_s"),
            default=HarnessError,  # what the backend raises comes as failures of queries
            look=TraceLook(trace, watch, series.plan),
            handles=asked_replicas(self._handles, series),
            inputs=str(self._inputs(series.batches)),
            in_memory=not series.keep,
            plan=_written(series.plan, trace.parent),
            gathering=self._gathering(series.batching),
            warmup=to_json(series.plan.warmup),
            phased=series.phased,
            max_in_flight=self._info.max_in_flight,
            query_s=watch.limits.query_s,
            trace=str(trace),
            room=room_for(self._description, series),
            outputs=str(outputs) if series.keep or series.sampled is not None else "",
            sampled=None if series.sampled is None else series.sampled.tolist(),
        )

    def _gathering(self, batching: Batching | None) -> dict[str, Any] | None:
        pads = not self._description.takes_every_batch(self._format)
        return None if batching is None else {**to_json(batching), "pads": pads}

    def vendor_benchmark(self, batches: BatchSet, watch: Watch) -> VendorFigures:
        """Have the vendor's own tool measure, in the worker."""
        answer = self._process.request(
            "vendor_benchmark",
            watch,
            limit=(watch.limits.step_s, "step_s"),
            default=PredictError,
            handle=self._handles[0],
            inputs=str(self._inputs(batches)),
        )
        return VendorFigures(figures=answer["figures"], refused=answer["refused"])

    def _inputs(self, batches: BatchSet) -> Path:
        """Write a set of batches, unless it is the one that was written last."""
        if self._written is None or self._written[0] is not batches:
            self._forget_inputs()
            folder = self._folder / f"inputs-{next(self._numbers):03d}"
            try:
                write_batches(batches, folder)
            except (OSError, ValueError) as error:
                raise HarnessError("prepared inputs cannot be written", where=str(folder), got=str(error)) from error
            self._written = (batches, folder)
        return self._written[1]

    def _forget_inputs(self) -> None:
        if self._written is not None:
            shutil.rmtree(self._written[1], ignore_errors=True)
            self._written = None

    def release(self) -> None:
        """Give back the compiled model in the worker; what the backend raises there is told by `close`.

        Raises:
            ProcessError: If the worker did not survive it.
        """
        self._info = None
        handles, self._handles = self._handles, []
        for handle in handles if self._process.alive else ():
            try:
                self._ask("release", PredictError, handle=handle)
            except BenchmarkError as error:
                if not self._process.alive:
                    raise
                self._problems.append(f"release: {error}")

    def close(self) -> str | None:
        """End the worker; a crash at its end is told, and figures stand. Once cancelled, it is not asked first."""
        if self._watch.cancelled:
            self._process.kill()
        problem = self._process.close(self._watch.limits.grace_s)
        self._forget_inputs()
        problems, self._problems = [*self._problems, *([problem] if problem else [])], []
        return "; ".join(problems) or None

    def kill(self) -> None:
        """End the worker without asking."""
        self._process.kill()
        self._forget_inputs()


def _written(plan: Plan, folder: Path) -> dict[str, Any]:
    try:
        return write_plan(plan, folder)
    except OSError as error:
        raise HarnessError("a plan cannot be written", where=str(folder), got=str(error)) from error


def _left(path: Path, queries: int) -> Trace:
    """Read what a worker left of its stamps; where it had not begun, none of the queries was sent."""
    try:
        return read(path)
    except (OSError, SpecError):
        return empty(queries)
