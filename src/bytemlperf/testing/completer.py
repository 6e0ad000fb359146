"""End queries at given times, on a thread apart from those that sent them."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

import attrs

from bytemlperf.backends.base import Cancel
from bytemlperf.errors import CancelledError, PredictError
from bytemlperf.sample import Outputs, Reply


def wait_until(due: float, *, spin_s: float) -> None:
    """Sleep until shortly before `due` (of `time.perf_counter`, in seconds), then watch the clock."""
    while (left := due - time.perf_counter()) > 0:
        time.sleep(max(0.0, left - spin_s))


@attrs.define(eq=False)
class _Query:
    """A query that ends once, however often it is ended."""

    reply: Reply
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _ended: bool = attrs.field(default=False, init=False)

    def end(self, how: Callable[[], None]) -> None:
        with self._lock:
            is_first, self._ended = not self._ended, True
        if is_first:
            how()

    def done(self, outputs: Outputs) -> None:
        self.end(lambda: self.reply.done(outputs))

    def fail(self, error: Exception) -> None:
        self.end(lambda: self.reply.fail(error))


class Completer:
    """A thread that ends queries in the order of their times.

    Args:
        spin_s: How long before a time the thread watches the clock instead of sleeping.
    """

    def __init__(self, *, spin_s: float) -> None:
        """Start the thread."""
        self._spin_s = spin_s
        self._numbers = itertools.count()  # equal times are ended in the order in which they came
        self._waiting: list[tuple[float, int, _Query, Outputs]] = []
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="completer", daemon=True)
        self._thread.start()

    def add(self, due: float, outputs: Outputs, reply: Reply) -> Cancel:
        """End a query with `outputs` at `due`; what is returned fails it at once instead.

        Raises:
            PredictError: If the completer was stopped.
        """
        query = _Query(reply)
        with self._changed:
            if self._stopped:
                raise PredictError("the compiled model was released", remedy="compile it again")
            heapq.heappush(self._waiting, (due, next(self._numbers), query, outputs))
            self._changed.notify()
        return lambda: query.fail(CancelledError("the query was cancelled"))

    def stop(self) -> None:
        """End the thread; queries that still wait fail. Twice is harmless."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()
        for _, _, query, _ in self._waiting:
            query.fail(PredictError("the compiled model was released while the query waited"))
        self._waiting.clear()

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            due, _, query, outputs = taken
            wait_until(due, spin_s=self._spin_s)
            query.done(outputs)

    def _take(self) -> tuple[float, int, _Query, Outputs] | None:
        """Wait for the next query to be nearly due; None once stopped."""
        with self._changed:
            while not self._stopped:
                left = self._waiting[0][0] - self._spin_s - time.perf_counter() if self._waiting else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._waiting)
                self._changed.wait(left)
        return None
