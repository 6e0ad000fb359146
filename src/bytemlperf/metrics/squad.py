"""Exact match and F1 of SQuAD 1.1, for each question."""

from __future__ import annotations

from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.labels import QuestionWindow
from bytemlperf.errors import DatasetError, MalformedOutputError
from bytemlperf.metrics.estimate import Estimate, Metrics, joined
from bytemlperf.metrics.pairs import numbers
from bytemlperf.metrics.shares import mean_score
from bytemlperf.metrics.squad_answers import answer_text, best_spans, exact_match, f1_score
from bytemlperf.metrics.units import Mean, Units

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from bytemlperf.sample import Array

N_BEST: Final = 20
"""Candidates for the first and for the last token of an answer, as in BERT's evaluation."""
LONGEST: Final = 30
"""Tokens of the longest answer, as in BERT's evaluation."""
_FINAL: Final = "of the answer with the largest sum of logits over all windows of a question; mean over questions"
_DEFINITIONS: Final = {
    "em": f"SQuAD 1.1 exact match, in percent, {_FINAL}; binomial interval",
    "f1": f"SQuAD 1.1 F1 of words, in percent, {_FINAL}; Student's interval",
}
_BYTEMLPERF: Final = (
    "ByteMLPerf's formula, for comparison only: the sum over questions is divided by the number of samples (windows), "
    "not of questions, and rounded to 5 decimals; its own figure depends on the batch size besides, for it masks each "
    "sample by every other of its batch, which is not done here"
)


@attrs.frozen(kw_only=True)
class WindowAnswer:
    """The best answer of one window.

    Attributes:
        question_id: Of its question.
        score: Sum of its logits; -inf where there is none.
        text: The answer.
        answers: The right ones.
        windows: How many windows the question has.
    """

    question_id: str
    score: float
    text: str
    answers: tuple[str, ...]
    windows: int


@attrs.frozen(kw_only=True, eq=False)
class QuestionScores:
    """Scores of final answers, one for each question.

    Attributes:
        question: int64[n], digests of the questions' ids.
        exact: bool[n], exact match.
        f1: float64[n], 0 to 1.
    """

    question: NDArray[np.int64]
    exact: NDArray[np.bool_]
    f1: NDArray[np.float64]

    @classmethod
    def of(cls, answers: Collection[WindowAnswer]) -> QuestionScores:
        """Score final answers."""
        exact = [exact_match(each.text, each.answers) for each in answers]
        f1 = [f1_score(each.text, each.answers) for each in answers]
        question = [_digest(each.question_id) for each in answers]
        return cls(question=np.array(question, np.int64), exact=np.array(exact, np.bool_), f1=np.array(f1, np.float64))


@attrs.frozen(kw_only=True)
class SquadState:
    """Answers so far: 17 bytes for each question whose windows have all been answered.

    Attributes:
        parts: Answers to windows of questions of which other windows are still to come.
        scores: Of the other questions, as they were finished.
        samples: Windows of these.
        with_nan: Windows with a NaN among their logits.
    """

    parts: tuple[tuple[WindowAnswer, ...], ...] = ()
    scores: tuple[QuestionScores, ...] = ()
    samples: int = 0
    with_nan: int = 0

    def with_more(self, answers: Iterable[WindowAnswer], *, with_nan: int) -> SquadState:
        """Return the state after more answers; a question that has all of its windows now is scored."""
        by_question: dict[str, list[WindowAnswer]] = {}
        for answer in chain(*self.parts, answers):
            by_question.setdefault(answer.question_id, []).append(answer)
        whole = [each for each in by_question.values() if len(each) >= each[0].windows]
        final = [answer for each in whole for answer in final_answers(each).values()]
        return SquadState(
            parts=tuple(tuple(each) for each in by_question.values() if len(each) < each[0].windows),
            scores=(*self.scores, QuestionScores.of(final)),
            samples=self.samples + sum(map(len, whole)),
            with_nan=self.with_nan + with_nan,
        )


