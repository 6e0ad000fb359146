"""Accuracy against labels, by the path that is timed, and held against its targets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from bytemlperf.datasets import waves
from bytemlperf.errors import AccuracyBelowTargetError
from bytemlperf.evaluation.accepting import accepted, judgements, targeted
from bytemlperf.evaluation.answers import ask_once, over_samples
from bytemlperf.evaluation.finiteness import Finiteness
from bytemlperf.evaluation.keeping import MOST_BYTES, save_samples
from bytemlperf.evaluation.paths import most_clients
from bytemlperf.evaluation.rightoutputs import RightOutputs
from bytemlperf.evaluation.scores import scored_samples
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.failure import error_of, failure_of
from bytemlperf.metrics import Judgement, SampleMetric, Scoring, Units, merged
from bytemlperf.metrics.estimate import joined
from bytemlperf.report import Row, RowKind
from bytemlperf.report.files import digests_of
from bytemlperf.sample import Array, BatchSet
from bytemlperf.workload import Asked

WAVE_BYTES: Final = 256 * 2**20
"""Inputs and answers that are kept at a time; a data set of any size needs two of these."""


def accuracy_metrics(subject: Subject) -> dict[str, SampleMetric]:
    """Return the metrics of a job, by name."""
    return dict(subject.data.metrics)


def accuracy_row(
    subject: Subject,
    bench: Workbench,
    batch_size: int,
    reference_units: Mapping[str, Units],
    right: RightOutputs | None,
) -> Row:
    """Score every sample of the data set once, asked for by as many clients as are timed at most.

    Accuracy below its target is a failure of the job besides the row, and so are NaN and infinity of the backend's own.

    Args:
        subject: What is evaluated.
        bench: Where.
        batch_size: Samples in a query.
        reference_units: By metric, what units brought to it by the reference's answers to the first samples; may be
            empty.
        right: What the reference answers to the first samples; None where it was not asked.

    Raises:
        BenchmarkError: Typed by what went wrong; a score over a part of the samples is none.
    """
    info = bench.compile(batch_size).info
    metrics = accuracy_metrics(subject)
    scoring, finiteness = Scoring(metrics), Finiteness(subject, right)
    for numbers, outputs, labels in _answered(subject, bench, batch_size):
        scoring.add(outputs, labels)
        finiteness.add(numbers, outputs)
    figures, units, key = scoring.figures(), scoring.units(most_bytes=MOST_BYTES), subject.key("accuracy", batch_size)
    measured = merged(figures.values())
    _warn_of_others(subject, measured)
    files = save_samples(subject.session.request.out, key, metrics, units, count=len(subject.data.loader))
    found = judgements(subject, metrics, figures, units, reference_units)
    broken = finiteness.error("answers that were scored")
    for error in (broken, _below(found)):
        if error is not None:
            subject.session.fail(failure_of(error, step=key))
    if doubt := finiteness.doubt():
        subject.session.warn("not_finite", f"answers that were scored hold NaN or infinity: {doubt}", key)
    return Row(
        kind=RowKind.ACCURACY,
        key=key,
        metrics=measured,
        batch_size=batch_size,
        labels={**subject.labels(batch_size), **_clients(subject)},
        precision=info.precision,
        devices=info.devices,
        passed=accepted(found, targeted=targeted(subject, measured)) if broken is None else False,
        note=joined("" if broken is None else str(broken), *(each.text for each in found)),
        acceptance=found,
        files=files,
        sha256=digests_of(subject.session.request.out, files),
    )


def _warn_of_others(subject: Subject, measured: Collection[str]) -> None:
    """Tell of targets of the job that no figure has: a name that was mistyped must not pass for a target that holds."""
    asked = dict.fromkeys(f"accuracy/{target.metric}" for target in subject.session.job.acceptance.targets)
    others = [name for name in asked if name not in measured]
    if others:
        text = f"no figure has the target of {', '.join(others)}; there are {', '.join(measured)}"
        subject.session.warn("no_such_figure", text)


def _clients(subject: Subject) -> dict[str, int]:
    """Return how many clients ask, as a label; a text that is scored is asked for by one."""
    forward = subject.session.job.asked is Asked.FORWARD
    return {"clients": most_clients(subject.session.job) if forward else 1}


def _below(found: Sequence[Judgement]) -> AccuracyBelowTargetError | None:
    below = [each.text for each in found if each.passed is False]
    return AccuracyBelowTargetError("accuracy is below its target", got="; ".join(below)) if below else None


def _answered(
    subject: Subject, bench: Workbench, batch_size: int
) -> Iterator[tuple[list[int], Mapping[str, Array], Array]]:
    """Yield the answers to all samples in the order of the data, with their numbers and labels."""
    spec, loader = subject.original.spec, subject.data.loader
    if subject.session.job.asked is Asked.SCORE:
        yield from scored_samples(subject, bench, range(len(loader)), step="accuracy")
        return
    info, clients = bench.compile(batch_size).info, most_clients(subject.session.job)
    for wave in waves(
        loader,
        spec.inputs,
        range(len(loader)),
        batch_size=batch_size,
        max_bytes=WAVE_BYTES,
        engine_inputs=info.inputs,
        answers=spec.outputs,
    ):
        recording = ask_once(bench, wave, step="accuracy", clients=clients)
        if recording.failures:
            raise error_of(recording.failures[0])
        numbers = _sample_numbers(wave)
        found = loader.labels(numbers)
        assert found is not None, "data without labels has no metrics"
        yield numbers, over_samples(recording.answers, wave, spec.outputs, precision=info.precision), found


def _sample_numbers(wave: BatchSet) -> list[int]:
    return [int(number) for number in wave.samples.ravel() if number >= 0]
