"""Estimates of times: mean, percentile, extreme, each with its interval and its definition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import numpy as np

from bytemlperf.metrics.estimate import Estimate
from bytemlperf.metrics.steadiness import WORTH_TOLD
from bytemlperf.statistics import (
    PercentileRule,
    autocorrelated_mean_interval,
    autocorrelated_quantile_interval,
    effective_sample_size,
    percentile,
    quantile_worth,
    samples_needed,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Values: TypeAlias = "NDArray[np.int64] | NDArray[np.float64]"
"""Times in ns."""

PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
"""Percentiles of times, by the name they have in reports."""

NOTHING: Final = "no query was answered"


def mean_of(values: Values, *, what: str, level: float) -> Estimate:
    """Return the mean with an interval that allows for neighbours being alike; values come in the order of time."""
    figure = _unmeasured(values, f"arithmetic mean of {what}; interval allows for neighbours being alike", level=level)
    if not values.size:
        return figure
    interval = autocorrelated_mean_interval(values, level=level)
    too_few = "" if interval.bounded else "too few samples for an interval of the mean"
    worth = _worth(effective_sample_size(values), values.size)
    return attrs.evolve(figure, value=float(values.mean())).within(interval).noted(too_few, worth)


def _worth(worth: float, n: int) -> str:
    """Say what a series is worth, where that is much less than its number."""
    return f"neighbours are alike: worth {worth:,.0f} independent queries" if worth < WORTH_TOLD * n else ""


def percentile_of(values: Values, p: float, *, what: str, level: float) -> Estimate:
    """Return a percentile by MLPerf's rule with its interval by rank; values come in the order of time."""
    rule = PercentileRule.LOADGEN
    definition = f"{rule.definition} with p = {p:g} over {what}; interval by rank, exact where neighbours are not alike"
    figure = _unmeasured(values, definition, level=level)
    if not values.size:
        return figure
    interval = autocorrelated_quantile_interval(values, p, level=level)
    needed = samples_needed(p, level=level)
    too_few = "" if interval.bounded else f"too few samples for this percentile: its interval takes {needed}"
    worth = _worth(quantile_worth(values, p), values.size)
    return attrs.evolve(figure, value=percentile(values, p, rule=rule)).within(interval).noted(too_few, worth)


def extreme_of(values: Values, name: str, *, what: str) -> Estimate:
    """Return the least (`min`) or the greatest (`max`) value, which has no interval."""
    figure = _unmeasured(values, f"{name} of {what}; of this run only, so without an interval", level=0.95)
    if not values.size:
        return figure
    return attrs.evolve(figure, value=int(values.min() if name == "min" else values.max()))


def _unmeasured(values: Values, definition: str, *, level: float) -> Estimate:
    note = "" if values.size else NOTHING
    return Estimate(value=None, unit="ns", level=level, n=values.size, definition=definition, note=note)
