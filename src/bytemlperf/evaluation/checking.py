"""Accuracy against labels, by the path that is timed, and held against its targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets import waves
from bytemlperf.errors import AccuracyBelowTargetError
from bytemlperf.evaluation.accepting import accepted, judgements
from bytemlperf.evaluation.answers import ask_once, over_samples
from bytemlperf.evaluation.paths import most_clients
from bytemlperf.evaluation.rightness import RightOnes
from bytemlperf.evaluation.scores import scored_samples
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.failure import error_of, failure_of
from bytemlperf.metrics import SampleMetric, merged
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
    subject: Subject, bench: Workbench, batch_size: int, reference_scores: Mapping[str, NDArray[np.float64]]
) -> Row:
    """Score every sample of the data set once, asked for by as many clients as are timed at most.

    Accuracy below its target is a failure of the job besides the row.

    Args:
        subject: What is evaluated.
        bench: Where.
        batch_size: Samples in a query.
        reference_scores: By metric, what it says of the reference's answers to the first samples; may be empty.

    Raises:
        BenchmarkError: Typed by what went wrong; a score over a part of the samples is none.
    """
    info = bench.compile(batch_size).info
    metrics = accuracy_metrics(subject)
    states: dict[str, Any] = {name: metric.initial() for name, metric in metrics.items()}
    told = RightOnes(metrics, paired=max((len(each) for each in reference_scores.values()), default=0))
    for numbers, outputs, labels in _scored(subject, bench, batch_size):
        states = {name: metric.update(states[name], outputs, labels) for name, metric in metrics.items()}
        told.add(numbers, outputs, labels)
    figures = {name: metric.compute(states[name]) for name, metric in metrics.items()}
    key, files = (
        subject.key("accuracy", batch_size),
        told.save(subject.session.request.out, subject.key("accuracy", batch_size)),
    )
    found = judgements(subject, metrics, figures, told.scores, reference_scores)
    below = [each.text for each in found if each.passed is False]
    if below:
        error = AccuracyBelowTargetError("accuracy is below its target", got="; ".join(below))
        subject.session.fail(failure_of(error, step=key))
    return Row(
        kind=RowKind.ACCURACY,
        key=key,
        metrics=merged(figures.values()),
        batch_size=batch_size,
        labels={**subject.labels(batch_size), **_clients(subject)},
        precision=info.precision,
        devices=info.devices,
        passed=accepted(found),
        note="; ".join(each.text for each in found),
        acceptance=found,
        files=files,
        sha256=digests_of(subject.session.request.out, files),
    )


def _clients(subject: Subject) -> dict[str, int]:
    """Return how many clients ask, as a label; a text that is scored is asked for by one."""
    forward = subject.session.job.asked is Asked.FORWARD
    return {"clients": most_clients(subject.session.job) if forward else 1}


def _scored(
    subject: Subject, bench: Workbench, batch_size: int
) -> Iterator[tuple[list[int], Mapping[str, Array], Array]]:
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
        labels = loader.labels(numbers)
        assert labels is not None, "data without labels has no metrics"
        yield numbers, over_samples(recording.answers, wave, spec.outputs), labels


def _sample_numbers(wave: BatchSet) -> list[int]:
    return [int(number) for number in wave.samples.ravel() if number >= 0]


def masks_of(subject: Subject, samples: Sequence[int]) -> Mapping[str, Array]:
    """Return the inputs that say which positions of some samples' outputs are valid."""
    wanted = {tensor.valid for tensor in subject.original.spec.outputs if tensor.valid is not None}
    if not wanted:
        return {}
    inputs = subject.data.loader.load(samples)
    return {name: np.asarray(inputs[name]) for name in wanted}
