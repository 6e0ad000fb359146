"""Accuracy against labels, by the path that is timed, and held against its targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from bytemlperf.datasets import waves
from bytemlperf.errors import AccuracyBelowTargetError
from bytemlperf.evaluation.accepting import accepted, judgements, targeted
from bytemlperf.evaluation.answers import ask_once, over_samples
from bytemlperf.evaluation.keeping import MOST_BYTES, save_samples
from bytemlperf.evaluation.paths import most_clients
from bytemlperf.evaluation.scores import scored_samples
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.failure import error_of, failure_of
from bytemlperf.metrics import SampleMetric, Scoring, Units, merged
from bytemlperf.report import Row, RowKind
from bytemlperf.report.files import digests_of
from bytemlperf.sample import Array, BatchSet
from bytemlperf.workload import Asked

WAVE_BYTES: Final = 256 * 2**20
"""Inputs and answers that are kept at a time; a data set of any size needs two of these."""


def accuracy_metrics(subject: Subject) -> dict[str, SampleMetric]:
    """Return the metrics of a job, by name."""
    return dict(subject.data.metrics)


def accuracy_row(subject: Subject, bench: Workbench, batch_size: int, reference_units: Mapping[str, Units]) -> Row:
    """Score every sample of the data set once, asked for by as many clients as are timed at most.

    Accuracy below its target is a failure of the job besides the row.

    Args:
        subject: What is evaluated.
        bench: Where.
        batch_size: Samples in a query.
        reference_units: By metric, what units brought to it by the reference's answers to the first samples; may be
            empty.

    Raises:
        BenchmarkError: Typed by what went wrong; a score over a part of the samples is none.
    """
    info = bench.compile(batch_size).info
    metrics = accuracy_metrics(subject)
    scoring = Scoring(metrics)
    for outputs, labels in _answered(subject, bench, batch_size):
        scoring.add(outputs, labels)
    figures, units, key = scoring.figures(), scoring.units(most_bytes=MOST_BYTES), subject.key("accuracy", batch_size)
    files = save_samples(subject.session.request.out, key, metrics, units, count=len(subject.data.loader))
    found = judgements(subject, metrics, figures, units, reference_units)
    measured = merged(figures.values())
    below = [each.text for each in found if each.passed is False]
    if below:
        error = AccuracyBelowTargetError("accuracy is below its target", got="; ".join(below))
        subject.session.fail(failure_of(error, step=key))
    return Row(
        kind=RowKind.ACCURACY,
        key=key,
        metrics=measured,
        batch_size=batch_size,
        labels={**subject.labels(batch_size), **_clients(subject)},
        precision=info.precision,
        devices=info.devices,
        passed=accepted(found, targeted=targeted(subject, measured)),
        note="; ".join(each.text for each in found),
        acceptance=found,
        files=files,
        sha256=digests_of(subject.session.request.out, files),
    )


def _clients(subject: Subject) -> dict[str, int]:
    """Return how many clients ask, as a label; a text that is scored is asked for by one."""
    forward = subject.session.job.asked is Asked.FORWARD
    return {"clients": most_clients(subject.session.job) if forward else 1}


def _answered(subject: Subject, bench: Workbench, batch_size: int) -> Iterator[tuple[Mapping[str, Array], Array]]:
    """Yield the answers to all samples in the order of the data, with their labels."""
    spec, loader = subject.original.spec, subject.data.loader
    if subject.session.job.asked is Asked.SCORE:
        for _, outputs, labels in scored_samples(subject, bench, range(len(loader)), step="accuracy"):
            yield outputs, labels
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
        found = loader.labels(_sample_numbers(wave))
        assert found is not None, "data without labels has no metrics"
        yield over_samples(recording.answers, wave, spec.outputs), found


def _sample_numbers(wave: BatchSet) -> list[int]:
    return [int(number) for number in wave.samples.ravel() if number >= 0]


def masks_of(subject: Subject, samples: Sequence[int]) -> Mapping[str, Array]:
    """Return the inputs that say which positions of some samples' outputs are valid."""
    wanted = {tensor.valid for tensor in subject.original.spec.outputs if tensor.valid is not None}
    if not wanted:
        return {}
    inputs = subject.data.loader.load(samples)
    return {name: np.asarray(inputs[name]) for name in wanted}
