"""Figures that a vendor's own tool tells: kept apart, under names of their own, without an interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.metrics.estimate import Estimate, Metrics, merged
from bytemlperf.metrics.quantities import PERCENTILES, mean_of, percentile_of

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


def reported_figures(told: Mapping[int, Mapping[str, float]], *, level: float = 0.95) -> Metrics:
    """Return what an engine told of its queries itself, as `vendor_reported/<its name>/mean`, `/p50`, `/p90`, `/p99`.

    The unit is in the engine's own name, such as `queue_ms`. Queries of which it told nothing are left out, and
    counted in a note.

    Args:
        told: By query, finite numbers by the engine's own names.
        level: Confidence of the intervals.

    Example:
        >>> figures = reported_figures({0: {"queue_ms": 2.0}, 1: {"queue_ms": 4.0}})
        >>> figures["vendor_reported/queue_ms/mean"].value
        3.0
    """
    names = sorted({name for each in told.values() for name in each})
    return merged(_of_queries(name, told, level=level) for name in names)


def _of_queries(name: str, told: Mapping[int, Mapping[str, float]], *, level: float) -> Metrics:
    values = np.array([told[query][name] for query in sorted(told) if name in told[query]], np.float64)
    what = f"what the engine told of each query itself, under its own name {name}; not measured by the harness"
    figures = {"mean": mean_of(values, what=what, level=level)}
    figures |= {p: percentile_of(values, share, what=what, level=level) for p, share in PERCENTILES.items()}
    missing = len(told) - len(values)
    note = f"{missing} queries without this figure" if missing else ""
    return Metrics(
        {
            f"vendor_reported/{name}/{each}": attrs.evolve(figure, unit="").noted(note)
            for each, figure in figures.items()
        }
    )
