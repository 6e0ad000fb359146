"""What is generated or scored, against the reference's logits after the same tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.backends import CompileInfo
from bytemlperf.errors import NumericMismatchError, ResultError
from bytemlperf.evaluation.answers import ask_together
from bytemlperf.evaluation.scores import CLIENTS, scores_of
from bytemlperf.metrics import Estimate, NumericState, TokenDifferences, TokenState, compare
from bytemlperf.metrics.estimate import joined, merged
from bytemlperf.report import Row, RowKind
from bytemlperf.sample import Array, Batch, BatchSet, Generation, Score
from bytemlperf.spec import TensorSpec
from bytemlperf.worker import Answers
from bytemlperf.workload import Asked

if TYPE_CHECKING:
    from bytemlperf.evaluation.references import References
    from bytemlperf.evaluation.subject import Subject
    from bytemlperf.evaluation.workbench import Workbench

_LOGITS_RANK: Final = 3
"""Samples, positions, vocabulary."""


def why_not_compared(subject: Subject, references: References) -> str:
    """Return why tokens cannot be held against a reference; empty where they can, and then that is chosen.

    Raises:
        HarnessError: If nothing here can run a model of this format.
    """
    spec = subject.original.spec
    if subject.description.remote:
        return "what weights the server has is not known here"
    outputs = [each for each in spec.outputs if len(each.shape) == _LOGITS_RANK]
    if len(spec.inputs) != 1 or len(outputs) != len(spec.outputs) or len(outputs) != 1:
        return "the model's spec tells no logits [batch, length, vocabulary] of one input of tokens"
    _ = references.reference  # chosen now: what memory it may take is seen while no other model is there
    return ""


def token_row(subject: Subject, bench: Workbench, key: str, references: References) -> tuple[Row, ResultError | None]:
    """Compare what the job asks for with the reference; return the row, and what failed.

    Raises:
        BenchmarkError: If there is no whole answer to compare.
    """
    job, loader = subject.session.job, subject.data.loader
    numbers = range(min(job.numeric_samples, len(loader)))
    make = _scored if job.asked is Asked.SCORE else _generated
    return make(subject, bench, key, references, numbers)


def _scored(
    subject: Subject, bench: Workbench, key: str, references: References, numbers: Sequence[int]
) -> tuple[Row, ResultError | None]:
    info = bench.compile(1).info
    found = scores_of(subject, bench, numbers, step="numeric")["log_likelihood"]
    if references.reference.layers_at_a_time:
        bench.close()  # the reference is to have the memory for itself
    queries = subject.data.loader.scored(numbers)
    assert queries is not None, "looked at when the data were opened"
    right = _right_scores(queries, references)
    columns = found.shape[1]
    result = compare(
        {"log_likelihood": found},
        {"log_likelihood": right},
        specs=(TensorSpec(name="log_likelihood", shape=("batch", columns), dtype="float64"),),
        precision=info.precision,
        independent=references.reference.independent,
        reference_name=references.reference.name,
        tolerance=subject.session.job.acceptance.tolerance,
    )
    note = joined(f"reference: {result.reference_name}", *result.reasons)
    return _row(subject, info, key, metrics=result.metrics, passed=result.passed, note=note), result.error()


def _right_scores(queries: BatchSet, references: References) -> NDArray[np.float64]:
    """Return the log-likelihoods that some scores ask for by the reference's logits, float64 [queries, columns]."""
    asked = [queries.batch(query) for query in range(len(queries))]
    rows = [row for batch in asked for row in _rows(batch)]
    logits = references.logits(rows)
    return np.stack([_reduced(batch, logits) for batch in asked])


def _rows(batch: Batch) -> list[NDArray[np.int64]]:
    """Return the text, then the text with each continuation of several tokens, whose last one nothing follows."""
    ask, tokens = _score_of(batch), batch.inputs["tokens"][0].astype(np.int64)
    longer = [np.array(each[:-1], np.int64) for each in ask.continuations if len(each) > 1]
    return [tokens, *(np.concatenate([tokens, each]) for each in longer)]


