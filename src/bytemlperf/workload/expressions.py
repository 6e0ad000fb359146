"""Axis lengths that are written as arithmetic over a model file's own numbers."""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Final

from bytemlperf.errors import SpecError, nearest
from bytemlperf.spec import Axis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OPERATIONS: Final[Mapping[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.floordiv,
    ast.FloorDiv: operator.floordiv,
}
_LONGEST: Final = 100
_LARGEST: Final = 2**31 - 1


def axis_length(text: str, numbers: Mapping[str, int]) -> int | Axis:
    """Read an axis' length.

    Args:
        text: `batch`, `26 * batch`, or whole numbers and names of `numbers` with `+ - * /` and brackets.
        numbers: What names stand for.

    Raises:
        SpecError: If it is something else, a name is unknown, or the result is no length.

    Example:
        >>> axis_length("max_batch_size * 2 - 1", {"max_batch_size": 64}), axis_length("26*batch", {})
        (127, Axis(name='batch', times=26))
    """
    try:
        axis = Axis.of(text)
    except SpecError:
        axis = None
    if axis is not None and axis.name == "batch":
        return axis
    length = _evaluated(_parsed(text), numbers)
    if not 0 < length <= _LARGEST:
        raise SpecError("an expression gives no axis length", got=f"{text} = {length}", expected="above 0")
    return length


def _parsed(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise SpecError("an expression is too long", got=text, expected=f"at most {_LONGEST} characters")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SpecError("no arithmetic expression", got=text, expected="such as '2 * max_batch_size'") from None


def _evaluated(node: ast.expr, numbers: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int and node.value <= _LARGEST:
        return node.value
    if isinstance(node, ast.Name):
        return _named(node.id, numbers)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = _evaluated(node.left, numbers), _evaluated(node.right, numbers)
        if isinstance(node.op, ast.Div | ast.FloorDiv) and (right == 0 or left % right):
            raise SpecError("a division without a whole result", got=f"{left} / {right}")
        result = _OPERATIONS[type(node.op)](left, right)
        if abs(result) > _LARGEST:
            raise SpecError("a number is too large for an axis", got=result)
        return result
    raise SpecError("no arithmetic on whole numbers", got=ast.unparse(node), expected="numbers, names, + - * /")


def _named(name: str, numbers: Mapping[str, int]) -> int:
    if name not in numbers:
        guess = nearest(name, numbers)
        known = ", ".join(numbers) or "none"
        remedy = f"did you mean {guess[0]!r}?" if guess else None
        raise SpecError("an unknown name in an expression", got=name, expected=f"one of: {known}", remedy=remedy)
    return numbers[name]
