"""Texts of answers: how SQuAD 1.1 compares them, and how they are read off a model's logits.

Source: P. Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text, EMNLP 2016, and its official
    evaluation of version 1.1; the choice of a span is that of BERT's `run_squad.py` (n-best, maximum context).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bytemlperf.datasets.labels import QuestionWindow

_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION: Final = {ord(each): None for each in string.punctuation}
_AT_ONCE: Final = 512


def normalised(text: str) -> str:
    """Return an answer as SQuAD compares it: lower case, without punctuation, articles and superfluous space.

    Example:
        >>> normalised("The  Eiffel Tower!")
        'eiffel tower'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(answer: str, truths: Sequence[str]) -> float:
    """Return 1.0 if a normalised answer is one of the normalised truths, else 0.0."""
    given = normalised(answer)
    return float(any(given == normalised(truth) for truth in truths))


def f1_score(answer: str, truths: Sequence[str]) -> float:
    """Return the largest F1 of an answer's words against a truth's, 0.0 to 1.0.

    Example:
        >>> f1_score("the big tower", ["tower", "castle"])
        0.6666666666666666
    """
    words = normalised(answer).split()
    return max((_f1(words, normalised(truth).split()) for truth in truths), default=0.0)


def _f1(given: list[str], wanted: list[str]) -> float:
    same = sum((Counter(given) & Counter(wanted)).values())
    if not same:
        return 0.0
    precision, recall = same / len(given), same / len(wanted)
    return 2 * precision * recall / (precision + recall)


@attrs.frozen(kw_only=True, eq=False)
class BestSpans:
    """The best answer in each window.

    Attributes:
        start: int64[n], position of its first token.
        end: int64[n], position of its last token.
        score: float64[n], sum of both logits; -inf where no span of a window may be an answer.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    score: NDArray[np.float64]


def best_spans(
    start: NDArray[np.floating],
    end: NDArray[np.floating],
    windows: Sequence[QuestionWindow],
    *,
    n_best: int,
    longest: int,
) -> BestSpans:
    """Choose the span with the largest sum of logits in each window.

    Each window is masked by its own tokens: only tokens of the passage count, and an answer begins only where the
    window has more context than every other of its question. Among the `n_best` likeliest first and last tokens, spans
    of at most `longest` tokens are taken; of equal ones the first. A NaN counts as -inf.

    Args:
        start: [n, seq_len], logits of first tokens.
        end: [n, seq_len], logits of last tokens.
        windows: One for each row.
        n_best: Candidates for either end.
        longest: Tokens of an answer.
    """
    parts = [
        _best(start[rows], end[rows], windows[rows], n_best=n_best, longest=longest)
        for rows in (slice(first, first + _AT_ONCE) for first in range(0, len(windows), _AT_ONCE))
    ]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("start", "end", "score")}
    return BestSpans(**joined)


def _best(
    start: NDArray[np.floating],
    end: NDArray[np.floating],
    windows: Sequence[QuestionWindow],
    *,
    n_best: int,
    longest: int,
) -> BestSpans:
    passage = np.stack([each.spans[:, 0] for each in windows]) >= 0
    may_start = passage & np.stack([each.may_start for each in windows])
    first, first_score = _likeliest(start, may_start, n_best)
    last, last_score = _likeliest(end, passage, n_best)
    length = last[:, np.newaxis, :] - first[:, :, np.newaxis] + 1
    scores = first_score[:, :, np.newaxis] + last_score[:, np.newaxis, :]
    scores = np.where((length >= 1) & (length <= longest), scores, -np.inf).reshape(len(windows), -1)
    chosen, rows = scores.argmax(axis=1), np.arange(len(windows))
    return BestSpans(
        start=first[rows, chosen // last.shape[1]],
        end=last[rows, chosen % last.shape[1]],
        score=scores[rows, chosen],
    )


def _likeliest(
    logits: NDArray[np.floating], allowed: NDArray[np.bool_], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return positions in ascending order, [n, count], and their logits, -inf where a position is not allowed."""
    values = np.where(allowed & ~np.isnan(logits), logits.astype(np.float64), -np.inf)
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    kept = np.sort(order, axis=1).astype(np.int64)
    return kept, np.take_along_axis(values, kept, axis=1)


def answer_text(window: QuestionWindow, start: int, end: int) -> str:
    """Return the passage's text from one token to another, both included."""
    return window.passage[window.spans[start, 0] : window.spans[end, 1]]
