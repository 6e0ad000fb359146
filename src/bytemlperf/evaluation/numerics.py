"""Outputs against an independent reference, by the path that is timed: every batch size, every number of clients."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.backends import CompileInfo
from bytemlperf.datasets import batches, bytes_per_sample
from bytemlperf.datasets.axes import join_samples, split_samples
from bytemlperf.evaluation.answers import check_answer, over_batch
from bytemlperf.evaluation.locating import Divergence
from bytemlperf.evaluation.references import References
from bytemlperf.evaluation.rightoutputs import RightOutputs
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.failure import Failure, error_of, failure_of
from bytemlperf.metrics import NumericResult, NumericState, OutputDifference
from bytemlperf.metrics.estimate import joined
from bytemlperf.report import Row, RowKind
from bytemlperf.report.files import differences_path, digests_of, write_differences
from bytemlperf.sample import Array, BatchSet
from bytemlperf.scenarios import Plan, Seeds, Warmup
from bytemlperf.spec import DType, TensorSpec
from bytemlperf.worker import Answers, Series
from bytemlperf.workload import Asked, Check

MOST_BYTES: Final = 256 * 2**20
"""Bound of the inputs of one check beyond every sample once; it has two batches at least, however large they are."""
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
    """

    key: str
    failure: Failure
    batch_size: int
    samples: tuple[int, ...]
    precision: DType


def numeric_keys(subject: Subject, batch_size: int) -> dict[str, int]:
    """Return the clients of each numeric row of a batch size, by its key: one alone, and as many as are timed."""
    job = subject.session.job
    if job.asked is not Asked.FORWARD:
        return {subject.key("numeric", batch_size): 1}
    timed = job.scenarios if Check.PERFORMANCE in job.checks else ()
    clients = sorted({1, *(scenario.plan(1, Seeds()).clients for scenario in timed)})
    return {
        subject.key("numeric" if count == 1 else f"numeric/clients={count}", batch_size): count for count in clients
    }


def numeric_row(
    subject: Subject, bench: Workbench, key: str, *, batch_size: int, references: References, right: RightOutputs
) -> tuple[Row, Mismatch | None]:
    """Compare outputs with the reference's, by as many clients as the row says.

    Every sample is asked for in order, with padding at the end, and then in full batches of other neighbours in other
    orders, so that answers that depend on the batch, or belong to another one, do not pass.

    Returns:
        The row; and what failed, if it did.

    Raises:
        BenchmarkError: If there are no whole outputs to compare.
    """
    clients = numeric_keys(subject, batch_size)[key]
    compilation = bench.compile(batch_size)
    asked = _asked(subject, right.count, batch_size, clients, compilation.info)
    plan = Plan(batch=np.arange(len(asked), dtype=np.int64), clients=clients, warmup=Warmup(max_queries=0))
    recording = bench.issue(Series(plan=plan, batches=asked, keep=True, step="numeric"))
    if recording.failures:
        raise error_of(recording.failures[0])
    state = _compared(subject, right, compilation.info.precision, recording.answers, asked)
    result, own = state.compute(), dict[str, float]()
    if _may_be_the_reference(result):
        bench.close()  # the reference is to have the memory for itself
        with contextlib.closing(references):
            own = dict(references.own_errors())
        result = state.compute(least={name: MARGIN * error for name, error in own.items()})
    row = _row(subject, key, result, asked, devices=compilation.info.devices, note=_about(own))
    error = result.error()
    if error is None:
        return row, None
    mismatch = Mismatch(
        key=key,
        failure=failure_of(error, step=key),
        batch_size=batch_size,
        samples=_worst(subject, right, recording.answers, asked),
        precision=compilation.info.precision,
    )
    return row, mismatch


def _asked(subject: Subject, count: int, batch_size: int, clients: int, info: CompileInfo) -> BatchSet:
    spec = subject.original.spec
    each = max(1, batch_size * bytes_per_sample(info.inputs or spec.inputs))
    needed = math.ceil((count + (batch_size > 1)) / batch_size)
    queries = max(needed, 2, min(2 * clients, MOST_BYTES // each))
    order = sample_order(count, batch_size, queries, seed=subject.session.job.seed)
    return batches(subject.data.loader, spec.inputs, order, batch_size=batch_size, engine_inputs=info.inputs)


def sample_order(count: int, batch_size: int, queries: int, *, seed: int) -> NDArray[np.int64]:
    """Return which samples fill some queries: first all in order, then again and again in orders drawn by a seed.

    The last query of several samples lacks one, so that padding is seen; int64[queries * batch_size or one less].

    Example:
        >>> sample_order(3, 2, 2, seed=0)[:3].tolist()
        [0, 1, 2]
    """
    rng = np.random.default_rng(seed)
    wanted = queries * batch_size - (batch_size > 1)
    rounds = math.ceil(wanted / count)
    orders = [np.arange(count), *(rng.permutation(count) for _ in range(rounds - 1))]
    return np.concatenate(orders)[:wanted].astype(np.int64)


def _compared(
    subject: Subject, right: RightOutputs, precision: DType, answers: Answers, asked: BatchSet
) -> NumericState:
    state = NumericState(
        specs=right.specs,
        precision=precision,
        independent=right.reference.independent,
        reference_name=right.reference.name,
        tolerance=subject.session.job.acceptance.tolerance,
    )
    for query in range(len(asked)):
        outputs, samples = _answer(subject, answers, asked, query)
        state.update(right.seen(outputs, samples), right.of(samples), right.valid(samples))
    return state


def _answer(
    subject: Subject, answers: Answers, asked: BatchSet, query: int
) -> tuple[dict[str, Array], NDArray[np.int64]]:
    """Return the answer to one query without its padding, and which samples it is about."""
    specs, samples = subject.original.spec.outputs, asked.samples[query]
    answer = answers.get(query, {})  # one without any output is not kept
    check_answer(answer, specs, asked.size)
    samples = samples[samples >= 0]
    return over_batch(answer, specs, asked.size, len(samples)), samples


def _may_be_the_reference(result: NumericResult) -> bool:
    """Whether it failed by the size of differences alone, which an ill-conditioned model explains."""
    return result.passed is False and not any(each.non_finite.unmatched for each in result.outputs.values())


def _worst(subject: Subject, right: RightOutputs, answers: Answers, asked: BatchSet) -> tuple[int, ...]:
    """Return the samples of the query whose answer lies farthest from the reference, the worst first."""
    found = [_answer(subject, answers, asked, query) for query in range(len(asked))]
    outputs, samples = max(found, key=lambda each: _distance(right, *each))
    specs = subject.original.spec.outputs
    sizes = []
    for index in range(len(samples)):
        alone = {spec.name: _sample(outputs[spec.name], spec, len(samples), index) for spec in specs}
        sizes.append(_distance(right, alone, samples[index : index + 1]))
    ordered = samples[np.argsort(-np.array(sizes), kind="stable")]
    return tuple(int(each) for each in np.resize(ordered, asked.size))


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
    subject: Subject, key: str, result: NumericResult, asked: BatchSet, *, devices: tuple[str, ...], note: str
) -> Row:
    clients = numeric_keys(subject, asked.size)[key]
    out = subject.session.request.out
    if out is not None:
        write_differences(out / differences_path(key), result.outputs)
    files = () if out is None else (differences_path(key),)
    return Row(
        kind=RowKind.NUMERIC,
        key=key,
        metrics=result.metrics,
        batch_size=asked.size,
        labels={**subject.labels(asked.size), "clients": clients, "queries": len(asked)},
        precision=result.precision,
        devices=devices,
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
