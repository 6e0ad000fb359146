"""The files by which a series goes to a worker and comes back."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from bytemlperf.backends import seam
from bytemlperf.errors import SpecError
from bytemlperf.sample import Array, BatchSet
from bytemlperf.scenarios import Plan
from bytemlperf.spec import to_json
from bytemlperf.trace import OK, UNANSWERED, read_columns
from bytemlperf.worker.watch import Watch

LOOK_EVERY_S: Final = 0.25
LOOK_SHARE: Final = 0.01
"""Of the time, that looking at a trace takes at most."""
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
        "axes": dict(batches.axes),
        "lengths": None if batches.lengths is None else batches.lengths.tolist(),
        "asks": [seam.ask_to(each) for each in batches.asks],
    }
    (folder / "batches.json").write_text(json.dumps(described))


def _is_shared(array: Array) -> bool:
    return len(array) > 1 and array.strides[0] == 0


def write_plan(plan: Plan, folder: Path) -> dict[str, Any]:
    """Write a plan's arrays as .npy files; return what the issuer is told of it.

    Raises:
        OSError: If the folder cannot be written.
    """
    files: dict[str, str | None] = {"batch": str(folder / "plan-batch.npy"), "scheduled_ns": None}
    np.save(folder / "plan-batch.npy", plan.batch, allow_pickle=False)
    if plan.scheduled_ns is not None:
        files["scheduled_ns"] = str(folder / "plan-scheduled.npy")
        np.save(folder / "plan-scheduled.npy", plan.scheduled_ns, allow_pickle=False)
    told = {"clients": plan.clients, "samples_per_query": plan.samples_per_query, "senders": plan.senders}
    return {**files, "fields": {**told, "stop": to_json(plan.stop)}}


def read_reported(path: Path) -> dict[int, dict[str, float]]:
    """Read what an engine told of its queries itself; nothing where it told nothing."""
    try:
        return {int(query): figures for query, figures in json.loads(path.read_text()).items()}
    except (OSError, ValueError):  # not there, or of a worker that was killed while it wrote
        return {}


def expected_records(plan: Plan, *, ended: int, elapsed_ns: int) -> int:
    """Estimate how many records a run will have that a rule may end early, from how far it is.

    Args:
        plan: What is issued.
        ended: Records that have ended so far.
        elapsed_ns: Since the start.
    """
    stop, records = plan.stop, len(plan.batch)
    shares = [ended / records] if records else [1.0]
    if stop.when_enough:
        by_count = ended / max(stop.min_queries * plan.samples_per_query, 1)
        shares.append(min(by_count, elapsed_ns / max(stop.min_duration_ns, 1)))
    if stop.max_duration_ns is not None:
        shares.append(elapsed_ns / stop.max_duration_ns)
    return records if not ended else min(max(round(ended / max(shares)), ended), records)


class TraceLook:
    """Looks at a trace while it grows: tells progress, and finds a query that is out for too long."""

    def __init__(self, path: Path, watch: Watch, plan: Plan) -> None:
        """Name the trace file; it need not be there yet."""
        self._paths = (path, path.with_name(path.name + ".warmup"))
        self._watch, self._plan = watch, plan
        self._next_s = 0.0

    def __call__(self) -> str | None:
        """Return the name of the limit that a query has passed, if one has."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return None
        overdue = any(self._is_overdue(path) for path in self._paths)
        taken_s = time.monotonic() - now_s  # a long trace is looked at less often: it shares the machine with the run
        self._next_s = now_s + max(LOOK_EVERY_S, taken_s / LOOK_SHARE)
        return "query_s" if overdue else None

    def _is_overdue(self, path: Path) -> bool:
        try:
            found = read_columns(path, ("meta", "sent_ns", "done_ns", "status"))
        except (OSError, SpecError):  # not there, or its header is not yet
            return False
        now_ns = time.perf_counter_ns()
        if path is self._paths[0] and self._watch.progress is not None:
            ended = int((found["status"] != UNANSWERED).sum())
            elapsed_ns = now_ns - int(found["meta"][0]) if found["meta"][0] else 0
            total = expected_records(self._plan, ended=ended, elapsed_ns=elapsed_ns)
            self._watch.progress(int((found["status"] == OK).sum()), total)
        is_out = (found["status"] == UNANSWERED) & (found["done_ns"] == 0) & (found["sent_ns"] > 0)
        waiting = found["sent_ns"][is_out]
        limit_ns = self._watch.limits.query_s * 1e9
        return bool(len(waiting)) and now_ns - int(waiting.min()) > limit_ns
