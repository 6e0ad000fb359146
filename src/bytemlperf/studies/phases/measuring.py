"""From the stamps of a burst of prompts to the times of its two phases."""

from __future__ import annotations

import attrs
import numpy as np

from bytemlperf.trace import Trace


@attrs.frozen(kw_only=True)
class BurstTimes:
    """The phases of prompts of one length that were sent at once.

    Attributes:
        prefill_ns: From the time they were due until the last of them had its first token.
        decode_ns: Median time from one token of an answer to the next, while all of them decode; None where they
            never all did, as where an engine has fewer slots.
    """

    prefill_ns: int
    decode_ns: float | None


def burst_times(trace: Trace) -> BurstTimes | None:
    """Return the times of a burst; None unless every query was answered.

    A gap counts that begins after the last first token and ends before the first end: in it every prompt was read and
    every answer still under way.

    Args:
        trace: Of queries that were all due at the same time.
    """
    if not len(trace) or not trace.answered.all():
        return None
    begin, end = int(trace.first_ns.max()), int(trace.done_ns.min())
    order = np.lexsort((trace.chunk_ns, trace.chunk_query))
    query, stamps = trace.chunk_query[order], trace.chunk_ns[order]
    inside = (np.diff(query) == 0) & (stamps[:-1] >= begin) & (stamps[1:] <= end)
    gaps = np.diff(stamps)[inside]
    return BurstTimes(
        prefill_ns=begin - int(trace.scheduled_ns.min()), decode_ns=float(np.median(gaps)) if gaps.size else None
    )
