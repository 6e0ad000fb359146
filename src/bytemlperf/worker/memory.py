"""How much memory a worker and what it started hold, looked at from outside."""

from __future__ import annotations

import time
from typing import Final

import psutil

CHILDREN_EVERY_S: Final = 1.0
"""How often the table of processes is searched for new children."""
SHARES_EVERY_S: Final = 0.5
"""How often pages that several processes share are told apart, which stops each of them for a moment."""


class ResidentMemory:
    """Resident memory of a process and all below it.

    Args:
        pid: The first process.
    """

    def __init__(self, pid: int) -> None:
        """Look at nothing yet."""
        self._pid = pid
        self._processes: list[psutil.Process] = []
        self._searched_s = self._shared_out_s = -1e9

    def above(self, limit_bytes: int) -> int:
        """Return how many bytes are held if they are more than the limit, else 0.

        The sum of resident sizes counts a page once for each process that shares it, and a fork shares all.
        So where that sum is above, proportional sizes decide, in which each page counts once.
        """
        self._search()
        sizes = [_resident(each) for each in self._processes]
        if sum(sizes) <= limit_bytes:
            return 0
        if max(sizes) > limit_bytes:
            return max(sizes)
        if time.monotonic() - self._shared_out_s < SHARES_EVERY_S:
            return 0
        self._shared_out_s = time.monotonic()
        held = sum(_proportional(each) for each in self._processes)
        return held if held > limit_bytes else 0

    def _search(self) -> None:
        # Before it is ready, a worker has only the guard: look each time.
        if len(self._processes) > 1 and time.monotonic() - self._searched_s < CHILDREN_EVERY_S:
            return
        self._searched_s = time.monotonic()
        try:
            first = psutil.Process(self._pid)
            self._processes = [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            self._processes = []


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _proportional(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return _resident(process)
