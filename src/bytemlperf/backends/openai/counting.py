"""Count the tokens of a text that grows, without looking at all of it again each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Count = Callable[[str], int]
"""Tokens of a text, by a tokenizer."""

_LONGEST: Final = 72
"""Characters of the part that is counted again with each further text, before some of it is settled."""
_OPEN: Final = 24
"""Characters at the end that stay open: what follows may change how they are cut into tokens."""
_CONTEXT: Final = 24
"""Settled characters that are counted together with the open ones, as tokens depend on what is before."""


class Growing:
    """Tokens of all that was added so far.

    A text is settled up to a place between two words, if there is one, and only where that leaves the count of all as
    it is. So a further text costs what a hundred characters cost, however long the answer has become.

    Args:
        count: Counts a text's tokens.
    """

    def __init__(self, count: Count) -> None:
        self._count = count
        self._before = 0
        self._context, self._of_context = "", 0
        self._open, self._longest = "", _LONGEST

    def add(self, text: str) -> int:
        """Take further text; return the tokens of all so far."""
        self._open += text
        total = self._with(self._open)
        if len(self._open) > self._longest:
            self._settle(total)
        return total

    def _with(self, text: str) -> int:
        return self._before + self._count(self._context + text) - self._of_context

    def _settle(self, total: int) -> None:
        cut = _between_words(self._open, len(self._open) - _OPEN)
        whole, rest = self._context + self._open[:cut], self._open[cut:]
        before = self._with(self._open[:cut])
        context = whole[_between_words(whole, len(whole) - _CONTEXT) :]
        of_context = self._count(context)
        if before + self._count(context + rest) - of_context != total:
            self._longest = 2 * len(self._open)  # this place will not do: look again later
            return
        self._before, self._context, self._of_context = before, context, of_context
        self._open, self._longest = rest, _LONGEST


def _between_words(text: str, last: int) -> int:
    """Return the last place before a space that follows something else, up to `last`; `last` where there is none."""
    for place in range(last, 0, -1):
        if text[place].isspace() and not text[place - 1].isspace():
            return place
    return max(last, 0)
