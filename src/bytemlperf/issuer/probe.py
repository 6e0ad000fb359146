"""Look how late a thread runs that had slept until a given time: syntax of Python 3.7.

An answer that comes on a thread of the backend is stamped as soon as that thread gets a processor and the
interpreter. How long that takes while a run goes on is what this thread of our own finds by the same way.
"""

from __future__ import annotations

import contextlib
import threading
import time

if False:
    from typing import Iterator

    from .buffer import TraceBuffer

EVERY_NS = 10_000_000
"""Between two looks at first; more where a run is long."""

_clock = time.perf_counter_ns


@contextlib.contextmanager
def probing(buffer: TraceBuffer) -> Iterator[None]:
    """Look while the block runs, as far as the buffer has room for it."""
    if not buffer.probes:
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_probe, args=(buffer, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _probe(buffer: TraceBuffer, over: threading.Event) -> None:
    late_ns, every_ns, found = buffer.probe_late_ns, EVERY_NS, 0
    while not over.is_set():
        due = _clock() + every_ns
        time.sleep(every_ns / 1e9)
        late_ns[found] = max(_clock() - due, 1)  # 0 stands for none
        found += 1
        if found == buffer.probes:  # half of them, evenly spread, make room; from now on half as often
            found = _thin_out(late_ns, found)
            every_ns *= 2


def _thin_out(late_ns: memoryview[int], found: int) -> int:
    kept = found // 2
    for place in range(kept):
        late_ns[place] = late_ns[2 * place]
    for place in range(kept, found):
        late_ns[place] = 0
    return kept
