"""Element types as numpy has them, and whether values survive a cast."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import ml_dtypes
import numpy as np

from bytemlperf.errors import SpecError
from bytemlperf.spec import DType

if TYPE_CHECKING:
    from bytemlperf.sample import Array


_BEYOND_NUMPY: Final[dict[DType, np.dtype[Any]]] = {
    DType.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
    DType.INT4: np.dtype(ml_dtypes.int4),
}
_MANTISSA_BITS: Final = {DType.FLOAT64: 53, DType.FLOAT32: 24, DType.FLOAT16: 11, DType.BFLOAT16: 8}
_INTEGER_BITS: Final = {DType.INT64: 64, DType.INT32: 32, DType.INT16: 16, DType.INT8: 8, DType.INT4: 4}


class Kind(StrEnum):
    """Families of element types; within one, a cast needs no decision of the data's owner."""

    INTEGER = "whole numbers"
    FLOAT = "floating-point numbers"
    OTHER = "something else"


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """Return numpy's own type of a dtype.

    Raises:
        SpecError: For `float8`, which has several layouts, and for text: neither is an array of numbers.

    Example:
        >>> numpy_dtype(DType.BFLOAT16).itemsize
        2
    """
    if dtype in (DType.FLOAT8, DType.STRING):
        raise SpecError("inputs of this dtype cannot be prepared as arrays", got=dtype.value)
    return _BEYOND_NUMPY.get(dtype) or np.dtype(dtype.value)


def kind_of(dtype: np.dtype[Any]) -> Kind:
    """Return the family of a numpy type; truth values count as whole numbers."""
    if dtype.kind in "biu" or dtype == ml_dtypes.int4:
        return Kind.INTEGER
    if dtype.kind == "f" or dtype == ml_dtypes.bfloat16:
        return Kind.FLOAT
    return Kind.OTHER


def misfit(array: Array, dtype: DType) -> str | None:
    """Say which value would not survive a cast to `dtype`; None where all do.

    From one floating-point type to another a value may be rounded, but no finite one may become
    infinite. In every other case each value must stay exactly what it is.

    Args:
        array: Numbers; not copied where it has the type already.
        dtype: Type to cast to.

    Raises:
        SpecError: If `dtype` is no numpy type of numbers.

    Example:
        >>> misfit(np.array([1, 300]), DType.UINT8)
        '300 is none of the whole numbers from 0 to 255'
        >>> misfit(np.array([0.5, 1e30]), DType.BFLOAT16) is None
        True
    """
    target = numpy_dtype(dtype)
    if array.dtype == target or not array.size:
        return None
    if kind_of(array.dtype) is Kind.FLOAT and dtype.is_float:
        with np.errstate(over="ignore"):
            lost = np.isfinite(array) & ~np.isfinite(array.astype(target))
        return f"{_first(array, lost)} would become infinite" if lost.any() else None
    return _changed(array, dtype)


def _changed(array: Array, dtype: DType) -> str | None:
    if array.dtype in _BEYOND_NUMPY.values():
        array = array.astype(np.float32)  # holds each of their values, and compares with any bound
    low, high = _exact_range(dtype)
    if kind_of(array.dtype) is Kind.FLOAT:
        # Bounds are compared as powers of two: a float cannot hold 2**63 - 1.
        lost = ~((array >= low) & (array < float(high + 1)) & (array == np.trunc(array)))
    else:
        lost = (array < low) | (array > high)
    return f"{_first(array, lost)} is none of the whole numbers from {low} to {high}" if lost.any() else None


def _first(array: Array, chosen: Array) -> str:
    return str(array[chosen][0])


def _exact_range(dtype: DType) -> tuple[int, int]:
    """Return the whole numbers that a type holds without a gap."""
    if dtype in (DType.BOOL, DType.UINT8):
        return 0, 1 if dtype is DType.BOOL else 255
    if dtype.is_float:
        return -(2 ** _MANTISSA_BITS[dtype]), 2 ** _MANTISSA_BITS[dtype]
    bound: int = 2 ** (_INTEGER_BITS[dtype] - 1)
    return -bound, bound - 1