def _reduced(batch: Batch, logits: Iterator[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Take as many logits as `_rows` has for a batch, and return its scores."""
    ask, tokens, whole = _score_of(batch), batch.inputs["tokens"][0], next(logits)
    found = [_likelihood(whole[first - 1 : end - 1], tokens[first:end]) for first, end in ask.spans]
    for each in ask.continuations:
        after = whole[-1:] if len(each) == 1 else next(logits)[len(tokens) - 1 :]
        found.append(_likelihood(after, np.array(each)))
    return np.array(found)


def _score_of(batch: Batch) -> Score:
    assert isinstance(batch.ask, Score), "the loader's contract"
    return batch.ask


def _likelihood(logits: NDArray[np.float64], tokens: NDArray[np.int64]) -> float:
    """Return the sum of the log-likelihoods of tokens by the logits [n, vocabulary] of their places."""
    largest = logits.max(axis=1, keepdims=True)
    normaliser = np.log(np.exp(logits - largest).sum(axis=1)) + largest[:, 0]
    return float((np.take_along_axis(logits, tokens[:, None], axis=1)[:, 0] - normaliser).sum())


def _generated(
    subject: Subject, bench: Workbench, key: str, references: References, numbers: Sequence[int]
) -> tuple[Row, ResultError | None]:
    info = bench.compile(1).info
    answers = _answers(subject, bench, len(numbers))
    bound = subject.session.job.acceptance.tolerance
    spec, reference = subject.original.spec.outputs[0], references.reference
    numeric = NumericState(
        specs=(attrs.evolve(spec, name="logits", shape=("batch", spec.shape[2])),),
        precision=info.precision,
        independent=reference.independent,
        reference_name=reference.name,
        tolerance=bound,
    )
    if reference.layers_at_a_time:
        bench.close()  # the reference is to have the memory for itself
    differences, told = TokenDifferences(precision=info.precision, tolerance=bound), TokenState()
    whole = True
    rows = [np.concatenate([each.prompt, each.tokens]) for each in answers]
    for each, right in zip(answers, references.logits(rows), strict=True):
        there, logits = right[len(each.prompt) - 1 : -1], each.logits
        told = differences.update(told, each.tokens, there, logits)
        if logits is not None:
            numeric.update({"logits": logits}, {"logits": there})
        whole = whole and logits is not None
    result = numeric.compute() if whole else None
    passed = differences.passed(told) if reference.independent else None
    error: ResultError | None = None if result is None else result.error()
    if error is None and passed is False:
        error = NumericMismatchError(
            f"tokens are not those of {reference.name}",
            got=f"{told.tokens - told.equal - told.ties} of {told.tokens}, the first after {told.first}",
            expected=f"each within {differences.tie:g} of the largest logit",
        )
    note = joined(
        f"reference: {reference.name}",
        "" if result is not None else "the backend gives no logits: tokens alone are compared",
        *([] if result is None else result.reasons),
        "" if error is None else str(error),
    )
    row = _row(
        subject,
        info,
        key,
        metrics=merged([differences.compute(told), {} if result is None else result.metrics]),
        passed=passed if result is None or passed is not True else result.passed,
        note=note,
    )
    return row, error


@attrs.frozen(eq=False)
class _Answer:
    """A greedy answer; its logits are read when they are looked at.

    Attributes:
        prompt: Its tokens.
        tokens: Of the answer.
    """

    prompt: NDArray[np.int64]
    tokens: NDArray[np.int64]
    _answers: Answers
    _query: int

    @property
    def logits(self) -> Array | None:
        """float32 [tokens, vocabulary]; None where not each token has them."""
        found = [part["logits"] for part in self._answers.parts(self._query) if "logits" in part]
        flat = [each.reshape(-1, each.shape[-1]) for each in found]
        return np.concatenate(flat) if flat and sum(map(len, flat)) == len(self.tokens) else None


def _answers(subject: Subject, bench: Workbench, count: int) -> list[_Answer]:
    """Ask greedily for tokens with their logits."""
    queries = subject.data.loader.queries(count)
    assert queries is not None, "prompts are queries of a form of their own"
    asks = tuple(_with_logits(queries.batch(query)) for query in range(len(queries)))
    asked = attrs.evolve(queries, asks=asks)
    longest = max(ask.max_new_tokens for ask in asks) + 2
    answers = ask_together(bench, asked, step="numeric", clients=CLIENTS, chunks_per_query=longest)
    return [
        _Answer(asked.batch(query).inputs["tokens"][0], _tokens(answers.parts(query)), answers, query)
        for query in range(len(asked))
    ]


def _with_logits(batch: Batch) -> Generation:
    assert isinstance(batch.ask, Generation), "prompts ask for tokens"
    return attrs.evolve(batch.ask, temperature=0.0, logits=True)


def _tokens(parts: Sequence[Mapping[str, Array]]) -> NDArray[np.int64]:
    found = [np.ravel(each["tokens"]) for each in parts if "tokens" in each]
    return np.concatenate([np.zeros(0, np.int64), *found]).astype(np.int64)


def _row(
    subject: Subject, info: CompileInfo, key: str, *, metrics: Mapping[str, Estimate], passed: bool | None, note: str
) -> Row:
    return Row(
        kind=RowKind.NUMERIC,
        key=key,
        metrics=metrics,
        batch_size=1,
        labels={**subject.labels(1), "asked": str(subject.session.job.asked)},
        precision=info.precision,
        devices=info.devices,
        passed=passed,
        note=note,
    )
