"""What happens during a job, told as it happens: to a callback and to `events.jsonl`."""

from __future__ import annotations

import datetime as dt
import json
import logging
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import attrs

from bytemlperf.spec import to_json

logger = logging.getLogger(__name__)


class EventKind(StrEnum):
    """What can happen; `job_finished` comes last and exactly once."""

    JOB_STARTED = "job_started"
    STEP_STARTED = "step_started"
    STEP_PROGRESS = "step_progress"
    ROW_FINISHED = "row_finished"
    STEP_FAILED = "step_failed"
    JOB_FINISHED = "job_finished"


@attrs.frozen(kw_only=True)
class Event:
    """One event.

    Attributes:
        seq: 1, 2, 3, ... within a job: a reader that was restarted goes on after the last it has.
        time_utc: When, in ISO 8601.
        job: Key of the job.
        kind: What happened.
        step: The step or row concerned.
        done: Queries answered so far, in a progress event.
        total: Of how many.
        message: One sentence for a person.
    """

    seq: int
    time_utc: str
    job: str
    kind: EventKind
    step: str = ""
    done: int | None = None
    total: int | None = None
    message: str = ""


class Events:
    """Numbers events and gives them away; what a listener raises is logged and hurts nothing."""

    def __init__(self, job: str, *, listener: Callable[[Event], None] | None = None, after: int = 0) -> None:
        """Tell of one job to a listener; `write_to` adds a file, `after` is the last number it has."""
        self._job = job
        self._listener = listener
        self._file: Path | None = None
        self._early: list[Event] = []
        self._seq = after
        self._lock = threading.Lock()

    def write_to(self, file: Path) -> None:
        """Append to a file from now on, what was told before included."""
        with self._lock:
            self._file = file
            for event in self._early:
                _append(file, event)
            self._early.clear()

    def tell(
        self, kind: EventKind, step: str = "", *, done: int | None = None, total: int | None = None, message: str = ""
    ) -> None:
        """Give an event away."""
        with self._lock:
            self._seq += 1
            now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
            event = Event(
                seq=self._seq,
                time_utc=now,
                job=self._job,
                kind=kind,
                step=step,
                done=done,
                total=total,
                message=message,
            )
            if self._file is None:
                self._early.append(event)
            else:
                _append(self._file, event)
        if self._listener is not None:
            try:
                self._listener(event)
            except Exception:
                logger.exception("a listener raised on event %d", event.seq)


def _append(path: Path, event: Event) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(to_json(event)) + "\n")


def last_number(path: Path) -> int:
    """Return the number of the last whole event in a file; 0 where there is none."""
    for line in reversed(path.read_text(encoding="utf-8").splitlines() if path.exists() else []):
        try:
            return int(json.loads(line)["seq"])
        except (ValueError, KeyError, TypeError):  # a line that a killed process left half written
            continue
    return 0
