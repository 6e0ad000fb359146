"""Answers that fit any spec, computed from the inputs by mathematics that a test can repeat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import CompileError
from bytemlperf.sample import Array, Batch
from bytemlperf.spec import Axis, DType, ModelSpec, TensorSpec

_STEP: Final = 0.1
"""Between neighbouring elements of one sample's answer."""
_INTEGERS: Final = 10
"""Exclusive upper bound of whole numbers of which the spec gives none."""


def echo(spec: ModelSpec, batch: Batch) -> dict[str, Array]:
    """Answer a batch: each sample's answer depends on that sample's inputs (and unbatched ones) alone.

    With s the sum of a sample's inputs and of the unbatched ones, and j the position in the
    sample's answer, floating-point outputs hold cos(s + j / 10), whole numbers
    (floor(abs(s)) + j) modulo `high` (10 where the spec gives none), truth values the same modulo 2.
    An unbatched output has s = 0.

    Args:
        spec: The model.
        batch: Inputs that fit it; not written to.

    Returns:
        Outputs by canonical name, of the spec's shapes and types (bfloat16 as float32). Not shared.
    """
    sums = _sample_sums(spec.inputs, batch)
    return {tensor.name: _answer(tensor, sums, batch.size) for tensor in spec.outputs}


def output_dtype(tensor: TensorSpec) -> np.dtype[np.generic]:
    """Return the numpy type of an output's answer.

    Raises:
        CompileError: If there is none.
    """
    name = DType.FLOAT32 if tensor.dtype is DType.BFLOAT16 else tensor.dtype
    if name in (DType.STRING, DType.FLOAT8, DType.INT4):
        raise CompileError(f"output {tensor.name!r} has no numpy type", got=str(tensor.dtype))
    return np.dtype(name.value)


def _sample_sums(inputs: tuple[TensorSpec, ...], batch: Batch) -> NDArray[np.float64]:
    sums = np.zeros(batch.size)
    for tensor in inputs:
        array = np.asarray(batch.inputs[tensor.name], np.float64)
        if tensor.batch_axis is None:
            sums = sums + array.sum()
        else:
            rows = np.moveaxis(array, tensor.batch_axis, 0).reshape(batch.size, -1)
            sums = sums + rows.sum(axis=1)
    return sums


def _answer(tensor: TensorSpec, sums: NDArray[np.float64], size: int) -> Array:
    axis = tensor.batch_axis
    if axis is None:
        return _values(tensor, np.zeros(1), tensor.sized(size)).reshape(tensor.sized(size))
    grown = tensor.shape[axis]
    assert isinstance(grown, Axis)
    rest = tensor.sized(1)[:axis] + tensor.sized(1)[axis + 1 :]
    values = _values(tensor, sums, (grown.times, *rest))
    return np.ascontiguousarray(np.moveaxis(values.reshape(size * grown.times, *rest), 0, axis))


def _values(tensor: TensorSpec, sums: NDArray[np.float64], shape: tuple[int, ...]) -> Array:
    """Return [len(sums), elements of one sample], of the output's type."""
    positions = np.arange(int(np.prod(shape)))
    dtype = output_dtype(tensor)
    if tensor.dtype.is_float:
        return np.cos(sums[:, None] + _STEP * positions).astype(dtype)
    bound = 2 if tensor.dtype is DType.BOOL else tensor.high or _INTEGERS
    whole = np.floor(np.abs(sums)).astype(np.int64)
    return ((whole[:, None] + positions) % bound).astype(dtype)


def float_output(outputs: Mapping[str, Array]) -> str | None:
    """Return the name of the first output that can hold a NaN; None where none can."""
    return next((name for name, array in outputs.items() if array.dtype.kind == "f"), None)
