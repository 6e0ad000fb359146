"""What every statement of uncertainty in this package is: two bounds and a level."""

from __future__ import annotations

import math

import attrs


def check_level(level: float) -> None:
    """Refuse a confidence level that is none.

    Raises:
        ValueError: unless 0 < level < 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level!r}")


def _validate_level(_instance: object, _attribute: object, level: float) -> None:
    check_level(level)


@attrs.frozen(kw_only=True)
class Interval:
    """State between which bounds a figure lies, and with which confidence.

    The bounds belong to the interval and carry the unit of the figure. A side that the data cannot bound is infinite
    (or 0 below for what cannot be negative); `bounded` is then false and a reader says "too few samples", not a number.

    Attributes:
        low: Lower bound, may be `-inf`.
        high: Upper bound, may be `inf`.
        level: Confidence as a share: the least probability with which an interval made this way holds the true value.

    Raises:
        ValueError: if a bound is NaN, if low > high, or unless 0 < level < 1.
    """

    low: float = attrs.field(converter=float)
    high: float = attrs.field(converter=float)
    level: float = attrs.field(converter=float, validator=_validate_level)

    def __attrs_post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"an interval needs low <= high, got low={self.low!r} and high={self.high!r}")

    @property
    def bounded(self) -> bool:
        """Whether the data sufficed for both bounds."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def width(self) -> float:
        """Distance of the bounds, in the figure's unit; `inf` if not bounded."""
        return self.high - self.low if self.bounded else math.inf

    def contains(self, value: float) -> bool:
        """Tell whether the value lies within the bounds or on one of them."""
        return self.low <= value <= self.high

    def scaled(self, factor: float) -> Interval:
        """Convert to another unit, as `interval_ns.scaled(1e-6)` does to milliseconds.

        Raises:
            ValueError: unless factor is positive and finite.
        """
        if not 0 < factor < math.inf:
            raise ValueError(f"factor must be positive and finite, got {factor!r}")
        return Interval(low=self.low * factor, high=self.high * factor, level=self.level)
