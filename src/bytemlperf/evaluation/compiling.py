"""Compile figures: how long until the first answer, cold and warm, and what the compiler did."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import CompileInfo
from bytemlperf.conversion import convert, prepare
from bytemlperf.datasets import batches
from bytemlperf.evaluation.answers import answer_bytes, ask_once, check_answer, over_batch
from bytemlperf.evaluation.masks import masks_of
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.timedanswers import largest
from bytemlperf.evaluation.tuning import tuning_note
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.failure import error_of
from bytemlperf.metrics import CompileTimes, NumericState, compile_figures
from bytemlperf.metrics.estimate import joined
from bytemlperf.report import Row, RowKind
from bytemlperf.sample import Array
from bytemlperf.spec import Format
from bytemlperf.worker import Compilation, Isolation

KEPT_BYTES: Final = 32 * 2**20
"""Of the first answer of a cold start, for the comparison with that of the warm one: one sample at least."""


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
    """A compile and the first answer after it.

    Attributes:
        compilation: What came of the compile.
        first_predict_ns: How long the first answer took.
        answer: The outputs for the data's first samples, as many as `KEPT_BYTES` hold; empty where none were asked for.
    """

    compilation: Compilation
    first_predict_ns: int
    answer: Mapping[str, Array] = attrs.field(factory=dict)


def start(subject: Subject, bench: Workbench, batch_size: int) -> Started:
    """Compile and ask for a first answer, whose names and shapes are held against the model's.

    Raises:
        BenchmarkError: Typed by what went wrong.
    """
    compilation = bench.compile(batch_size)
    spec, loader = subject.original.spec, subject.data.loader
    first = _first_samples(subject, batch_size)
    own = loader.queries(1)
    asked = own or batches(loader, spec.inputs, first, batch_size=batch_size, engine_inputs=compilation.info.inputs)
    recording = ask_once(bench, asked, step=f"first predict at batch {batch_size}")
    if recording.failures:
        raise error_of(recording.failures[0])
    answer: Mapping[str, Array] = {}
    if own is None:  # what is generated has no shape that the model's spec could tell
        whole = recording.answers.get(0, {})  # one without any output is not kept
        check_answer(whole, spec.outputs, batch_size, precision=compilation.info.precision)
        answer = over_batch(whole, spec.outputs, batch_size, len(_kept_samples(subject, batch_size)))
    first_ns = recording.trace.first_ns[0]  # the end of an answer in one part
    return Started(compilation=compilation, first_predict_ns=int(first_ns - recording.trace.sent_ns[0]), answer=answer)


def _first_samples(subject: Subject, batch_size: int) -> range:
    return range(min(batch_size, len(subject.data.loader)))


def _kept_samples(subject: Subject, batch_size: int) -> range:
    room = KEPT_BYTES // max(1, answer_bytes(subject.original.spec.outputs, 1))
    return _first_samples(subject, batch_size)[: max(1, room)]


def doubts(subject: Subject, info: CompileInfo) -> Iterator[tuple[str, str]]:
    """Yield what a compiler says of itself and a reader might not expect, as codes of warnings and sentences."""
    asked = subject.session.job.precision
    if info.precision is not subject.precision:
        whose = f"{subject.precision.short} was asked for" if asked else f"the model is in {subject.precision.short}"
        yield "other_precision", f"{whose}, and the backend says that it computes in {info.precision.short}"
    listed = {device.id for device in subject.description.devices}
    unknown = [device for device in info.devices if device not in {*listed, *subject.session.job.devices}]
    if listed and unknown:
        among = f"none of its devices: {', '.join(sorted(listed))}"
        yield "unknown_device", f"the backend says that it runs on {', '.join(unknown)}, which is {among}"


def check_warm(subject: Subject, cold: Started, warm: Started, batch_size: int) -> None:
    """Hold the first answer of a warm start against that of the cold one, which the other checks are about.

    What was wrong with it there already is told there: as far as the numeric row of the same batch size lies from the
    reference, and as much again, is allowed.

    Raises:
        ResultError: If they do not agree within the bound of the precision.
    """
    if not warm.answer:
        return
    specs, row = subject.original.spec.outputs, subject.key("numeric", batch_size)
    untimed = {each.key: each for each in subject.session.rows if each.key == row}
    state = NumericState(
        specs=specs,
        precision=cold.compilation.info.precision,
        independent=True,  # two starts of one runtime: whether it is right is another question
        reference_name="that of the cold start",
        tolerance=subject.session.job.acceptance.tolerance,
    )
    state.update(warm.answer, cold.answer, masks_of(subject, _kept_samples(subject, batch_size)))
    found = state.compute(least={name: 2 * far for name, far in largest(untimed, "max_rel").items()})
    error = found.error()
    if error is not None:
        reasons = "; ".join(found.reasons)
        failed = type(error)(f"the first answer of a warm start does not agree with that of the cold one: {reasons}")
        failed.tensor = error.tensor
        raise failed


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
