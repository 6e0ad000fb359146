"""From the bounds that data give at every level to the p-value of a one-sided test: the two cannot disagree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_TAIL: Final = 1e-12
"""Below it a p-value is not told apart: no decision needs it."""
_HALVINGS: Final = 50


def p_value_of(refused: Callable[[float], bool], *, least: float = LEAST_TAIL) -> float:
    """Find the smallest one-sided level at which a bound is refused; 0.5 and above are all the same.

    Args:
        refused: Whether the bound is refused at a level.
        least: Level below which the data tell nothing apart.
    """
    low, high = math.log(least), math.log(0.5 - 1e-9)
    if not refused(math.exp(high)):
        return 0.5
    if refused(least):
        return least
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if refused(math.exp(middle)) else (middle, high)
    return math.exp(high)
