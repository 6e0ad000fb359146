"""How fine the clock is that stamps, and what reading it costs."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

from bytemlperf.environment.environment import Timer

if TYPE_CHECKING:
    from collections.abc import Callable


def measure(*, source: str | None, clock: Callable[[], int] = time.perf_counter_ns, reads: int = 4096) -> Timer:
    """Read the clock many times in a row.

    Args:
        source: The kernel's source of time, where known.
        clock: Nanoseconds.
        reads: How often, at least 2.

    Example:
        >>> ticks = iter(range(0, 1000, 25))
        >>> measure(source="tsc", clock=lambda: next(ticks), reads=11).resolution_ns
        25
    """
    seen = [0] * reads
    for index in range(reads):
        seen[index] = clock()
    steps = [later - earlier for earlier, later in itertools.pairwise(seen) if later > earlier]
    return Timer(
        clock=time.get_clock_info("perf_counter").implementation,
        source=source,
        resolution_ns=min(steps, default=None),
        read_ns=(seen[-1] - seen[0]) / (reads - 1),
    )
