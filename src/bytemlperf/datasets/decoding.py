"""Work on many samples by several threads, in bounded memory."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST: Final = 16


def processors() -> int:
    """Return how many processors this process may use, at most 16."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(available or 1, _MOST)


def for_each(put: Callable[[int], None], count: int, *, workers: int) -> None:
    """Call `put` with 0 to `count` - 1, in that order, from several threads; none of them waits for another.

    At any time at most `workers` calls run. After an error none begins any more; of several errors that of the lowest
    number is raised.
    """
    rows, turn = iter(range(count)), threading.Lock()
    failed: list[tuple[int, BaseException]] = []

    def work() -> None:
        while not failed:
            with turn:
                row = next(rows, None)
            if row is None:
                return
            try:
                put(row)
            except BaseException as error:  # noqa: BLE001 - raised again where the caller waits
                failed.append((row, error))

    if min(workers, count) <= 1:
        work()
    else:
        with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
            for _ in range(min(workers, count)):
                pool.submit(work)
    if failed:
        raise min(failed, key=lambda each: each[0])[1]
