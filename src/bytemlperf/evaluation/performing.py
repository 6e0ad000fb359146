"""Timed rows: one for each scenario and batch size, over as many processes as the job repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import psutil

from bytemlperf.backends import CompileInfo
from bytemlperf.datasets import performance_set
from bytemlperf.environment import NoiseWatch
from bytemlperf.errors import OutOfHostMemoryError
from bytemlperf.evaluation.measured import Measured
from bytemlperf.evaluation.numerics import numeric_paths
from bytemlperf.evaluation.paths import path_of
from bytemlperf.evaluation.quietness import machine_figures, told
from bytemlperf.evaluation.rightoutputs import RightOutputs
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.timedanswers import Checked, TimedAnswers
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.failure import failure_of
from bytemlperf.metrics import across_processes, bytemlperf_figures, merged, omission, unsteady
from bytemlperf.metrics.estimate import joined
from bytemlperf.report import Row, RowKind
from bytemlperf.report.files import digests_of, trace_path, write_trace
from bytemlperf.sample import BatchSet, Generation
from bytemlperf.scenarios import MLPerfScenario, Scenario
from bytemlperf.trace import Trace
from bytemlperf.worker import Answers, Isolation, Recording, Series
from bytemlperf.workload import Asked

SET_BYTES: Final = 256 * 2**20
SET_SAMPLES: Final = 1024
"""Bounds of the samples that a timed run goes round: loaded before the clock starts, as LoadGen does."""
PARTS_WITHOUT_TOKENS: Final = 2
"""A server's header and its count of tokens."""
BYTES_A_RECORD: Final = 128
"""Memory that a sample of a plan takes while it is issued: 48 for its stamps, the rest for its place in the order."""
WAIT_TOLD_S: Final = 1.0
"""A longer wait for a device that was busy is told in a warning."""


