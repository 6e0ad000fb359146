"""The windows in which a model reads questions and passages, and what stands around these.

Source: the windows are those of BERT's `run_squad.py`: `doc_stride` tokens from one to the next, and an answer begins
    in the window that has most context around its token.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.tokenizing import token_id
from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_LONGER: Final = 0.01
"""What a token of a window's length adds to the context of its positions."""


@attrs.frozen(kw_only=True, eq=False)
class Frame:
    """What stands around and between two texts.

    Attributes:
        before: Ids before the first text.
        between: Ids between both.
        after: Ids after the second.
        types: Of the five parts: before, first text, between, second text, after; one for each token of a part.
        padding: Id that fills up.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    types: tuple[tuple[int, ...], ...]
    padding: int

    @property
    def size(self) -> int:
        """Tokens that are no text."""
        return len(self.before) + len(self.between) + len(self.after)

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Frame:
        """Read it off what a tokenizer makes of two words.

        Raises:
            DatasetError: If the tokenizer does not tell two texts apart, or has no token that fills up.
        """
        encoding = tokenizer.encode("a", "b")
        parts = np.array([-1 if each is None else each for each in encoding.sequence_ids])
        first, second = np.flatnonzero(parts == 0), np.flatnonzero(parts == 1)
        if not len(first) or not len(second) or first[-1] > second[0]:
            raise DatasetError("the tokenizer does not tell two texts apart", got=encoding.tokens)
        cuts = [0, first[0], first[-1] + 1, second[0], second[-1] + 1, len(parts)]
        ids, types = (
            [tuple(values[low:high]) for low, high in pairwise(cuts)] for values in (encoding.ids, encoding.type_ids)
        )
        padding = token_id(tokenizer, "[PAD]", "<pad>")
        return cls(before=ids[0], between=ids[2], after=ids[4], types=tuple(types), padding=padding)


@attrs.frozen(kw_only=True, eq=False)
class Windows:
    """Which tokens of which passage each window has, and how many windows each question.

    Attributes:
        question: int32[windows].
        start: int32[windows], first token in its passage.
        length: int32[windows], tokens of the passage.
        first: int64[questions + 1], number of each question's first window.
    """

    question: NDArray[np.int32]
    start: NDArray[np.int32]
    length: NDArray[np.int32]
    first: NDArray[np.int64]

    @classmethod
    def of(cls, room: NDArray[np.int64], tokens: NDArray[np.int64], *, doc_stride: int) -> Windows:
        """Cut passages into windows.

        Args:
            room: int64[questions], tokens of the passage that a window of each question holds, at least 1.
            tokens: int64[questions], tokens of each question's passage.
            doc_stride: Tokens from one window to the next.
        """
        step = np.minimum(room, doc_stride)
        counts = 1 + np.maximum(0, -(-(tokens - room) // step))
        first = np.concatenate([[0], np.cumsum(counts)])
        question = np.repeat(np.arange(len(room)), counts)
        start = (np.arange(first[-1]) - first[question]) * step[question]
        length = np.minimum(room[question], tokens[question] - start)
        return cls(
            question=question.astype(np.int32),
            start=start.astype(np.int32),
            length=length.astype(np.int32),
            first=first,
        )

    def most_context(self, window: int) -> NDArray[np.bool_]:
        """Return bool[length], the tokens of a window that have more context in it than in every other."""
        question = int(self.question[window])
        first, last = int(self.first[question]), int(self.first[question + 1])
        return most_context(self.start[first:last], self.length[first:last], own=window - first)


def most_context(starts: NDArray[np.int32], lengths: NDArray[np.int32], *, own: int) -> NDArray[np.bool_]:
    """Return which tokens of one of a question's windows have more context in it than in every other, bool[length].

    Args:
        starts: int32[windows], first token in the passage.
        lengths: int32[windows], tokens of the passage.
        own: Number of the window among them.
    """
    positions = starts[own] + np.arange(lengths[own])
    left = positions - starts[:, np.newaxis]
    right = (starts + lengths - 1)[:, np.newaxis] - positions
    context = np.where((left >= 0) & (right >= 0), np.minimum(left, right) + _LONGER * lengths[:, np.newaxis], -1.0)
    most: NDArray[np.bool_] = context.argmax(axis=0) == own
    return most
