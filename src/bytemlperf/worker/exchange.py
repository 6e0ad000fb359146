"""The files by which a series goes to a worker and comes back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from bytemlperf.backends import seam
from bytemlperf.sample import Array, BatchSet
from bytemlperf.trace import OK, Trace, read
from bytemlperf.worker.watch import Watch

LOOK_EVERY_S: Final = 0.25


def write_batches(batches: BatchSet, folder: Path) -> None:
    """Write prepared batches as .npy files and a description; an input shared by all is written once."""
    folder.mkdir(parents=True)
    inputs = {}
    for number, (name, array) in enumerate(batches.inputs.items()):
        shared = _is_shared(array)
        np.save(folder / f"{number}.npy", array[:1] if shared else array, allow_pickle=False)
        inputs[name] = {"file": f"{number}.npy", "shared": shared}
    described = {
        "inputs": inputs,
        "size": batches.size,
        "padding": [int(each) for each in batches.padding],
        "ask": seam.ask_to(batches.ask),
    }
    (folder / "batches.json").write_text(json.dumps(described))


def _is_shared(array: Array) -> bool:
    return len(array) > 1 and array.strides[0] == 0


class TraceLook:
    """Looks at a trace while it grows: tells progress, and finds a query that is out for too long."""

    def __init__(self, path: Path, watch: Watch) -> None:
        """Name the trace file; it need not be there yet."""
        self._paths = (path, path.with_name(path.name + ".warmup"))
        self._watch = watch
        self._next_s = 0.0

    def __call__(self) -> str | None:
        """Return the name of the limit that a query has passed, if one has."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return None
        self._next_s = now_s + LOOK_EVERY_S
        for trace in self._readable():
            waiting = trace.sent_ns[(trace.status == 0) & (trace.sent_ns > 0)]
            if len(waiting) and time.perf_counter_ns() - int(waiting.min()) > self._watch.limits.query_s * 1e9:
                return "query_s"
        return None

    def _readable(self) -> Iterator[Trace]:
        for path in self._paths:
            if not path.exists() or path.stat().st_size == 0:
                continue
            trace = read(path)
            if path is self._paths[0] and self._watch.progress is not None:
                self._watch.progress(int((trace.status == OK).sum()), len(trace))
            yield trace
