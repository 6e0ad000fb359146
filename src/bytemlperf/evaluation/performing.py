"""Timed rows: one for each scenario and batch size, over as many processes as the job repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bytemlperf.backends import CompileInfo
from bytemlperf.datasets import performance_set
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.metrics import across_processes, bytemlperf_figures, performance
from bytemlperf.report import Row, RowKind
from bytemlperf.report.files import trace_path, write_trace
from bytemlperf.sample import BatchSet
from bytemlperf.scenarios import Scenario, Seeds
from bytemlperf.trace import Trace
from bytemlperf.worker import Recording, Series

SET_BYTES: Final = 256 * 2**20
SET_SAMPLES: Final = 1024
"""Bounds of the samples that a timed run goes round: loaded before the clock starts, as LoadGen does."""


class Timed:
    """The timed runs of one job: traces by row key, one from each process."""

    def __init__(self, subject: Subject) -> None:
        """Begin with nothing measured."""
        self._subject = subject
        self._traces: dict[str, list[Trace]] = {}
        self._measured: dict[str, tuple[int, Scenario]] = {}
        self._infos: dict[str, CompileInfo] = {}
        self._sets: dict[int, BatchSet] = {}

    def measure(self, bench: Workbench, batch_size: int, scenario: Scenario) -> None:
        """Issue one scenario's queries in the bench's process and keep the trace.

        What was stamped before a failure is kept too; the failure is noted beside.

        Raises:
            BenchmarkError: If the model cannot be compiled.
        """
        key = self._key(scenario, batch_size)
        plan = scenario.plan(len(self._set(bench, batch_size)), Seeds(samples=self._subject.session.job.seed))
        self._infos[key] = bench.compile(batch_size).info
        recording = bench.issue(Series(plan=plan, batches=self._set(bench, batch_size), step=key))
        self._note(recording, key)
        if len(recording.trace):
            self._measured[key] = (batch_size, scenario)
            self._traces.setdefault(key, []).append(recording.trace)

    def _key(self, scenario: Scenario, batch_size: int) -> str:
        return self._subject.key(f"performance/{scenario.key}", batch_size)

    def _set(self, bench: Workbench, batch_size: int) -> BatchSet:
        if batch_size not in self._sets:
            info = bench.compile(batch_size).info
            self._sets = {
                batch_size: performance_set(
                    self._subject.data.loader,
                    self._subject.original.spec.inputs,
                    batch_size=batch_size,
                    max_bytes=SET_BYTES,
                    max_samples=SET_SAMPLES,
                    engine_inputs=info.inputs,
                )
            }
        return self._sets[batch_size]

    def _note(self, recording: Recording, key: str) -> None:
        session = self._subject.session
        for failure in recording.failures[:1]:
            session.fail(failure)
        if recording.answered_twice:
            session.warn("answered_twice", f"{recording.answered_twice} replies were ended more than once", key)
        if not recording.failures and not recording.trace.warmup_stable:
            session.warn("not_settled", f"latency had not settled after {recording.trace.warmup_queries} queries", key)

    def measured(self) -> tuple[tuple[int, Scenario], ...]:
        """Return batch size and scenario of each row that there will be."""
        return tuple(self._measured.values())

    def traces(self, scenario: Scenario, batch_size: int) -> Sequence[Trace]:
        """Return the traces of one row."""
        return self._traces[self._key(scenario, batch_size)]

    def row(self, batch_size: int, scenario: Scenario) -> Row:
        """Make the row of what was measured."""
        traces = self.traces(scenario, batch_size)
        key = self._key(scenario, batch_size)
        figures = [performance(trace) for trace in traces]
        return Row(
            kind=RowKind.PERFORMANCE,
            key=key,
            metrics=figures[0] if len(figures) == 1 else across_processes(figures),
            scenario=scenario.key,
            batch_size=batch_size,
            precision=self._infos[key].precision,
            devices=self._infos[key].devices,
            labels={"processes": len(figures), **self._subject.labels(batch_size)},
            bytemlperf=bytemlperf_figures(traces[0], batch_size),
            files=self._save(key, traces),
        )

    def _save(self, key: str, traces: Sequence[Trace]) -> tuple[str, ...]:
        """Keep raw stamps beside the report, one file a process."""
        out = self._subject.session.request.out
        if out is None:
            return ()
        keys = [key, *(f"{key}/process={number}" for number in range(2, len(traces) + 1))]
        for each, trace in zip(keys, traces, strict=True):
            write_trace(out / trace_path(each), trace)
        return tuple(trace_path(each) for each in keys)