class Timed:
    """The timed runs of one job."""

    def __init__(self, subject: Subject) -> None:
        """Begin with nothing measured."""
        self._subject = subject
        self._rows: dict[str, Measured] = {}
        self._sets: dict[tuple[int, int, int], BatchSet] = {}
        self._answers: TimedAnswers | None = None

    def check_against(self, right: RightOutputs) -> None:
        """From now on take some answers of each run, after their stamps, and hold them against the reference's."""
        self._answers = TimedAnswers(self._subject, right)

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the rows for which there is an answer at least."""
        return tuple(self._rows)

    def measure(self, bench: Workbench, batch_size: int, scenario: Scenario) -> None:
        """Issue one scenario's queries in the bench's process and keep the recording.

        What was stamped before a failure is kept too; the failure is noted beside. So is what is wrong with answers
        that were taken from the run.

        Raises:
            BenchmarkError: If the model cannot be compiled, the device was not free in time, or the samples to be asked
                for are more than memory holds.
        """
        key = self._subject.key(f"performance/{scenario.key}", batch_size)
        series = self.series(bench, batch_size, scenario)
        if self._answers is not None:
            series = attrs.evolve(series, sampled=self._answers.chosen(series))
        info = bench.compile(batch_size).info
        with self._subject.session.hold(self.devices(info)) as waited_s:
            watch = NoiseWatch()
            recording = bench.issue(series)
            disturbance = watch.end()
        self.note(recording, key, waited_s)
        told(disturbance, self._subject.session, key)
        if recording.trace.answered.any():
            tokens = series.batches.lengths
            job = self._subject.session.job
            new = Measured(
                batch_size=batch_size,
                scenario=scenario,
                info=info,
                plan=series.plan,
                asked=job.asked,
                bounds=job.bounds,
                prompt_tokens=tokens,
            )
            row = self._rows.setdefault(key, new)
            row.checked.extend(self._checked(series, recording, row))
            row.recordings.append(attrs.evolve(recording, answers=Answers()))
            row.disturbances.append(disturbance)

    def _checked(self, series: Series, recording: Recording, row: Measured) -> list[Checked]:
        """Judge the answers that were taken from a run, if any were to be; what is wrong is a failure."""
        if self._answers is None or series.sampled is None:
            return []
        session, key, wanted = self._subject.session, series.step, numeric_paths(self._subject, row.batch_size)
        untimed = {each.key: each for each in session.rows if each.key in wanted}
        found = self._answers.judged(series, recording, precision=row.info.precision, untimed=untimed)
        path = self._subject.key(path_of(row.scenario, row.batch_size).name, row.batch_size)
        alone = (wanted[each].replica for each in untimed)
        found = found.with_rows(untimed.get(path), frozenset(each for each in alone if each is not None))
        if found.error is not None:
            session.fail(failure_of(found.error, step=key))
        elif not found.samples:
            text = "of the samples that the reference answered none was asked for while timed: no answer was compared"
            session.warn("answers_not_checked", text, key)
        for code, text in found.gaps.items():
            session.warn(code, text, key)
        return [found]

    def asked(self, bench: Workbench, batch_size: int, scenario: Scenario) -> BatchSet:
        """Return what a scenario's queries go round: single samples, or batches of the engine's size."""
        if not scenario.by_sample:
            return self.batches(bench, batch_size)
        wanted = scenario.performance_samples if isinstance(scenario, MLPerfScenario) else None
        return self._loaded(bench, batch_size, each=1, samples=wanted or SET_SAMPLES)

    def series(self, bench: Workbench, batch_size: int, scenario: Scenario) -> Series:
        """Return a scenario's queries at a batch size, with what they ask.

        Raises:
            BenchmarkError: If the model cannot be compiled, the samples cannot be prepared, or those to be asked for
                are more than memory holds.
        """
        batches = self.asked(bench, batch_size, scenario)
        plan = scenario.plan(len(batches), self._subject.session.job.streams)
        check_room(len(plan.batch), self._subject.session.job.limits.memory_bytes)
        key = self._subject.key(f"performance/{scenario.key}", batch_size)
        return Series(
            plan=plan,
            batches=batches,
            batching=scenario.batching(batch_size),
            chunks_per_query=_parts(batches),
            step=key,
        )

    def measure_again(self, bench: Workbench, key: str) -> None:
        """Issue a row's queries once more, in another bench.

        Raises:
            BenchmarkError: As `measure`.
        """
        self.measure(bench, self._rows[key].batch_size, self._rows[key].scenario)

    def devices(self, info: CompileInfo) -> tuple[str, ...]:
        """Return what no other run may time on meanwhile; a backend that tells no device has one of its own."""
        return info.devices or self._subject.session.job.devices or (f"backend {self._subject.description.name}",)

    def batches(self, bench: Workbench, batch_size: int) -> BatchSet:
        """Return what timed runs of a batch size go round.

        Raises:
            BenchmarkError: If the model cannot be compiled, or the samples cannot be prepared.
        """
        return self._loaded(bench, batch_size, each=batch_size, samples=SET_SAMPLES)

    def _loaded(self, bench: Workbench, batch_size: int, *, each: int, samples: int) -> BatchSet:
        """Load samples as batches of `each`, for the engine of a batch size; the last two sets are kept."""
        wanted = (batch_size, each, samples)
        if wanted not in self._sets:
            info = bench.compile(batch_size).info
            kept = dict(list(self._sets.items())[-1:])
            self._sets = kept if wanted[0] in {size for size, _, _ in kept} else {}
            loader = self._subject.data.loader
            self._sets[wanted] = self._queries(samples) or performance_set(
                loader,
                self._subject.original.spec.inputs,
                batch_size=each,
                max_bytes=SET_BYTES,
                max_samples=samples,
                dealt=self._subject.session.job.numeric_samples,
                engine_inputs=info.inputs,
            )
        return self._sets[wanted]

    def _queries(self, most: int) -> BatchSet | None:
        """Return queries of a form of their own: prompts, or texts whose likelihood is asked."""
        loader = self._subject.data.loader
        if self._subject.session.job.asked is Asked.SCORE:
            return loader.scored(range(min(most, len(loader))))
        return loader.queries(most)

    def note(self, recording: Recording, key: str, waited_s: float) -> None:
        """Tell the session what a reader of a row must know of its recording."""
        session = self._subject.session
        for failure in recording.failures[:1]:
            session.fail(failure)
        if waited_s > WAIT_TOLD_S:
            text = f"waited {waited_s:.1f} s for another run on the same device; that is in no figure"
            session.warn("device_waited", text, key)
        if recording.answered_twice:
            session.warn("answered_twice", f"{recording.answered_twice} replies were ended more than once", key)
        if not recording.failures and not recording.trace.warmup_stable:
            session.warn("not_settled", f"latency had not settled after {recording.trace.warmup_queries} queries", key)
        for found in unsteady(recording.trace):
            session.warn(found.code, found.message, key)
        waited = omission(recording.trace)
        if waited:
            session.warn("coordinated_omission", waited, key)

    def is_whole(self, key: str) -> bool:
        """Whether every process that was asked for answered every query."""
        return len(self._rows[key].whole) == self._processes

    @property
    def _processes(self) -> int:
        inline = self._subject.opener.isolation is Isolation.INLINE
        return 1 if inline else self._subject.session.job.repeats

    def row(self, key: str) -> Row:
        """Make the row of what was measured.

        Raises:
            HarnessError: If the stamps cannot be written.
        """
        measured = self._rows[key]
        files, figures = self._save(key, measured.traces), measured.figures
        return Row(
            kind=RowKind.PERFORMANCE,
            key=key,
            metrics=merged(
                [figures[0] if len(figures) == 1 else across_processes(figures), machine_figures(measured.disturbances)]
            ),
            scenario=measured.scenario.key,
            batch_size=measured.batch_size,
            precision=measured.info.precision,
            devices=measured.info.devices,
            passed=measured.passed,
            validity=measured.validity,
            note=joined(self._what_is_missing(measured), *measured.wrong),
            labels={
                "processes": len(figures),
                **measured.facts,
                **measured.info.ranks,
                **self._subject.labels(measured.batch_size),
            },
            bytemlperf=bytemlperf_figures(measured.traces[0], measured.batch_size),
            files=files,
            sha256=digests_of(self._subject.session.request.out, files),
        )

    def _what_is_missing(self, measured: Measured) -> str:
        whole = len(measured.whole)
        if whole == self._processes:
            return ""
        if whole:
            return f"{whole} of {self._processes} processes answered every query; the others are in no figure"
        recording = measured.recordings[0]
        code = f"{recording.failures[0].code}: " if recording.failures else ""
        return f"{code}only {int(recording.trace.answered.sum())} of {len(recording.trace)} queries were answered"

    def _save(self, key: str, traces: Sequence[Trace]) -> tuple[str, ...]:
        """Keep raw stamps beside the report, one file a process."""
        out = self._subject.session.request.out
        if out is None:
            return ()
        keys = [key, *(f"{key}/process={number}" for number in range(2, len(traces) + 1))]
        for each, trace in zip(keys, traces, strict=True):
            write_trace(out / trace_path(each), trace)
        return tuple(trace_path(each) for each in keys)


def _parts(batches: BatchSet) -> int:
    """Return the parts that an answer may come in: one a token, and some without any."""
    tokens = [ask.max_new_tokens for ask in batches.asks if isinstance(ask, Generation)]
    return max(tokens, default=2) + PARTS_WITHOUT_TOKENS


def check_room(records: int, memory_bytes: int | None) -> None:
    """Refuse a plan whose stamps would not fit into memory.

    Args:
        records: Samples in the plan.
        memory_bytes: The job's own limit, if there is one.

    Raises:
        OutOfHostMemoryError: If they take more than that, or than the machine has free.
    """
    available = psutil.virtual_memory().available
    room = available if memory_bytes is None else min(available, memory_bytes)
    if records * BYTES_A_RECORD > room:
        raise OutOfHostMemoryError(
            "the samples of a load pattern would not fit into memory",
            got=f"{records:,} samples of {BYTES_A_RECORD} bytes each",
            expected=f"at most {room:,} bytes",
            remedy="lower the rate, the expected rate or the duration, or raise limits.memory_bytes",
        )
