"""Figures for people: scaled to a readable unit, rounded to what can be read, never in a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from bytemlperf.metrics.estimate import Estimate

_SCALES: Final[Mapping[str, tuple[tuple[float, str], ...]]] = {
    "ns": ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")),
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")),
    "B": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1.0, "B")),
}
_DIGITS: Final = 4
_WHOLE_FROM: Final = 1000
_SMALLEST_PLAIN: Final = 1e-3


@attrs.frozen(kw_only=True)
class Shown:
    """An estimate as text.

    Attributes:
        value: The figure with its unit; `-` where there is none.
        interval: Its interval in the same unit, without the unit; empty where there is none.
    """

    value: str
    interval: str = ""


def shown(estimate: Estimate) -> Shown:
    """Write an estimate for people: four digits, and a unit in which it is no tiny or huge number.

    Example:
        >>> from bytemlperf.metrics.estimate import Estimate
        >>> shown(Estimate(value=6_451_234, unit="ns", low=6_410_000, high=6_520_000))
        Shown(value='6.451 ms', interval='6.410 to 6.520')
    """
    if estimate.value is None:
        return Shown(value="-")
    factor, unit = scale(estimate.unit, estimate.value)
    write = number if factor == 1 and float(estimate.value).is_integer() else measured
    low, high = (None if end is None else write(end / factor) for end in (estimate.low, estimate.high))
    return Shown(value=f"{write(estimate.value / factor)} {unit}".rstrip(), interval=_interval(low, high))


def scale(unit: str, value: float) -> tuple[float, str]:
    """Return what to divide by, and the unit of the result.

    Example:
        >>> scale("ns", 2_500_000), scale("samples/s", 3.0), scale("1", 0.98)
        ((1000000.0, 'ms'), (1.0, 'samples/s'), (1.0, ''))
    """
    steps = _SCALES.get(unit, ((1.0, "" if unit == "1" else unit),))
    return next((step for step in steps if abs(value) >= step[0]), steps[-1] if value else steps[0])


def measured(value: float) -> str:
    """Do as `number` does, but keep zeros at the end: they were measured too.

    Example:
        >>> [measured(x) for x in (31.0, 0.5, 12345.67)]
        ['31.00', '0.5000', '12,346']
    """
    if _SMALLEST_PLAIN <= abs(value) < _WHOLE_FROM:
        return f"{value:#.{_DIGITS}g}".rstrip(".")
    return number(value)


def number(value: float) -> str:
    """Write a number with at most four digits; from a thousand on, all whole digits in groups.

    Example:
        >>> [number(x) for x in (12345.67, 0.98123, 360, 2.5e-7, 0)]
        ['12,346', '0.9812', '360', '2.5e-07', '0']
    """
    if abs(value) >= _WHOLE_FROM:
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.{_DIGITS}g}"  # noqa: PLR2004 - beyond any count
    if value and abs(value) < _SMALLEST_PLAIN:
        return f"{value:.{_DIGITS - 1}g}"
    return f"{value:.{_DIGITS}g}"


def _interval(low: str | None, high: str | None) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f"from {low}"
    return f"up to {high}" if low is None else f"{low} to {high}"
