"""Work on many samples by several threads, in bounded memory."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_WINDOW_PER_WORKER: Final = 4
_MOST: Final = 16


def processors() -> int:
    """Return how many processors this process may use, at most 16."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(available or 1, _MOST)


def for_each(put: Callable[[int], None], count: int, *, workers: int) -> None:
    """Call `put` with 0 to `count` - 1 from several threads.

    At any time at most `workers` calls run and 4 x `workers` wait; the first error is raised after its window, and
    no later window begins.
    """
    window = workers * _WINDOW_PER_WORKER
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        for start in range(0, count, window):
            for _ in pool.map(put, range(start, min(start + window, count))):
                pass
