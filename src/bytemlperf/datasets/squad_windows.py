"""Tokens of questions and passages, and the windows in which a model reads them.

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
from bytemlperf.errors import DatasetError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tokenizers import Tokenizer

_AT_ONCE: Final = 512
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
class Texts:
    """Tokens of many texts in two flat arrays.

    Attributes:
        ids: int32[tokens].
        spans: int32[tokens, 2], first and last + 1 character in their own text.
        starts: int64[texts + 1], where each text's tokens begin.
    """

    ids: NDArray[np.int32]
    spans: NDArray[np.int32]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, tokenizer: Tokenizer, texts: Sequence[str]) -> Texts:
        """Tokenize texts, without special tokens, on all processors."""
        ids: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
        spans: list[NDArray[np.int32]] = [np.empty((0, 2), np.int32)]
        lengths: list[int] = [0]
        for start in range(0, len(texts), _AT_ONCE):
            for encoding in tokenizer.encode_batch(list(texts[start : start + _AT_ONCE]), add_special_tokens=False):
                ids.append(np.array(encoding.ids, np.int32))
                spans.append(np.array(encoding.offsets, np.int32).reshape(-1, 2))
                lengths.append(len(encoding.ids))
        return cls(ids=np.concatenate(ids), spans=np.concatenate(spans), starts=np.cumsum(lengths))

    def of_text(self, number: int) -> slice:
        """Return where the tokens of a text lie."""
        return slice(int(self.starts[number]), int(self.starts[number + 1]))


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
            room: int64[questions], tokens of the passage that a window of each question holds.
            tokens: int64[questions], tokens of each question's passage.
            doc_stride: Tokens from one window to the next.

        Raises:
            SpecError: If a question leaves no room for its passage.
        """
        if room.size and room.min() < 1:
            raise SpecError(
                "a question leaves no room for its passage", got=int(room.argmin()), expected="longer samples"
            )
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
        own = window - int(self.first[question])
        others = slice(int(self.first[question]), int(self.first[question + 1]))
        starts, lengths = self.start[others, np.newaxis], self.length[others, np.newaxis]
        positions = self.start[window] + np.arange(self.length[window])
        left, right = positions - starts, starts + lengths - 1 - positions
        context = np.where((left >= 0) & (right >= 0), np.minimum(left, right) + _LONGER * lengths, -1.0)
        most: NDArray[np.bool_] = context.argmax(axis=0) == own
        return most


def rows_of(
    frame: Frame, questions: Sequence[NDArray[np.int32]], passages: Sequence[NDArray[np.int32]], *, seq_len: int
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], int]]:
    """Yield ids and types, int32[seq_len], and the number of tokens that are no padding, of each window."""
    for question, passage in zip(questions, passages, strict=True):
        ids, types = np.full(seq_len, frame.padding, np.int32), np.zeros(seq_len, np.int32)
        texts = [np.asarray(part, np.int32) for part in (frame.before, question, frame.between, passage, frame.after)]
        end = 0
        for part, kind in zip(texts, frame.types, strict=True):
            ids[end : end + len(part)] = part
            types[end : end + len(part)] = kind[0] if kind else 0
            end += len(part)
        yield ids, types, end
