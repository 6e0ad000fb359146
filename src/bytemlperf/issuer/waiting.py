"""Wait until a moment: standard library only, syntax of Python 3.7."""

from __future__ import annotations

import select
import time

if False:
    from typing import Any

SPIN_NS = 100_000
"""How long before a moment the clock is watched in the place of sleeping, at most.

Source: `benchmarks/completion_stamps.py --spin-us 0 100 500 2000`, 2 cores, 1, 8 and 32 queries in flight. Without a
spin queries are sent 87 to 135 us late at p50, with 100 us 5 to 42 us, and more of it brings no more. Answers on other
threads are stamped 36 to 63 us late at p50 up to 100 us of it, 51 to 570 us with 500 us, and 2 ms with 2 ms.
"""
LONGEST_NAP_S = 0.05
"""After which a thread that sleeps looks whether the run was stopped."""

_clock = time.perf_counter_ns
_sleep = time.sleep
_select = select.select


def wait_until(due_ns: int, run: Any) -> bool:
    """Wait until a moment of the run's clock; return whether the run goes on."""
    left_ns = due_ns - _clock()
    while left_ns > SPIN_NS:
        if run.stopped or run.ended:
            return False
        _sleep(min((left_ns - SPIN_NS) / 1e9, LONGEST_NAP_S))
        left_ns = due_ns - _clock()
    while _clock() < due_ns:
        _select((), (), (), 0)  # lets another thread have the interpreter, which a stamp may wait for; a sleep is late
    return not (run.stopped or run.ended)
