"""Figures that a vendor's own tool tells: kept apart, under names of their own, without an interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bytemlperf.metrics.estimate import Estimate, Metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFINITION: Final = "as the vendor's tool reports it; not measured by the harness"


def vendor_figures(told: Mapping[str, float]) -> Metrics:
    """Take over a vendor's own figures as `vendor_reported/<its name>`; unit, interval and n are not known.

    Args:
        told: Finite numbers by the tool's own names.

    Raises:
        SpecError: If a number is not finite.

    Example:
        >>> str(vendor_figures({"fps": 1200.0})["vendor_reported/fps"])
        '1200, n = 0'
    """
    return Metrics(
        {
            f"vendor_reported/{name}": Estimate(value=value, unit="", definition=DEFINITION)
            for name, value in told.items()
        }
    )
