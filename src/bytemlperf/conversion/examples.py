"""Example inputs of a model, made from its spec alone: what tracing and exporting need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bytemlperf.errors import SpecError
from bytemlperf.spec import DType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec, TensorSpec

_SMALL: Final = 2
"""Exclusive upper bound of integers of which the spec gives none: 0 and 1 are valid nearly everywhere."""


def example_inputs(spec: ModelSpec, batch_size: int = 2, *, seed: int = 0) -> dict[str, Array]:
    """Make one batch of inputs that a model accepts; the values mean nothing.

    Integers, and numbers of any type that have a `high`, are whole and lie below it. Masks (what
    another tensor names as `valid`) are all ones, other numbers are drawn from the standard normal
    distribution. bfloat16, which numpy does not have, is given as float32.

    Args:
        spec: The model.
        batch_size: 2 or more where a tracer must not take the batch for a constant 1.
        seed: Of the draws.

    Returns:
        C-ordered arrays by canonical name, in the order of `spec.inputs`.

    Raises:
        SpecError: If an input is of a type of which no example can be made.
    """
    rng = np.random.default_rng(seed)
    masks = {tensor.valid for tensor in (*spec.inputs, *spec.outputs) if tensor.valid}
    return {
        tensor.name: _array(tensor, batch_size, rng, is_mask=tensor.name in masks, where=f"$.inputs[{index}].dtype")
        for index, tensor in enumerate(spec.inputs)
    }


def _array(tensor: TensorSpec, batch_size: int, rng: np.random.Generator, *, is_mask: bool, where: str) -> Array:
    shape, dtype = tensor.sized(batch_size), _NUMPY.get(tensor.dtype)
    if dtype is None:
        raise SpecError(
            f"no example of input {tensor.name!r} can be made",
            where=where,
            got=str(tensor.dtype),
            expected="one of " + ", ".join(_NUMPY),
        )
    if is_mask or tensor.dtype is DType.BOOL:
        return np.ones(shape, dtype)
    if tensor.dtype.is_float and tensor.high is None:
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, tensor.high or _SMALL, shape).astype(dtype)


_NUMPY: Final[Mapping[DType, type[np.generic[Any]]]] = {
    DType.FLOAT64: np.float64,
    DType.FLOAT32: np.float32,
    DType.FLOAT16: np.float16,
    DType.BFLOAT16: np.float32,
    DType.INT64: np.int64,
    DType.INT32: np.int32,
    DType.INT16: np.int16,
    DType.INT8: np.int8,
    DType.UINT8: np.uint8,
    DType.BOOL: np.bool_,
}
