"""Who may call the backend now, and which replica of the model: standard library only, syntax of Python 3.7."""

from __future__ import annotations

import collections
import itertools
import threading

if False:
    from typing import Any, Deque, List


class Slots:
    """So many calls at once to each replica, given to clients in the order in which they asked.

    A client that comes back at once would else be served before all that wait, and latency would tell of that.
    The replica with the fewest calls under way is given first. Every step is one operation of a deque, which
    threads cannot share; nobody waits but a client for its turn.

    Args:
        count: Calls at once to each replica.
        replicas: How many there are.
    """

    def __init__(self, count: int, replicas: int = 1) -> None:
        self._free = [collections.deque([None] * count) for _ in range(replicas)]
        self._waiting: Deque[List[Any]] = collections.deque()

    def take(self, wake: Any, timeout_s: float = -1) -> int:
        """Wait for a slot on the client's own lock, which it holds; return its replica, or -1 if time is up."""
        asked = [wake, 0]
        self._waiting.append(asked)
        self._match()
        return asked[1] if wake.acquire(True, timeout_s) else -1

    def give(self, replica: int) -> None:
        """Give a slot back."""
        self._free[replica].append(None)
        self._match()

    def _match(self) -> None:
        while self._waiting:
            replica = max(range(len(self._free)), key=lambda each: len(self._free[each]))
            try:
                self._free[replica].pop()
            except IndexError:  # none is free, or another thread was quicker
                if any(self._free):
                    continue
                return
            try:
                asked = self._waiting.popleft()
            except IndexError:
                self._free[replica].append(None)
                continue
            asked[1] = replica
            asked[0].release()


class Gate:
    """Stands for a lock that is released when so many calls have ended.

    Args:
        lock: Released by the last of them.
        calls: How many there are.
    """

    __slots__ = ("_ended", "_last", "_lock")

    def __init__(self, lock: Any, calls: int) -> None:
        self._lock, self._last = lock, calls - 1
        self._ended = itertools.count()

    def release(self) -> None:
        """Count one end; one step, whatever other threads do."""
        if next(self._ended) == self._last:
            self._lock.release()


class Nobody:
    """Stands for a lock on which nobody waits."""

    __slots__ = ()

    def release(self) -> None:
        """Do nothing."""


def held_lock() -> Any:
    """Return a lock that its maker holds."""
    lock = threading.Lock()
    lock.acquire()
    return lock
