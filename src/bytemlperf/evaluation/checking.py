"""Accuracy against labels, and outputs against an independent reference, both by the path that is timed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from bytemlperf.datasets import batches, waves
from bytemlperf.errors import AccuracyBelowTargetError, error_of, failure_of
from bytemlperf.evaluation.answers import ask_once, over_samples
from bytemlperf.evaluation.reference import Reference
from bytemlperf.evaluation.rightness import RightOnes
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.metrics import Metrics, NumericResult, compare, merged
from bytemlperf.report import Row, RowKind
from bytemlperf.report.files import differences_path, digests_of, write_differences
from bytemlperf.sample import Array, BatchSet

WAVE_BYTES: Final = 256 * 2**20
"""Inputs and answers that are kept at a time; a data set of any size needs two of these."""


def accuracy_row(subject: Subject, bench: Workbench, batch_size: int) -> Row:
    """Score every sample of the data set once.

    Accuracy below its target is a failure of the job besides the row.

    Raises:
        BenchmarkError: Typed by what went wrong; a score over a part of the samples is none.
    """
    info = bench.compile(batch_size).info
    metrics = subject.data.metrics
    states: dict[str, Any] = {name: metric.initial() for name, metric in metrics.items()}
    told = RightOnes(metrics)
    for numbers, outputs, labels in _scored(subject, bench, batch_size):
        states = {name: metric.update(states[name], outputs, labels) for name, metric in metrics.items()}
        told.add(numbers, outputs, labels)
    figures = merged(metric.compute(states[name]) for name, metric in metrics.items())
    key, below = subject.key("accuracy", batch_size), below_published(subject, figures)
    files = told.save(subject.session.request.out, key)
    if below:
        error = AccuracyBelowTargetError("accuracy is below what was published for the checkpoint", got=below)
        subject.session.fail(failure_of(error, step=key))
    return Row(
        kind=RowKind.ACCURACY,
        key=key,
        metrics=figures,
        batch_size=batch_size,
        labels=subject.labels(batch_size),
        precision=info.precision,
        devices=info.devices,
        passed=None if below is None else not below,
        files=files,
        sha256=digests_of(subject.session.request.out, files),
    )


def _scored(
    subject: Subject, bench: Workbench, batch_size: int
) -> Iterator[tuple[list[int], Mapping[str, Array], Array]]:
    spec, loader = subject.original.spec, subject.data.loader
    info = bench.compile(batch_size).info
    for wave in waves(
        loader,
        spec.inputs,
        range(len(loader)),
        batch_size=batch_size,
        max_bytes=WAVE_BYTES,
        engine_inputs=info.inputs,
        answers=spec.outputs,
    ):
        recording = ask_once(bench, wave, step="accuracy")
        if recording.failures:
            raise error_of(recording.failures[0])
        numbers = _sample_numbers(wave)
        labels = loader.labels(numbers)
        assert labels is not None, "data without labels has no metrics"
        yield numbers, over_samples(recording.answers, wave, spec.outputs), labels


def _sample_numbers(wave: BatchSet) -> list[int]:
    return [int(number) for number in wave.samples.ravel() if number >= 0]


SHARE_OF_REFERENCE: Final = 0.99
"""MLPerf's usual accuracy target, a share of the published reference (inference rules, "Benchmarks")."""


def below_published(subject: Subject, figures: Metrics) -> dict[str, str] | None:
    """Return by metric how accuracy falls short of 99 % of what was published for the checkpoint and its data.

    A metric falls short only where its whole interval lies below. None where nothing was published
    with which this job's figures could be compared.
    """
    spec = subject.original.spec
    published = spec.reference_accuracy if subject.data.loader.name == spec.dataset else ()
    found = {each: figures.get(f"accuracy/{each.metric}") for each in published}
    bounds = {each: figure.high for each, figure in found.items() if figure is not None and figure.high is not None}
    if not bounds:
        return None
    return {
        each.metric: f"{high:.6g} at most, where {SHARE_OF_REFERENCE:g} of {each.value:g} is needed ({each.source})"
        for each, high in bounds.items()
        if high < SHARE_OF_REFERENCE * each.value
    }


def numeric_row(
    subject: Subject, bench: Workbench, batch_size: int, reference: Reference, right: Mapping[str, Array]
) -> Row:
    """Compare the outputs of the first samples with the reference's, output by output.

    A mismatch is a failure of the job besides the row.

    Raises:
        BenchmarkError: If there are no whole outputs to compare.
    """
    spec, loader = subject.original.spec, subject.data.loader
    compilation = bench.compile(batch_size)
    count = min(subject.session.job.numeric_samples, len(loader))
    asked = batches(loader, spec.inputs, range(count), batch_size=batch_size, engine_inputs=compilation.info.inputs)
    recording = ask_once(bench, asked, step="numeric")
    if recording.failures:
        raise error_of(recording.failures[0])
    result = compare(
        over_samples(recording.answers, asked, spec.outputs),
        right,
        specs=spec.outputs,
        precision=compilation.info.precision,
        valid=masks(subject, count),
        independent=reference.independent,
        reference_name=reference.name,
    )
    error = result.error()
    if error is not None:
        subject.session.fail(failure_of(error, step=subject.key("numeric", batch_size)))
    return _numeric_row(subject, batch_size, result, compilation.info.devices)


def masks(subject: Subject, count: int) -> Mapping[str, Array]:
    """Return the inputs that say which positions of the first samples' outputs are valid."""
    return masks_of(subject, range(count))


def masks_of(subject: Subject, samples: Sequence[int]) -> Mapping[str, Array]:
    """Return the inputs that say which positions of some samples' outputs are valid."""
    wanted = {tensor.valid for tensor in subject.original.spec.outputs if tensor.valid is not None}
    if not wanted:
        return {}
    inputs = subject.data.loader.load(samples)
    return {name: np.asarray(inputs[name]) for name in wanted}


def _numeric_row(subject: Subject, batch_size: int, result: NumericResult, devices: tuple[str, ...]) -> Row:
    key, out, reasons = subject.key("numeric", batch_size), subject.session.request.out, "; ".join(result.reasons)
    if out is not None:
        write_differences(out / differences_path(key), result.outputs)
    files = () if out is None else (differences_path(key),)
    return Row(
        kind=RowKind.NUMERIC,
        key=key,
        metrics=result.metrics,
        batch_size=batch_size,
        labels=subject.labels(batch_size),
        precision=result.precision,
        devices=devices,
        passed=result.passed,
        note=f"reference: {result.reference_name}" + (f"; {reasons}" if reasons else ""),
        bytemlperf=result.bytemlperf,
        files=files,
        sha256=digests_of(out, files),
    )
