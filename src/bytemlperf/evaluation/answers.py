"""From answers by query to arrays over samples, padding taken off and shapes checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bytemlperf.datasets.axes import join_samples, split_samples
from bytemlperf.errors import MalformedOutputError
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.sample import Array, BatchSet
from bytemlperf.scenarios import Plan, Warmup
from bytemlperf.spec import TensorSpec
from bytemlperf.worker import Answers, Recording, Series


def ask_once(bench: Workbench, batches: BatchSet, *, step: str) -> Recording:
    """Ask for every batch once, in order, by one client, without warm-up, and keep the answers.

    Raises:
        BenchmarkError: If the model cannot be compiled at that batch size.
    """
    plan = Plan(batch=np.arange(len(batches), dtype=np.int64), warmup=Warmup(max_queries=0))
    return bench.issue(Series(plan=plan, batches=batches, keep=True, step=step))


def over_samples(answers: Answers, batches: BatchSet, outputs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """Join the answers of `ask_once` into one array an output.

    Args:
        answers: By query, which is by batch.
        batches: What was asked.
        outputs: What the model gives. An output without a batch axis is taken from the first answer.

    Returns:
        Each output at the number of samples that count, in the model's own order of axes.

    Raises:
        MalformedOutputError: If an answer is missing, or has other names or shapes than the model.
    """
    parts: dict[str, list[Array]] = {tensor.name: [] for tensor in outputs}
    for index in range(len(batches)):
        if index not in answers:
            raise MalformedOutputError("a query has no answer", got=f"query {index}", expected="an answer to each")
        answer = answers[index]
        check_answer(answer, outputs, batches.size)
        kept = batches.size - int(batches.padding[index])
        for tensor in outputs:
            parts[tensor.name].append(_rows(answer[tensor.name], tensor, batches.size, kept))
    return {tensor.name: _joined(parts[tensor.name], tensor) for tensor in outputs}


def check_answer(answer: Mapping[str, Array], outputs: tuple[TensorSpec, ...], size: int) -> None:
    """Hold one answer's names and shapes against the model's outputs at a batch size.

    Raises:
        MalformedOutputError: Naming the output, what came and what was expected.
    """
    wanted = {tensor.name: tensor.sized(size) for tensor in outputs}
    if set(answer) != set(wanted):
        raise MalformedOutputError(
            "the outputs' names are not the model's", got=sorted(answer), expected=str(sorted(wanted))
        )
    for name, shape in wanted.items():
        if answer[name].shape != shape:
            error = MalformedOutputError(
                f"output {name!r} has the wrong shape", got=answer[name].shape, expected=str(shape)
            )
            error.tensor = name
            raise error


def _rows(array: Array, tensor: TensorSpec, size: int, kept: int) -> Array:
    if tensor.batch_axis is None:
        return array
    return split_samples(array, tensor, samples=size)[:kept]


def _joined(parts: Sequence[Array], tensor: TensorSpec) -> Array:
    if tensor.batch_axis is None:
        return parts[0]
    return join_samples(np.concatenate(parts), tensor)
