"""From answers by query to arrays over samples, padding taken off and shapes checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from bytemlperf.datasets.axes import join_samples, split_samples
from bytemlperf.datasets.casting import numpy_dtype
from bytemlperf.errors import MalformedOutputError
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.failure import error_of
from bytemlperf.sample import Array, BatchSet
from bytemlperf.scenarios import Plan, Warmup
from bytemlperf.spec import DType, TensorSpec
from bytemlperf.worker import Answers, Recording, Series

_BYTES: Final = {DType.FLOAT64: 8, DType.FLOAT32: 4, DType.FLOAT16: 2, DType.BFLOAT16: 2}
"""Of the floating-point types that numpy has, or that come wider."""


def ask_once(
    bench: Workbench,
    batches: BatchSet,
    *,
    step: str,
    clients: int = 1,
    replica: int | None = None,
    phased: bool = False,
) -> Recording:
    """Ask for every batch once, without warm-up, and keep the answers.

    Args:
        bench: Where.
        batches: What is asked.
        step: Name for failures.
        clients: Of which each asks for an equal share, in order; no more than there are batches.
        replica: The only one of several replicas that is asked; None for whichever is free.
        phased: Ask by the backend's phases in the place of predict.

    Raises:
        BenchmarkError: If the model cannot be compiled at that batch size.
    """
    order = np.arange(len(batches), dtype=np.int64)
    plan = Plan(batch=order, clients=max(1, min(clients, len(batches))), warmup=Warmup(max_queries=0))
    return bench.issue(Series(plan=plan, batches=batches, keep=True, replica=replica, phased=phased, step=step))


def ask_together(
    bench: Workbench, queries: BatchSet, *, step: str, clients: int = 1, chunks_per_query: int = 4
) -> Answers:
    """Ask each of some queries of one sample once, several under way at a time, and return the whole answers.

    Args:
        bench: Where.
        queries: What is asked, each in its own way.
        step: Name for failures.
        clients: Queries under way at a time, where the backend takes so many.
        chunks_per_query: As of a `Series`.

    Raises:
        BenchmarkError: If the model cannot be compiled, or a query failed.
    """
    most = bench.compile(1).info.max_in_flight
    order = np.arange(len(queries), dtype=np.int64)
    plan = Plan(batch=order, clients=min(clients, most or clients, len(order)), warmup=Warmup(max_queries=0))
    recording = bench.issue(
        Series(plan=plan, batches=queries, sampled=order, chunks_per_query=chunks_per_query, step=step)
    )
    if recording.failures:
        raise error_of(recording.failures[0])
    return recording.answers


def over_samples(
    answers: Answers, batches: BatchSet, outputs: tuple[TensorSpec, ...], *, precision: DType | None = None
) -> dict[str, Array]:
    """Join the answers of `ask_once` into one array an output.

    Args:
        answers: By query, which is by batch.
        batches: What was asked.
        outputs: What the model gives. An output without a batch axis is taken from the first answer.
        precision: What the backend says that it computes in, as `check_answer` takes it.

    Returns:
        Each output at the number of samples that count, in the model's own order of axes.

    Raises:
        MalformedOutputError: If an answer has other names, shapes or kinds of numbers than the model.
    """
    parts: dict[str, list[Array]] = {tensor.name: [] for tensor in outputs}
    for index in range(len(batches)):
        answer = answers.get(index, {})  # one without any output is not kept
        check_answer(answer, outputs, batches.size, precision=precision)
        kept = batches.size - int(batches.padding[index])
        for tensor in outputs:
            parts[tensor.name].append(_rows(answer[tensor.name], tensor, batches.size, kept))
    return {tensor.name: _joined(parts[tensor.name], tensor) for tensor in outputs}


def over_batch(answer: Mapping[str, Array], outputs: tuple[TensorSpec, ...], size: int, kept: int) -> dict[str, Array]:
    """Take the padding off one checked answer: each output at `kept` samples, in the model's own order of axes.

    Args:
        answer: To a batch of `size` samples, of which the first `kept` count.
        outputs: What the model gives. An output without a batch axis stays as it is.
        size: Samples in the batch, padding included.
        kept: Samples that count.
    """
    return {tensor.name: _joined([_rows(answer[tensor.name], tensor, size, kept)], tensor) for tensor in outputs}


def check_answer(
    answer: Mapping[str, Array], outputs: tuple[TensorSpec, ...], size: int, *, precision: DType | None = None
) -> None:
    """Hold one answer's names, shapes and kinds of numbers against the model's outputs at a batch size.

    Args:
        answer: By name.
        outputs: What the model gives.
        size: Samples in the batch, padding included.
        precision: What the backend says that it computes in; its floats may not be narrower. None asks for nothing.

    Raises:
        MalformedOutputError: Naming the output, what came and what was expected.
    """
    _check_names(answer, outputs)
    for tensor in outputs:
        array, shape, kinds = answer[tensor.name], tensor.sized(size), _kinds(tensor.dtype)
        if array.shape != shape:
            raise _malformed(tensor.name, "the wrong shape", got=array.shape, expected=str(shape))
        if array.dtype.kind not in kinds:
            raise _malformed(
                tensor.name, "numbers of another kind", got=str(array.dtype), expected=f"as {tensor.dtype}"
            )
        if array.dtype.itemsize < _least_bytes(tensor.dtype, precision):
            expected = f"{tensor.dtype}, as the backend says that it computes in {precision}"
            raise _malformed(tensor.name, "a narrower type", got=str(array.dtype), expected=expected)


def _check_names(answer: Mapping[str, Array], outputs: tuple[TensorSpec, ...]) -> None:
    wanted = sorted(tensor.name for tensor in outputs)
    if sorted(answer) == wanted:
        return
    error = MalformedOutputError("the outputs' names are not the model's", got=sorted(answer), expected=str(wanted))
    wrong = [name for name in wanted if name not in answer] or [name for name in answer if name not in wanted]
    error.tensor = wrong[0]
    raise error


def _least_bytes(dtype: DType, precision: DType | None) -> int:
    """Return how many bytes a number must have: those of its type, or of a floating-point precision below it."""
    if precision is None or not (dtype.is_float and precision.is_float):
        return 0
    return min(_BYTES.get(dtype, 0), _BYTES.get(precision, 0))


def answer_bytes(outputs: Sequence[TensorSpec], size: int) -> int:
    """Return what an answer to a batch of `size` samples takes."""
    return sum(math.prod(spec.sized(size)) * numpy_dtype(spec.dtype).itemsize for spec in outputs)


def _kinds(dtype: DType) -> str:
    """Return numpy's letters for what may stand for a type: an engine may answer narrower, not something else."""
    if dtype.is_float:
        return "f"
    return "biu" if dtype is DType.BOOL else "iu"


def _malformed(name: str, what: str, *, got: object, expected: str) -> MalformedOutputError:
    error = MalformedOutputError(f"output {name!r} has {what}", got=got, expected=expected)
    error.tensor = name
    return error


def _rows(array: Array, tensor: TensorSpec, size: int, kept: int) -> Array:
    if tensor.batch_axis is None:
        return array
    return split_samples(array, tensor, samples=size)[:kept]


def _joined(parts: Sequence[Array], tensor: TensorSpec) -> Array:
    if tensor.batch_axis is None:
        return parts[0]
    return join_samples(np.concatenate(parts), tensor)
