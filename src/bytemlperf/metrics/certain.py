"""How well a percentile was known when a run ended by it: the look that ended it, computed again from the trace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bytemlperf.metrics.estimate import Estimate, Metrics
from bytemlperf.scenarios import Certainty, Look
from bytemlperf.trace import Trace


def certain(trace: Trace, certainty: Certainty, looks: Sequence[Look]) -> Metrics:
    """Give the percentile by the first look that found it well enough known, or else by the last one: `certain/p99`.

    Its interval holds at the stated confidence although the run was ended by it; that of `latency/p99`, which is over
    all queries, does not know of the looking.

    Args:
        trace: Of a run.
        certainty: What it was to reach.
        looks: The looks that were fixed beforehand.
    """
    name = f"p{100 * certainty.percentile:g}"
    taken = trace.done_ns - trace.scheduled_ns
    possible = [look for look in looks if look.n <= len(trace) and bool(trace.answered[: look.n].all())]
    definition = (
        f"sorted[int(n * p)] with p = {certainty.percentile:g} over done - scheduled of the first n queries; interval "
        f"exact, by rank, the error shared by {len(looks)} looks"
    )
    figure = Estimate(value=None, unit="ns", level=certainty.level, n=0, definition=definition)
    for look in possible:
        low, value, high = (int(each) for each in np.sort(taken[: look.n])[[look.low, look.value, look.high]])
        reached = value - low <= certainty.within * value and high - value <= certainty.within * value
        note = "" if reached else f"not within {100 * certainty.within:g} % at any look"
        figure = Estimate(
            value=value,
            unit="ns",
            low=low,
            high=high,
            level=certainty.level,
            n=look.n,
            definition=definition,
            note=note,
        )
        if reached:
            break
    return Metrics({f"certain/{name}": figure if possible else figure.noted("too few queries for any look")})
