"""Work of the harness itself that nobody can cut short, such as a download, a reading or a conversion."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from bytemlperf.errors import BenchmarkError, CancelledError, TimeLimitError
from bytemlperf.worker import Watch

T = TypeVar("T")

LOOK_EVERY_S: Final = 0.05


def aside(do: Callable[[], T], watch: Watch, what: str) -> T:
    """Do something on a thread of its own, so that a caller who wants to stop need not wait for its end.

    Where there is neither a wish to stop to be heard nor an end of the job's time, it is done on
    the calling thread. What is left behind goes on until it ends by itself, and comes to nothing.

    Args:
        do: What is done; it tells nobody of anything.
        watch: The wish to stop, the grace after it, the end of the job's time.
        what: Its name, for messages.

    Raises:
        CancelledError: If the caller asks to stop and the grace passes.
        TimeLimitError: If the job's time is used up.
        Exception: What `do` raises.
    """
    if watch.cancel is None and watch.ends_s is None:
        return do()
    work = _Work(do)
    asked_to_stop_s: float | None = None
    while not work.ended.wait(LOOK_EVERY_S):
        now_s = time.monotonic()
        if asked_to_stop_s is None and watch.cancelled:
            asked_to_stop_s = now_s
        if asked_to_stop_s is not None and now_s - asked_to_stop_s > watch.limits.grace_s:
            raise CancelledError(f"cancelled during {what}, which goes on until it ends by itself")
        if watch.ends_s is not None and now_s > watch.ends_s:
            raise _out_of_time(what)
    return work.result()


def _out_of_time(what: str) -> BenchmarkError:
    error = TimeLimitError(f"the job's time was used up during {what}", remedy="raise limits.total_s")
    error.limit = "total_s"
    return error


class _Work(Generic[T]):
    """A call on a daemon thread, and what came of it."""

    def __init__(self, do: Callable[[], T]) -> None:
        self.ended = threading.Event()
        self._do = do
        self._results: list[T] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="bytemlperf-aside", daemon=True).start()

    def _run(self) -> None:
        try:
            self._results.append(self._do())
        except BaseException as error:  # noqa: BLE001 - raised on the thread that asked
            self._error = error
        finally:
            self.ended.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._results[0]
