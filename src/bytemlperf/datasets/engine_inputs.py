"""From a model's input to what an engine takes: another dtype, another order of axes, nothing with a scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bytemlperf.datasets.casting import numpy_dtype
from bytemlperf.errors import InputMismatchError
from bytemlperf.spec import Axis, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

Shape = tuple[int | Axis, ...]


@attrs.frozen(kw_only=True)
class EngineInput:
    """One input, as the model defines it and as the engine takes it.

    Attributes:
        model: The model's own tensor; the loader gives this one.
        engine: What the engine takes.
        order: Axis i of the engine's shape is axis order[i] of the model's.
    """

    model: TensorSpec
    engine: TensorSpec
    order: tuple[int, ...]


def match_inputs(model: Sequence[TensorSpec], engine: Sequence[TensorSpec] | None) -> tuple[EngineInput, ...]:
    """Match an engine's inputs with the model's by name.

    Args:
        model: The model's inputs.
        engine: What `CompileInfo.inputs` says; None for the model's own.

    Raises:
        InputMismatchError: If names differ, or a shape is no permutation of the model's that
            can be told apart from every other.
        SpecError: If a dtype has no array of numbers.
    """
    taken = {tensor.name: tensor for tensor in (model if engine is None else engine)}
    named = {tensor.name for tensor in model}
    if set(taken) != named:
        raise InputMismatchError(
            "the engine's inputs are not the model's", got=sorted(taken), expected=f"the names {sorted(named)}"
        )
    return tuple(_matched(tensor, taken[tensor.name]) for tensor in model)


def _matched(model: TensorSpec, engine: TensorSpec) -> EngineInput:
    numpy_dtype(engine.dtype)
    order = axis_order(model.shape, engine.shape)
    if order is None:
        error = InputMismatchError(
            f"the engine's axes of input {model.name!r} are no unmistakable order of the model's",
            got=[str(axis) for axis in engine.shape],
            expected=f"an order of {[str(axis) for axis in model.shape]}",
        )
        error.tensor = model.name
        raise error
    return EngineInput(model=model, engine=engine, order=order)


def axis_order(model: Shape, engine: Shape) -> tuple[int, ...] | None:
    """Return which axis of the model each axis of the engine is; None where that cannot be told.

    Equal shapes are the same order. Where all lengths differ, lengths tell the order. Where two axes are
    equally long (height and width), the order is taken only if a single axis has moved (channels, say), and
    only one such move gives the engine's shape.

    Example:
        >>> axis_order((Axis(), 3, 224, 224), (Axis(), 224, 224, 3))
        (0, 2, 3, 1)
        >>> axis_order((Axis(), 8, 3, 8), (Axis(), 8, 8, 3)) is None
        True
    """
    if model == engine:
        return tuple(range(len(model)))
    if sorted(map(str, model)) != sorted(map(str, engine)):
        return None
    if len(set(model)) == len(model):
        return tuple(model.index(axis) for axis in engine)
    moved = {order for order in _single_moves(len(model)) if tuple(model[axis] for axis in order) == engine}
    return moved.pop() if len(moved) == 1 else None


def _single_moves(rank: int) -> set[tuple[int, ...]]:
    moves: set[tuple[int, ...]] = set()
    for source in range(rank):
        rest = [axis for axis in range(rank) if axis != source]
        moves.update((*rest[:target], source, *rest[target:]) for target in range(rank))
    return moves
