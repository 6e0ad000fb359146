"""Scores of a language model's samples, as the backend reduced them: asked, checked and joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from bytemlperf.errors import MalformedOutputError, UnsupportedAskError
from bytemlperf.evaluation.answers import ask_together
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.sample import Array, BatchSet, Score
from bytemlperf.worker import Answers

WAVE_SAMPLES: Final = 1024
"""Texts that are asked for in one series."""
CLIENTS: Final = 8
"""Queries under way at a time, where the backend takes so many."""
OUTPUTS: Final = ("greedy", "log_likelihood")


def scored_samples(
    subject: Subject, bench: Workbench, indices: Sequence[int], *, step: str
) -> Iterator[tuple[list[int], Mapping[str, Array], Array]]:
    """Yield the numbers of samples, their `log_likelihood` and `greedy` [n, columns], and their labels.

    Raises:
        BenchmarkError: If the model cannot be compiled, a query failed or an answer is no score.
    """
    for start in range(0, len(indices), WAVE_SAMPLES):
        numbers = [int(each) for each in indices[start : start + WAVE_SAMPLES]]
        labels = subject.data.loader.labels(numbers)
        assert labels is not None, "data without labels has no metrics"
        yield numbers, scores_of(subject, bench, numbers, step=step), labels


def scores_of(subject: Subject, bench: Workbench, numbers: Sequence[int], *, step: str) -> dict[str, Array]:
    """Ask how likely some samples are; return `log_likelihood` and `greedy`, [n, columns].

    Raises:
        BenchmarkError: As `scored_samples`.
    """
    queries = subject.data.loader.scored(numbers)
    assert queries is not None, "looked at when the data were opened"
    return joined_scores(ask_together(bench, queries, step=step, clients=CLIENTS), queries)


def joined_scores(answers: Answers, queries: BatchSet) -> dict[str, Array]:
    """Join the answers to queries that ask for the same number of scores each.

    Raises:
        UnsupportedAskError: If an answer has other outputs, as a backend gives that does not look at what is asked.
        MalformedOutputError: If an answer's shapes or kinds of numbers are not those of a score.
    """
    found = checked_scores(answers, queries)
    return {name: np.concatenate([each[name] for each in found]) for name in OUTPUTS}


def checked_scores(answers: Answers, queries: BatchSet) -> list[Mapping[str, Array]]:
    """Return the answer to each query: `log_likelihood` and `greedy`, [1, columns] each.

    Raises:
        UnsupportedAskError: As `joined_scores`.
        MalformedOutputError: As `joined_scores`.
    """
    found = []
    for query in range(len(queries)):
        ask = queries.batch(query).ask
        assert isinstance(ask, Score), "the loader's contract"
        found.append(_checked(answers.get(query, {}), len(ask.spans) + len(ask.continuations)))
    return found


def _checked(answer: Mapping[str, Array], columns: int) -> Mapping[str, Array]:
    if sorted(answer) != sorted(OUTPUTS):
        raise UnsupportedAskError(
            "the backend does not score",
            got=sorted(answer),
            expected=" and ".join(OUTPUTS),
            remedy="ask for outputs, or use a backend that answers `Score`, such as torch",
        )
    for name, kinds in zip(OUTPUTS, ("b", "f"), strict=True):
        if answer[name].shape != (1, columns) or answer[name].dtype.kind not in kinds:
            raise MalformedOutputError(
                f"output {name!r} is no score",
                got=f"{answer[name].dtype} {list(answer[name].shape)}",
                expected=f"{'bool' if kinds == 'b' else 'floats'} [1, {columns}]",
            )
    return answer
