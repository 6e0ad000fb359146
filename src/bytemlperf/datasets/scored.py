"""Texts as questions of how likely their tokens are: one row of tokens a query, each of its own length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bytemlperf.errors import DatasetError
from bytemlperf.sample import BatchSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bytemlperf.sample import Ask


def token_queries(
    rows: Sequence[NDArray[np.integer]], asks: Sequence[Ask], samples: Sequence[int] | None = None
) -> BatchSet:
    """Return one query for each row of tokens, under the name `tokens`, int64 [1, length].

    Args:
        rows: Token ids [length] of each.
        asks: What is asked of each.
        samples: Their numbers in the data set; None for 0, 1, 2 and so on.

    Raises:
        DatasetError: If there is no row, or one without tokens.

    Example:
        >>> from bytemlperf.sample import Score
        >>> queries = token_queries([np.array([5, 6, 7])], [Score(spans=[(1, 3)])])
        >>> queries.batch(0).inputs["tokens"].tolist()
        [[5, 6, 7]]
    """
    lengths = np.array([len(each) for each in rows], dtype=np.int64)
    if not len(rows) or not lengths.all():
        raise DatasetError("a query has no tokens", got=lengths.tolist()[:8])
    tokens = np.zeros((len(rows), 1, int(lengths.max())), dtype=np.int64)
    for row, each in zip(tokens, rows, strict=True):
        row[0, : len(each)] = each
    return BatchSet(
        inputs={"tokens": tokens},
        size=1,
        padding=np.zeros(len(rows), dtype=np.int64),
        samples=np.array(range(len(rows)) if samples is None else samples, dtype=np.int64)[:, None],
        lengths=lengths,
        asks=tuple(asks),
    )
