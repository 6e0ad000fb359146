"""What must hold of any figures, whoever made them: queueing, rounding, and samples behind a percentile."""

from __future__ import annotations

from typing import Final

import attrs

from bytemlperf.statistics import samples_needed

CONFIDENCE: Final = 0.99
"""MLPerf's, one-sided: 459 queries bound a p99, 44 a p90 (inference rules, appendix on early stopping)."""
SLACK: Final = 0.02
"""What Little's law may be off beyond rounding: a run of 100 queries begins and ends somewhere."""


@attrs.frozen(kw_only=True)
class Rounded:
    """A figure as it is written, and between what it may really lie.

    Attributes:
        value: As written.
        low: Least that would be written so.
        high: Greatest that would be written so.
    """

    value: float
    low: float
    high: float

    @property
    def relative(self) -> float:
        """By what share of itself the figure may be off."""
        return (self.high - self.low) / 2 / self.value


def rounded_to(value: float, step: float) -> Rounded:
    """Return what a figure rounded to multiples of `step` may have been.

    Example:
        >>> rounded_to(0.92, 0.01)
        Rounded(value=0.92, low=0.915, high=0.925)
    """
    return Rounded(value=value, low=value - step / 2, high=value + step / 2)


def in_flight(queries_per_s: Rounded, latency_s: Rounded) -> Rounded:
    """Return the mean number of queries in flight: rate times mean time in the system, whatever the distributions.

    Source:
        Little, A Proof for the Queuing Formula: L = lambda W, Operations Research 9(3), 1961, pp. 383-387.

    Example:
        >>> round(in_flight(rounded_to(100.0, 1.0), rounded_to(0.04, 0.001)).value, 6)
        4.0
    """
    return Rounded(
        value=queries_per_s.value * latency_s.value,
        low=queries_per_s.low * latency_s.low,
        high=queries_per_s.high * latency_s.high,
    )


def needed(p: float) -> int:
    """Return how many queries bound a percentile from above at 99 %.

    Example:
        >>> needed(0.9), needed(0.99)
        (44, 459)
    """
    return samples_needed(p, level=CONFIDENCE, sides=1)


def is_maximum(n: int, p: float) -> bool:
    """Tell whether `sorted[int(n * p)]` is the last of n values.

    Example:
        >>> is_maximum(100, 0.99), is_maximum(1000, 0.99)
        (True, False)
    """
    return int(n * p) >= n - 1
