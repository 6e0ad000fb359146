"""Differences in units in the last place: how many numbers of a type lie between an output and its reference."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.spec import DType

if TYPE_CHECKING:
    from numpy.typing import NDArray


_LARGEST: Final = float(np.finfo(np.float64).max)


@attrs.frozen(kw_only=True)
class FloatFormat:
    """What decides how finely a floating-point type resolves.

    Attributes:
        digits: Binary digits of the significand, the hidden one among them.
        smallest_exponent: Of a normal number; below it the spacing stays the same.
    """

    digits: int
    smallest_exponent: int


FLOAT_FORMATS: Final[Mapping[DType, FloatFormat]] = MappingProxyType(
    {
        DType.FLOAT64: FloatFormat(digits=53, smallest_exponent=-1022),
        DType.FLOAT32: FloatFormat(digits=24, smallest_exponent=-126),
        DType.FLOAT16: FloatFormat(digits=11, smallest_exponent=-14),
        DType.BFLOAT16: FloatFormat(digits=8, smallest_exponent=-126),
    }
)
"""IEEE 754 binary64, binary32 and binary16, and bfloat16."""


def ulps(
    difference: NDArray[np.float64], reference: NDArray[np.float64], float_format: FloatFormat
) -> NDArray[np.float64]:
    """Return |d| / ulp(reference), [n], where ulp(x) = 2 ** (max(floor(log2|x|), smallest exponent) - digits + 1).

    The type is that of the computation, whatever the arrays' own: 1 is the spacing of its numbers around the reference.
    Near a reference of 0 the spacing is that of the smallest numbers, so that even a harmless difference is very many
    of them: look at the quantiles, and let max|d| / max|reference| decide.

    Args:
        difference: Output less reference, finite.
        reference: Finite.
        float_format: Of the type that was computed in.

    Source:
        Muller et al., Handbook of Floating-Point Arithmetic, 2nd ed., 2018, section 2.3.2 (definition of Goldberg).

    Example:
        >>> ulps(np.array([2.0**-23]), np.array([1.5]), FLOAT_FORMATS[DType.FLOAT32])
        array([1.])
    """
    _, exponents = np.frexp(reference)  # reference = m * 2 ** e with 0.5 <= |m| < 1
    exponents = np.where(reference == 0, float_format.smallest_exponent, exponents - 1)
    spacing = np.maximum(exponents, float_format.smallest_exponent) - float_format.digits + 1
    with np.errstate(over="ignore"):
        counted: NDArray[np.float64] = np.ldexp(np.abs(difference), -spacing)
    return np.minimum(counted, _LARGEST)
