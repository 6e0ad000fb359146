"""The files by which a series goes to a worker and comes back."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

import numpy as np

from bytemlperf.backends import seam
from bytemlperf.errors import SpecError
from bytemlperf.sample import Array, BatchSet
from bytemlperf.trace import OK, UNANSWERED, read_columns
from bytemlperf.worker.watch import Watch

LOOK_EVERY_S: Final = 0.25
_ADDED_BY_A_PACKAGE: Final = 2
"""What numpy's `isbuiltin` says of a type that another package has added."""


def write_batches(batches: BatchSet, folder: Path) -> None:
    """Write prepared batches as .npy files and a description; an input shared by all is written once.

    Types that numpy lacks (`bfloat16`) go as the bytes that they are, with their name.

    Raises:
        OSError: If the folder cannot be written.
        ValueError: If an input is no array of plain values.
    """
    folder.mkdir(parents=True)
    inputs = {}
    for number, (name, array) in enumerate(batches.inputs.items()):
        shared, added = _is_shared(array), array.dtype.isbuiltin == _ADDED_BY_A_PACKAGE
        kept = array[:1] if shared else array
        plain = kept.view(f"u{array.itemsize}") if added else kept
        np.save(folder / f"{number}.npy", plain, allow_pickle=False)
        inputs[name] = {"file": f"{number}.npy", "shared": shared, "dtype": array.dtype.name if added else ""}
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
        for path in self._paths:
            if self._is_overdue(path):
                return "query_s"
        return None

    def _is_overdue(self, path: Path) -> bool:
        try:
            found = read_columns(path, ("sent_ns", "done_ns", "status"))
        except (OSError, SpecError):  # not there, or its header is not yet
            return False
        if path is self._paths[0] and self._watch.progress is not None:
            self._watch.progress(int((found["status"] == OK).sum()), len(found["status"]))
        is_out = (found["status"] == UNANSWERED) & (found["done_ns"] == 0) & (found["sent_ns"] > 0)
        waiting = found["sent_ns"][is_out]
        limit_ns = self._watch.limits.query_s * 1e9
        return bool(len(waiting)) and time.perf_counter_ns() - int(waiting.min()) > limit_ns
