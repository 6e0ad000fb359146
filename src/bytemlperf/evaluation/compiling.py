"""Compile figures: how long until the first answer, cold and warm, and what the compiler did."""

from __future__ import annotations

import time
from pathlib import Path

import attrs

from bytemlperf.artifact import ModelArtifact
from bytemlperf.conversion import convert, prepare
from bytemlperf.datasets import batches
from bytemlperf.evaluation.answers import ask_once, check_answer
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.tuning import tuning_note
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.failure import error_of
from bytemlperf.metrics import CompileTimes, compile_figures
from bytemlperf.metrics.estimate import joined
from bytemlperf.report import Row, RowKind
from bytemlperf.spec import Format
from bytemlperf.worker import Compilation, Isolation


@attrs.frozen(kw_only=True)
class Converted:
    """An artifact that a backend takes, and what it took to get there."""

    artifact: ModelArtifact
    duration_ns: int


def convert_for(formats: frozenset[Format], artifact: ModelArtifact, folder: Path) -> Converted:
    """Bring an artifact to one of the formats that a backend takes, timed without the import of frameworks.

    Raises:
        ArtifactError: If no conversion leads there.
    """
    prepare(artifact, formats)
    started = time.perf_counter_ns()
    converted = convert(artifact, formats, folder=folder)
    return Converted(artifact=converted, duration_ns=time.perf_counter_ns() - started)


@attrs.frozen(kw_only=True)
class Started:
    """A compile and the first answer after it."""

    compilation: Compilation
    first_predict_ns: int


def start(subject: Subject, bench: Workbench, batch_size: int) -> Started:
    """Compile and ask for a first answer, whose names and shapes are held against the model's.

    Raises:
        BenchmarkError: Typed by what went wrong.
    """
    compilation = bench.compile(batch_size)
    spec, loader = subject.original.spec, subject.data.loader
    first = range(min(batch_size, len(loader)))
    own = loader.queries(1)
    asked = own or batches(loader, spec.inputs, first, batch_size=batch_size, engine_inputs=compilation.info.inputs)
    recording = ask_once(bench, asked, step=f"first predict at batch {batch_size}")
    if recording.failures:
        raise error_of(recording.failures[0])
    if own is None:  # what is generated has no shape that the model's spec could tell
        check_answer(recording.answers.get(0, {}), spec.outputs, batch_size)  # one without any output is not kept
    first_ns = recording.trace.first_ns[0]  # the end of an answer in one part
    return Started(compilation=compilation, first_predict_ns=int(first_ns - recording.trace.sent_ns[0]))


def compile_row(subject: Subject, cold: Started, warm: Started | None, batch_size: int) -> Row:
    """Make the row of one batch size."""
    info = cold.compilation.info
    tuned = subject.tuned.get(subject.compiled_size(batch_size))
    figures = compile_figures(
        cold=_times(subject.convert_ns, cold),
        warm=None if warm is None else _times(0, warm),
        tune_ns=None if tuned is None else tuned.duration_ns,
        coverage=info.coverage,
        artifact_bytes=sum(path.stat().st_size for path in info.files if path.is_file()) if info.files else None,
    )
    return Row(
        kind=RowKind.COMPILE,
        key=subject.key("compile", batch_size),
        metrics=figures,
        batch_size=batch_size,
        labels=subject.labels(batch_size),
        precision=info.precision,
        devices=info.devices,
        note=joined(tuning_note(subject, batch_size), "" if warm is not None else _why_not_warm(subject)),
    )


def _times(convert_ns: int, started: Started) -> CompileTimes:
    return CompileTimes(
        convert_ns=convert_ns,
        compile_ns=started.compilation.duration_ns,
        first_predict_ns=started.first_predict_ns,
    )


def _why_not_warm(subject: Subject) -> str:
    if subject.opener.isolation is Isolation.INLINE:
        return "no warm figure: a backend in this process cannot be started anew"
    return "no warm figure: the second start failed"


def warm_start(subject: Subject, batch_size: int) -> Started | None:
    """Start the backend again in a new process on the same cache folder; None inline."""
    if subject.opener.isolation is Isolation.INLINE:
        return None
    with subject.bench() as bench:
        return start(subject, bench, batch_size)
