"""Tokens of a text of any length, made piece by piece: the same as of the whole text at once.

How a text is cut into tokens is decided nearby, by words and by what stands before and after them; but where a piece
begins or ends, it may be cut otherwise. So pieces overlap, and two are joined where both have the same tokens at the
same places, for `AGREEING` tokens before and behind. Where they agree nowhere, they are tokenized as one.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from bytemlperf.datasets.language_tokenizing import PlacedTokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from bytemlperf.datasets.language_tokenizing import LanguageTokenizer

PIECE: Final = 2**14
"""Characters of a piece."""
OVERLAP: Final = 2**10
"""Characters that a piece has in common with the one before."""
AGREEING: Final = 16
"""Tokens on either side of a joint that two pieces must have in common."""
_AT_ONCE: Final = 32


def token_blocks(
    tokenizer: LanguageTokenizer, blocks: Iterable[str], *, piece: int = PIECE, overlap: int = OVERLAP
) -> Iterator[NDArray[np.int32]]:
    """Yield the tokens of a text, some at a time; memory is that of some pieces.

    Args:
        tokenizer: The model's.
        blocks: The text, cut anywhere.
        piece: Characters of a piece.
        overlap: Characters that a piece has in common with the one before.
    """
    pieces = _pieces(blocks, piece, overlap)
    begin, text = next(pieces)
    (tokens,), cut = tokenizer.encode_many([text]), 0
    while some := list(islice(pieces, _AT_ONCE)):
        for (next_begin, next_text), found in zip(some, tokenizer.encode_many([each for _, each in some]), strict=True):
            joint = _joint(tokens, found, ahead=next_begin - begin, end=len(text))
            if joint is None:
                text += next_text[begin + len(text) - next_begin :]
                (tokens,) = tokenizer.encode_many([text])
                continue
            yield tokens.ids[cut : joint[0]]
            text, begin, cut, tokens = next_text, next_begin, joint[1], found
    yield tokens.ids[cut:]


def _pieces(blocks: Iterable[str], piece: int, overlap: int) -> Iterator[tuple[int, str]]:
    """Yield pieces that overlap, and at which character of the text each begins."""
    begin, parts, size = 0, [""], 0
    for block in blocks:
        parts.append(block)
        size += len(block)
        if size >= piece:
            text = "".join(parts)
            while len(text) >= piece:
                yield begin, text[:piece]
                begin, text = begin + piece - overlap, text[piece - overlap :]
            parts, size = [text], len(text)
    yield begin, "".join(parts)


def _joint(before: PlacedTokens, after: PlacedTokens, *, ahead: int, end: int) -> tuple[int, int] | None:
    """Return at which token of one piece, and of the next, both say the same for some tokens before and behind.

    Args:
        before: Tokens of a piece.
        after: Tokens of the next.
        ahead: How many characters the next begins after this one.
        end: Characters of this piece.
    """
    starts = after.starts + ahead
    place = (ahead + end) // 2
    while place < end:
        one, other = int(np.searchsorted(before.starts, place)), int(np.searchsorted(starts, place))
        if min(one, other) < AGREEING or max(one - len(before.ids), other - len(starts)) > -AGREEING:
            return None
        mine, theirs = slice(one - AGREEING, one + AGREEING), slice(other - AGREEING, other + AGREEING)
        if np.array_equal(before.starts[mine], starts[theirs]) and np.array_equal(before.ids[mine], after.ids[theirs]):
            return one, other
        place = int(max(before.starts[one], starts[other])) + 1
    return None
