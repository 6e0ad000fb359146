"""Outputs against an independent reference, by every path that is timed: batch size, clients, depth and replica."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.backends import CompileInfo
from bytemlperf.datasets import batches, bytes_per_sample
from bytemlperf.datasets.axes import join_samples, split_samples
from bytemlperf.evaluation.answers import answer_bytes
from bytemlperf.evaluation.calls import Call, Flight, every_call
from bytemlperf.evaluation.locating import Divergence
from bytemlperf.evaluation.paths import TimedPath, paths
from bytemlperf.evaluation.references import References
from bytemlperf.evaluation.rightoutputs import RightOutputs
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.timedanswers import DEPTH, REPLICAS
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.failure import Failure, error_of, failure_of
from bytemlperf.metrics import NumericResult, NumericState, OutputDifference
from bytemlperf.metrics.estimate import joined
from bytemlperf.report import Row, RowKind
from bytemlperf.report.files import differences_path, digests_of, write_differences
from bytemlperf.sample import Array
from bytemlperf.spec import DType, TensorSpec
from bytemlperf.worker import Recording, Series, replicas_of

MOST_BYTES: Final = 256 * 2**20
"""Bound of what goes in and out of one check beyond every sample once; it has two batches at least, however large."""
MARGIN: Final = 8
"""Times the reference's own error in float32 that an implementation in another order of sums is allowed."""


@attrs.frozen(kw_only=True, eq=False)
class Mismatch:
    """A numeric check that failed: where the search for the operator begins.

    Attributes:
        key: Of the row.
        failure: As it was told.
        batch_size: Samples in a query.
        samples: Those of the batch with the largest difference, the worst first.
        precision: What the backend used.
        replica: The replica that was asked alone; None for whichever was free.
    """

    key: str
    failure: Failure
    batch_size: int
    samples: tuple[int, ...]
    precision: DType
    replica: int | None = None


def numeric_paths(subject: Subject, batch_size: int) -> dict[str, TimedPath]:
    """Return the path of each numeric row of a batch size, by its key: every distinct one by which it is timed."""
    found = paths(subject.session.job, subject.description, batch_size)
    return {subject.key(name, batch_size): path for name, path in found.items()}


def numeric_row(
    subject: Subject, bench: Workbench, key: str, *, batch_size: int, references: References, right: RightOutputs
) -> tuple[Row, Mismatch | None]:
    """Compare outputs with the reference's, by the path that the row is for.

    Every sample is asked for in order, with padding at the end, and then in full batches of other neighbours in other
    orders, so that answers that depend on the batch, or belong to another one, do not pass.

    Returns:
        The row; and what failed, if it did.

    Raises:
        BenchmarkError: If there are no whole outputs to compare.
    """
    path = numeric_paths(subject, batch_size)[key]
    info = bench.compile(batch_size).info
    series = _series(subject, path, right.count, batch_size, info)
    recording = bench.issue(series)
    if recording.failures:
        raise error_of(recording.failures[0])
    state = _compared(subject, right, info.precision, _calls(subject, series, recording, info.precision))
    result, own = state.compute(), dict[str, float]()
    if _may_be_the_reference(result):
        bench.close()  # the reference is to have the memory for itself
        with contextlib.closing(references):
            own = dict(references.own_errors())
        result = state.compute(least={name: MARGIN * error for name, error in own.items()})
    told = {"clients": path.clients, "queries": len(series.plan), **_flight(subject, path, recording)}
    row = _row(subject, key, batch_size, result, info=info, told=told, note=_about(own))
    error = result.error()
    if error is None:
        return row, None
    mismatch = Mismatch(
        key=key,
        failure=failure_of(error, step=key),
        batch_size=batch_size,
        samples=_worst(subject, right, list(_calls(subject, series, recording, info.precision)), batch_size),
        precision=info.precision,
        replica=path.replica,
    )
    return row, mismatch


def _series(subject: Subject, path: TimedPath, count: int, batch_size: int, info: CompileInfo) -> Series:
    """Return what a path is checked with: whole batches with other neighbours each time, or single samples in turn."""
    spec, loader = subject.original.spec, subject.data.loader
    order = sample_order(
        count, batch_size, _queries(subject, path, count, batch_size, info), seed=subject.session.job.seed
    )
    prepared, size = (np.arange(count), 1) if path.is_of_samples else (order, batch_size)
    asked = batches(loader, spec.inputs, prepared, batch_size=size, engine_inputs=info.inputs)
    batch = order if path.is_of_samples else np.arange(len(asked), dtype=np.int64)
    whole = len(batch) + -len(batch) % (path.at_once or 1)  # of a query of several samples none is missing
    return Series(
        plan=path.plan(np.resize(batch, whole)),
        batches=asked,
        batching=path.batching(batch_size),
        keep=True,
        replica=path.replica,
        step="numeric",
    )


