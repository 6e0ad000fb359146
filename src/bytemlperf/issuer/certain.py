"""End a run when its percentile is known well enough: numpy, syntax of Python 3.7.

A thread of its own looks now and then whether the queries of the next look have ended, and computes while others run:
no client stands still for it. The looks are few, and their sizes were fixed beforehand.
"""

from __future__ import annotations

import contextlib
import threading

import numpy as np

from .order import CERTAIN
from .reply import ANSWERED, UNANSWERED

if False:
    from typing import Any, Iterator, Sequence

    from .issue import Run

LOOK_EVERY_S = 0.02


@contextlib.contextmanager
def ended_when_certain(run: Run, looks: Sequence[Any], within: float) -> Iterator[None]:
    """Let the block end, by `run.ended`, when a look finds the percentile well enough known."""
    if not looks:
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_look_on, args=(run, looks, within, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _look_on(run: Run, looks: Sequence[Any], within: float, over: threading.Event) -> None:
    left = list(looks)
    while left and not over.wait(LOOK_EVERY_S):
        while left and _have_ended(run, left[0]["n"]):
            if is_certain(run.columns, left.pop(0), within):
                run.ended = run.ended or CERTAIN
                return


def _have_ended(run: Run, n: int) -> bool:
    """Whether the first so many queries have ended; the last of them is asked first, being the likeliest not to."""
    return run.status[n - 1] != UNANSWERED and bool((run.columns["status"][:n] != UNANSWERED).all())


def is_certain(columns: Any, look: Any, within: float) -> bool:
    """Whether the interval of a look is narrow enough; a look with a query that failed tells nothing."""
    n = look["n"]
    if not (columns["status"][:n] == ANSWERED).all():
        return False
    taken = columns["done_ns"][:n] - columns["scheduled_ns"][:n]
    ranks = (look["low"], look["value"], look["high"])
    low, value, high = np.partition(taken, ranks)[list(ranks)].tolist()
    return bool(value - low <= within * value and high - value <= within * value)
