"""Where the tokens of windows stand: in a sample's row, and in the files of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bytemlperf.datasets.squad_features import SquadFeatures
    from bytemlperf.datasets.squad_windows import Frame


@attrs.frozen(kw_only=True, eq=False)
class Places:
    """Some windows, each a row of `seq_len` columns: before, question, between, passage, after, padding.

    Attributes:
        question: int64[n], number of each window's question.
        passage: int64[n], number of its passage.
        asked: bool[n, seq_len], where the question's tokens stand.
        asked_tokens: int64[asked], which these are in `question_ids`.
        told: bool[n, seq_len], where the passage's tokens stand.
        told_tokens: int64[told], which these are in `passage_ids` and `spans`.
        between: int64[n], column behind the question.
        after: int64[n], column behind the passage.
        end: int64[n], column of the first padding.
    """

    question: NDArray[np.int64]
    passage: NDArray[np.int64]
    asked: NDArray[np.bool_]
    asked_tokens: NDArray[np.int64]
    told: NDArray[np.bool_]
    told_tokens: NDArray[np.int64]
    between: NDArray[np.int64]
    after: NDArray[np.int64]
    end: NDArray[np.int64]

    @classmethod
    def of(cls, chosen: NDArray[np.int64], features: SquadFeatures, frame: Frame, *, seq_len: int) -> Places:
        """Find the tokens of windows by their numbers."""
        windows = features.windows[chosen]
        question = windows["question"].astype(np.int64)
        rows, column = features.questions[question], np.arange(seq_len)
        passage, begin = rows["passage"].astype(np.int64), len(frame.before)
        between = begin + rows["kept"].astype(np.int64)
        told_from = between + len(frame.between)
        after = told_from + windows["length"]
        asked = (column >= begin) & (column < between[:, np.newaxis])
        told = (column >= told_from[:, np.newaxis]) & (column < after[:, np.newaxis])
        asked_first = features.question_ids.starts(question) - begin
        told_first = features.passage_ids.starts(passage) + windows["start"] - told_from
        return cls(
            question=question,
            passage=passage,
            asked=asked,
            asked_tokens=(asked_first[:, np.newaxis] + column)[asked],
            told=told,
            told_tokens=(told_first[:, np.newaxis] + column)[told],
            between=between,
            after=after,
            end=after + len(frame.after),
        )

    def put_frame(self, frame: Frame, ids: NDArray[np.int32], types: NDArray[np.int32]) -> None:
        """Write what stands around the texts, and the types of all tokens, into rows [n, seq_len]."""
        rows = np.arange(len(ids))
        kinds = [kind[0] if kind else 0 for kind in frame.types]
        types[self.asked], types[self.told] = kinds[1], kinds[3]
        starts = (np.zeros(len(ids), np.int64), self.between, self.after)
        for start, part, kind in zip(starts, (frame.before, frame.between, frame.after), kinds[::2], strict=True):
            for number, token in enumerate(part):
                ids[rows, start + number], types[rows, start + number] = token, kind
