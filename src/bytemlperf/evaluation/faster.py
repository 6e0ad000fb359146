"""How much faster one series was than another, and on which side of a threshold that is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.metrics import Estimate
from bytemlperf.scenarios import MultiStream, Offline, SingleStream

if TYPE_CHECKING:
    from bytemlperf.scenarios import Scenario
    from bytemlperf.statistics import Contrast

THRESHOLD: Final = 0.10
SHORT_THRESHOLD: Final = 0.20
SHORT_NS: Final = 200_000
"""MLPerf's: a tenth, or a fifth where a sample takes no more than 200 us.

Source: verify_performance.py of compliance/TEST01 and of compliance/TEST04, mlcommons/inference at b66003e.
"""


def threshold_for(scenario: Scenario, latency_ns: float) -> float:
    """Return by what share a series may be faster or slower than another.

    Args:
        scenario: Of the series.
        latency_ns: Mean latency of a query.
    """
    if isinstance(scenario, Offline):
        return THRESHOLD
    together = scenario.samples_per_query if isinstance(scenario, MultiStream) else 1
    short = isinstance(scenario, SingleStream | MultiStream) or not hasattr(scenario, "target_qps")
    return SHORT_THRESHOLD if short and latency_ns <= SHORT_NS * together else THRESHOLD


@attrs.frozen(kw_only=True)
class Speedup:
    """How many times as fast one series was as another; below 1 for a slower one.

    Attributes:
        value: The ratio.
        low: Lower end of its interval.
        high: Upper end of its interval.
        n: Values behind it.
    """

    value: float
    low: float
    high: float
    n: int

    def estimate(self, definition: str, level: float) -> Estimate:
        """Return it as a figure."""
        low, high = (end if math.isfinite(end) else None for end in (self.low, self.high))
        return Estimate(value=self.value, unit="1", low=low, high=high, level=level, n=self.n, definition=definition)


def speedup(contrast: Contrast, *, n: int, level: float) -> Speedup:
    """Return the ratio that a contrast of logarithms tells."""
    ends = contrast.interval(level=level)
    return Speedup(value=math.exp(contrast.estimate), low=_exp(ends.low), high=_exp(ends.high), n=n)


def _exp(logarithm: float) -> float:
    try:
        return math.exp(logarithm)
    except OverflowError:
        return math.inf