def _queries(subject: Subject, path: TimedPath, count: int, batch_size: int, info: CompileInfo) -> int:
    """Return how many calls: every sample once, and so many that as many are under way as can be."""
    spec = subject.original.spec
    each = batch_size * bytes_per_sample(info.inputs or spec.inputs) + answer_bytes(spec.outputs, batch_size)
    needed = max(math.ceil((count + (batch_size > 1)) / batch_size), 2)
    wide = max(path.clients, path.width(batch_size, _most(subject, path, info)))
    return max(needed, min(2 * wide, MOST_BYTES // max(each, 1)))


def _most(subject: Subject, path: TimedPath, info: CompileInfo) -> int | None:
    """Return how many calls the backend takes at once by a path; None for no bound."""
    replicas = 1 if path.replica is not None else replicas_of(subject.description, subject.session.job.devices)
    return None if info.max_in_flight is None else info.max_in_flight * replicas


def _flight(subject: Subject, path: TimedPath, recording: Recording) -> dict[str, int]:
    """Return the most calls that were under way at once and, of several replicas, how many answered, or which one."""
    told = {DEPTH: Flight.of(recording.trace).most}
    if path.replica is not None:
        return {**told, "replica": path.replica}
    several = replicas_of(subject.description, subject.session.job.devices) > 1
    return {**told, REPLICAS: len(np.unique(recording.trace.replica))} if several else told


def sample_order(count: int, batch_size: int, queries: int, *, seed: int) -> NDArray[np.int64]:
    """Return which samples fill some queries: first all in order, then again and again in orders drawn by a seed.

    The last query of several samples lacks one, so that padding is seen; int64[queries * batch_size or one less]. The
    first query behind the first round begins with the first sample, so that answers that are kept by their first row
    are seen.

    Example:
        >>> sample_order(3, 2, 2, seed=0)[:3].tolist()
        [0, 1, 2]
        >>> int(sample_order(32, 8, 5, seed=0)[32])
        0
    """
    rng = np.random.default_rng(seed)
    wanted = queries * batch_size - (batch_size > 1)
    rounds = math.ceil(wanted / count)
    orders = [np.arange(count), *(rng.permutation(count) for _ in range(rounds - 1))]
    order = np.concatenate(orders).astype(np.int64)
    begin = math.ceil(count / batch_size) * batch_size
    if begin < wanted:
        again = begin // count * count
        place = again + int(np.flatnonzero(order[again : again + count] == 0)[0])
        order[[begin, place]] = order[[place, begin]]
    return order[:wanted]


def _calls(subject: Subject, series: Series, recording: Recording, precision: DType) -> Iterator[Call]:
    pads = not subject.takes_every_batch
    return every_call(series, recording, subject.original.spec.outputs, pads=pads, precision=precision)


def _compared(subject: Subject, right: RightOutputs, precision: DType, found: Iterable[Call]) -> NumericState:
    state = NumericState(
        specs=right.specs,
        precision=precision,
        independent=right.reference.independent,
        reference_name=right.reference.name,
        tolerance=subject.session.job.acceptance.tolerance,
    )
    for call in found:
        state.update(right.seen(call.outputs, call.samples), right.of(call.samples), right.valid(call.samples))
    return state


def _may_be_the_reference(result: NumericResult) -> bool:
    """Whether it failed by the size of differences alone, which an ill-conditioned model explains."""
    return result.passed is False and not any(each.non_finite.unmatched for each in result.outputs.values())


def _worst(subject: Subject, right: RightOutputs, found: Sequence[Call], batch_size: int) -> tuple[int, ...]:
    """Return the samples of the call whose answer lies farthest from the reference, the worst first."""
    call = max(found, key=lambda each: _distance(right, each.outputs, each.samples))
    outputs, samples = call.outputs, call.samples
    specs = subject.original.spec.outputs
    sizes = []
    for index in range(len(samples)):
        alone = {spec.name: _sample(outputs[spec.name], spec, len(samples), index) for spec in specs}
        sizes.append(_distance(right, alone, samples[index : index + 1]))
    ordered = samples[np.argsort(-np.array(sizes), kind="stable")]
    return tuple(int(each) for each in np.resize(ordered, batch_size))


def _sample(array: Array, spec: TensorSpec, count: int, index: int) -> Array:
    if spec.batch_axis is None:
        return array
    return join_samples(split_samples(array, spec, samples=count)[index : index + 1], spec)


def _distance(right: RightOutputs, outputs: Mapping[str, Array], samples: NDArray[np.int64]) -> float:
    state = NumericState(specs=right.specs, precision=DType.FLOAT32, independent=True, reference_name="")
    state.update(right.seen(outputs, samples), right.of(samples), right.valid(samples))
    return max((_size(each) for each in state.compute().outputs.values()), default=0.0)


def _size(difference: OutputDifference) -> float:
    return math.inf if difference.non_finite.unmatched or difference.max_rel is None else difference.max_rel


def _about(own: Mapping[str, float]) -> str:
    told = "; ".join(f"{name}: {error:.3g}" for name, error in own.items())
    return f"the reference in float32 itself lies so far from float64: {told}" if told else ""


def _row(
    subject: Subject,
    key: str,
    batch_size: int,
    result: NumericResult,
    *,
    info: CompileInfo,
    told: Mapping[str, int],
    note: str,
) -> Row:
    out = subject.session.request.out
    if out is not None:
        write_differences(out / differences_path(key), result.outputs)
    files = () if out is None else (differences_path(key),)
    return Row(
        kind=RowKind.NUMERIC,
        key=key,
        metrics=result.metrics,
        batch_size=batch_size,
        labels={**subject.labels(batch_size), **told},
        precision=result.precision,
        devices=info.devices,
        passed=result.passed,
        note=joined(f"reference: {result.reference_name}", *result.reasons, note),
        bytemlperf=result.bytemlperf,
        files=files,
        sha256=digests_of(out, files),
    )


def named(row: Row, mismatch: Mismatch, found: Divergence | str) -> tuple[Row, Failure]:
    """Return a failed row and its failure with the operator that diverges, or with why none can be named."""
    failure = attrs.evolve(mismatch.failure, message=f"{mismatch.failure.message}; {found}")
    row = attrs.evolve(row, note=joined(row.note, str(found)))
    if isinstance(found, str):
        return row, failure
    labels = {**row.labels, "diverging_operator": found.operator, "diverging_tensor": found.tensor}
    return attrs.evolve(row, labels=labels), attrs.evolve(failure, operator=found.operator, tensor=found.tensor)
