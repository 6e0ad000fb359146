"""How far outputs may lie from an independent reference, by the precision that is used."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from bytemlperf.spec import DType


@attrs.frozen(kw_only=True)
class Tolerance:
    """A bound of max|output - reference| / max|reference|.

    Attributes:
        value: The bound; None where none follows from the precision, and then there is no verdict.
        reason: Why it is this one.
    """

    value: float | None
    reason: str


TOLERANCE: Final[Mapping[DType, Tolerance]] = MappingProxyType(
    {
        DType.FLOAT64: Tolerance(value=1e-4 * 2.0**-29, reason="the bound of float32, less 29 bits of mantissa"),
        DType.FLOAT32: Tolerance(
            value=1e-4,
            reason="839 eps (2^-23): sums of thousands of products in another order, through some hundred layers; "
            "ResNet-50 and BERT were seen at 4 to 6 eps on a CPU, and TF32 (eps 2^-10) must not pass",
        ),
        DType.FLOAT16: Tolerance(
            value=2.0**-7,
            reason="8 eps (2^-10): operands rounded at every layer, sums in float32, so that the error grows with the "
            "depth alone; ResNet-50 was seen at 0.8 eps and BERT at 2.1",
        ),
        DType.BFLOAT16: Tolerance(
            value=2.0**-4, reason="8 eps (2^-7), as for float16; ResNet-50 was seen at 0.7 eps and BERT at 1.8"
        ),
    }
)
"""The bound of each precision that has one. Integer outputs must be equal whatever the precision."""

_NONE: Final = "no bound follows from {}: what quantisation costs depends on its calibration, and accuracy decides"


def tolerance_of(precision: DType) -> Tolerance:
    """Return the bound of a precision.

    Example:
        >>> tolerance_of(DType.FLOAT32).value, tolerance_of(DType.INT8).value
        (0.0001, None)
    """
    return TOLERANCE.get(precision, Tolerance(value=None, reason=_NONE.format(precision.value)))