class Squad:
    """Exact match and F1 of the final answer to each question, in percent, by SQuAD 1.1's own rules.

    A question whose passage is long has several windows, each a sample; its final answer is the best of all of them.
    Labels are `QuestionWindow`s. A NaN among logits is never chosen, and is noted.

    Attributes:
        name: `squad`.
        higher_is_better: True.
        figures: Both are means over questions.
        n_best: Candidates for either end of an answer.
        longest: Tokens of the longest answer.
    """

    figures: ClassVar[Mapping[str, Mean]] = {
        "accuracy/em": Mean(column=0, scale=100.0, ends=(0.0, 1.0)),
        "accuracy/f1": Mean(column=1, scale=100.0, ends=(0.0, 1.0)),
    }

    def __init__(self, *, n_best: int = N_BEST, longest: int = LONGEST) -> None:
        """Say how answers are chosen."""
        self.name = "squad"
        self.higher_is_better = True
        self.n_best = n_best
        self.longest = longest

    def initial(self) -> SquadState:
        """Return the state before the first sample."""
        return SquadState()

    def update(self, state: SquadState, outputs: Mapping[str, Array], labels: Array) -> SquadState:
        """Return the state after more windows.

        Args:
            state: From `initial` or `update`.
            outputs: `start_logits` and `end_logits` [n, seq_len]; or `logits` [n, seq_len, 2].
            labels: `QuestionWindow`s [n].

        Raises:
            MalformedOutputError: If there are no such outputs.
            DatasetError: If labels are none of questions.
        """
        windows = _windows(labels)
        if not windows:
            return state
        start, end = _logits(outputs, (len(windows), len(windows[0].spans)))
        spans = best_spans(start, end, windows, n_best=self.n_best, longest=self.longest)
        found = zip(windows, spans.start.tolist(), spans.end.tolist(), spans.score.tolist(), strict=True)
        nan = int((np.isnan(start) | np.isnan(end)).any(axis=1).sum())
        return state.with_more(
            (_answer(window, first, last, score) for window, first, last, score in found), with_nan=nan
        )

    def compute(self, state: SquadState) -> Metrics:
        """Return `accuracy/em` and `accuracy/f1` in percent, and both by ByteMLPerf's formula (`.bytemlperf`)."""
        answers = [answer for part in state.parts for answer in part]
        final = final_answers(answers)
        parts = (*state.scores, QuestionScores.of(final.values()))
        scores = {
            "em": np.concatenate([each.exact for each in parts]).astype(np.float64),
            "f1": np.concatenate([each.f1 for each in parts]),
        }
        note, samples = joined(_nan_note(state.with_nan), _missing_note(answers, final)), state.samples + len(answers)
        figures = {f"accuracy/{name}": mean_score(scores[name], _DEFINITIONS[name]).noted(note) for name in scores}
        theirs = {f"accuracy/{name}.bytemlperf": _as_bytemlperf(scores[name], samples) for name in scores}
        return Metrics({**figures, **theirs})

    def units(self, state: SquadState) -> Units:
        """Return exact match and F1 of each question whose windows were all asked, 0 to 1, by a digest of its id."""
        parts = (QuestionScores.of(()), *state.scores)
        scores = [np.concatenate([getattr(each, name) for each in parts]) for name in ("exact", "f1")]
        ids = np.concatenate([each.question for each in parts])
        return Units(ids=ids, values=np.stack(scores, axis=1), noun="questions")


def final_answers(answers: Sequence[WindowAnswer]) -> dict[str, WindowAnswer]:
    """Return the best of all windows for each question, the first of equals, in the order of the questions."""
    final: dict[str, WindowAnswer] = {}
    for answer in answers:
        best = final.get(answer.question_id)
        if best is None or answer.score > best.score:
            final[answer.question_id] = answer
    return final


def _digest(question_id: str) -> int:
    return int.from_bytes(blake2b(question_id.encode(), digest_size=8).digest(), "little", signed=True)


def _answer(window: QuestionWindow, start: int, end: int, score: float) -> WindowAnswer:
    return WindowAnswer(
        question_id=window.question_id,
        score=score,
        text=answer_text(window, start, end) if score > float("-inf") else "",
        answers=window.answers,
        windows=window.windows,
    )


def _windows(labels: Array) -> list[QuestionWindow]:
    windows = np.asarray(labels, object).ravel().tolist()
    wrong = [each for each in windows if not isinstance(each, QuestionWindow)]
    if wrong:
        raise DatasetError("a label is no question", got=wrong[0], expected="a QuestionWindow for each sample")
    return windows


def _logits(outputs: Mapping[str, Array], shape: tuple[int, int]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    if {"start_logits", "end_logits"} <= set(outputs):
        pair = tuple(
            numbers(outputs[f"{end}_logits"], name=end, kind=MalformedOutputError, whose="output")
            for end in ("start", "end")
        )
    elif "logits" in outputs or len(outputs) == 1:
        both = numbers(
            outputs.get("logits", next(iter(outputs.values()))),
            name="logits",
            kind=MalformedOutputError,
            whose="output",
        )
        pair = (both[..., 0], both[..., 1]) if both.ndim == 3 and both.shape[2] == 2 else (both, both)  # noqa: PLR2004 - samples, tokens, two ends
    else:
        raise MalformedOutputError(
            "the answer has no logits of spans", got=sorted(outputs), expected="'start_logits' and 'end_logits'"
        )
    if any(each.shape != shape for each in pair):
        got, expected = [each.shape for each in pair], f"{list(shape)} each, or {[*shape, 2]} for both"
        raise MalformedOutputError("logits of spans have the wrong shape", got=got, expected=expected)
    return pair[0], pair[1]


def _as_bytemlperf(scores: NDArray[np.float64], samples: int) -> Estimate:
    value = round(100.0 * float(scores.sum()) / samples, 5) if samples else None
    return Estimate(value=value, unit="%", n=samples, definition=_BYTEMLPERF, note="" if samples else "no samples")


def _nan_note(count: int) -> str:
    return f"{count} samples have NaN among their logits" if count else ""


def _missing_note(answers: Sequence[WindowAnswer], final: Mapping[str, WindowAnswer]) -> str:
    seen = dict.fromkeys(final, 0)
    for answer in answers:
        seen[answer.question_id] += 1
    partly = sum(seen[name] < answer.windows for name, answer in final.items())
    return f"{partly} questions were asked in a part of their windows only" if partly else ""
