"""What the first rank has the others do, as whole numbers of a fixed count that one broadcast carries."""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs
import torch
from torch import Tensor

_STOP, _MOVE, _STEP = 0, 1, 2
_HEAD: Final = 7
_INLINE: Final = 505
"""Numbers of a step that go with its head: tokens and positions of a decode of many requests."""

ORDER_LENGTH: Final = _HEAD + _INLINE
"""Length of an order, int64; what does not fit follows in a second broadcast."""


@attrs.frozen(eq=False)
class View:
    """Rows of the cache and the positions for which there is room; see `cache.Rows.view`."""

    first: int
    last: int
    positions: int


@attrs.frozen(eq=False)
class Step:
    """A forward of all ranks together.

    Attributes:
        tokens: int64 [rows, new].
        positions: int64 [rows, new]; None for the plain order.
        view: Which rows of the cache; None for none.
    """

    tokens: Tensor
    positions: Tensor | None
    view: View | None


@attrs.frozen(eq=False)
class Move:
    """A copy of what a row of the cache holds; see `cache.Rows.move`."""

    source: int
    target: int
    positions: int


@attrs.frozen(eq=False)
class Stop:
    """The end: there are no more orders."""


Order: TypeAlias = Step | Move | Stop


def written(order: Order) -> tuple[Tensor, Tensor | None]:
    """Return the numbers of an order, int64 [ORDER_LENGTH], and those that did not fit."""
    head = torch.zeros(ORDER_LENGTH, dtype=torch.int64)
    if isinstance(order, Stop):
        return head, None
    if isinstance(order, Move):
        head[:4] = torch.tensor([_MOVE, order.source, order.target, order.positions])
        return head, None
    rows, new = order.tokens.shape
    view = (-1, -1, -1) if order.view is None else (order.view.first, order.view.last, order.view.positions)
    head[:_HEAD] = torch.tensor([_STEP, rows, new, int(order.positions is not None), *view])
    numbers = torch.cat([each.reshape(-1).cpu() for each in (order.tokens, order.positions) if each is not None])
    if len(numbers) > _INLINE:
        return head, numbers.contiguous()
    head[_HEAD : _HEAD + len(numbers)] = numbers
    return head, None


def beyond(head: Tensor) -> int:
    """Return how many numbers follow the first ones of an order."""
    if int(head[0]) != _STEP:
        return 0
    count = int(head[1]) * int(head[2]) * (1 + int(head[3]))
    return count if count > _INLINE else 0


def read(head: Tensor, rest: Tensor | None) -> Order:
    """Return the order that was written."""
    kind, rows, new, placed, first, last, positions = head[:_HEAD].tolist()
    if kind == _STOP:
        return Stop()
    if kind == _MOVE:
        return Move(rows, new, placed)
    count = rows * new * (1 + placed)
    numbers = (head[_HEAD : _HEAD + count] if rest is None else rest).clone().reshape(1 + placed, rows, new)
    view = None if first < 0 else View(first, last, positions)
    return Step(numbers[0], numbers[1] if placed else None, view)
