"""From what a file says of its tensors to shapes and names that a spec can hold."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from bytemlperf.errors import SpecError
from bytemlperf.spec import Axis, TensorSpec

if TYPE_CHECKING:
    from bytemlperf.conversion.signature import FileTensor

Shape: TypeAlias = tuple[int | Axis, ...]
Shapes: TypeAlias = Mapping[str, Sequence[int | str]]
"""Shapes that a caller gives, by a tensor's name: `{"x": ["batch", 128]}`."""


def canonical_names(originals: Iterable[str]) -> dict[str, str]:
    """Give each original name a Python identifier of its own that looks like it.

    Example:
        >>> canonical_names(["input_1.1", "x:0", "x", "class", "7"])
        {'input_1.1': 'input_1_1', 'x:0': 'x_2', 'x': 'x', 'class': 'class_', '7': 'tensor_7'}
    """
    distinct = list(dict.fromkeys(originals))
    taken = {name for name in distinct if _is_plain(name)}  # who has a plain name keeps it
    chosen = {}
    for name in distinct:
        chosen[name] = name if _is_plain(name) else _free(_plain(name), taken)
        taken.add(chosen[name])
    return chosen


def task_name(text: str) -> str:
    """Make a task name of a file's or class' name.

    Example:
        >>> task_name("my detector (v2)")
        'my-detector-v2'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "model"


def declared_shape(tensor: FileTensor, batch_axis: int | None) -> Shape:
    """Read a tensor's shape off its declaration: a free length at `batch_axis` is the batch's.

    Raises:
        SpecError: If another length is free, or nothing is declared; says how to give it.
    """
    if tensor.dims is None:
        raise asked(tensor, "has no declared shape")
    position = axis_position(tensor.dims, batch_axis)
    if any(not isinstance(dim, int) and each != position for each, dim in enumerate(tensor.dims)):
        raise asked(tensor, "has free lengths of which it is not known what they are", got=list(tensor.dims))
    return tuple(dim if isinstance(dim, int) else Axis() for dim in tensor.dims)


def given_shape(tensor: FileTensor, shape: Sequence[int | str]) -> Shape:
    """Read a shape that the caller gives, and see that it fits the declaration.

    Raises:
        SpecError: If it is malformed, or contradicts what the file declares.
    """
    given = TensorSpec(name="given", shape=shape, dtype=tensor.dtype).shape
    dims = tensor.dims
    if dims is not None and (len(dims) != len(given) or not all(map(_fits, given, dims))):
        error = SpecError(
            f"the given shape of {tensor.name!r} contradicts what is declared",
            got=list(shape),
            expected=str(list(dims)),
        )
        error.tensor = tensor.name
        raise error
    return given


def grown_shape(at: Mapping[int, Sequence[int]]) -> Shape | None:
    """Read a shape off the lengths at two batch sizes; None where a length is neither fixed nor a multiple.

    Example:
        >>> [str(length) for length in grown_shape({2: (2, 52, 7), 3: (3, 78, 7)})]
        ['batch', '26*batch', '7']
    """
    (first, shorter), (second, longer) = at.items()
    if len(shorter) != len(longer):
        return None
    lengths: list[int | Axis] = []
    for less, more in zip(shorter, longer, strict=True):
        if less == more:
            lengths.append(less)
        elif less * second == more * first and less % first == 0:
            lengths.append(Axis(times=less // first))
        else:
            return None
    return tuple(lengths)


def axis_position(dims: Sequence[object], batch_axis: int | None) -> int | None:
    """Return `batch_axis` counted from the start; None where a tensor has no such axis."""
    if batch_axis is None or not -len(dims) <= batch_axis < len(dims):
        return None
    return batch_axis % len(dims)


def asked(tensor: FileTensor, what: str, *, got: object = None) -> SpecError:
    """Return an error that asks the caller for a tensor's shape, naming it and the argument."""
    example = ["batch", 128] if tensor.dims is None else ["batch", *_lengths(tensor.dims[1:])]
    remedy = f'give its shape, such as shapes={{"{tensor.name}": {example}}}'.replace("'", '"')
    error = SpecError(f"{tensor.name!r} {what}", got=got, remedy=remedy)
    error.tensor = tensor.name
    return error


def _lengths(dims: Sequence[int | str | None]) -> list[int]:
    return [dim if isinstance(dim, int) else 128 for dim in dims]


def _fits(length: int | Axis, dim: int | str | None) -> bool:
    if not isinstance(dim, int):
        return True
    return dim % length.times == 0 if isinstance(length, Axis) else dim == length


def _is_plain(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def _plain(name: str) -> str:
    plain = re.sub(r"\W+", "_", re.sub(r":0$", "", name), flags=re.ASCII).strip("_") or "tensor"
    if plain[0].isdigit():
        plain = f"tensor_{plain}"
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def _free(name: str, taken: set[str]) -> str:
    candidates = (name, *(f"{name}_{number}" for number in range(2, len(taken) + 3)))
    return next(each for each in candidates if each not in taken)
