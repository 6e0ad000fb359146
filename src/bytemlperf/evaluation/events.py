"""What happens during a job, told as it happens: to a callback and to `events.jsonl`."""

from __future__ import annotations

import datetime as dt
import errno
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable
from enum import StrEnum
from io import FileIO
from pathlib import Path
from typing import Final

import attrs

from bytemlperf.spec import to_json

logger = logging.getLogger(__name__)

_LOOK_BACK_BYTES: Final = 4096


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
        self._unwritten: list[Event] | None = []
        self._seq = after
        self._lock = threading.Lock()

    def write_to(self, file: Path | None) -> None:
        """Append to a file from now on, what was told before included; None keeps nothing."""
        with self._lock:
            if file is None:
                self._unwritten = None
                return
            self._file = file
            self._write()

    def tell(
        self, kind: EventKind, step: str = "", *, done: int | None = None, total: int | None = None, message: str = ""
    ) -> None:
        """Give an event away."""
        with self._lock:
            self._seq += 1
            event = Event(
                seq=self._seq,
                time_utc=dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
                job=self._job,
                kind=kind,
                step=step,
                done=done,
                total=total,
                message=message,
            )
            if self._unwritten is not None:
                self._unwritten.append(event)
                self._write()
        if self._listener is not None:
            try:
                self._listener(event)
            except Exception:
                logger.exception("a listener raised on event %d", event.seq)

    def _write(self) -> None:
        """Append what is not in the file yet; what a full disk refuses is tried again with the next event."""
        if self._file is None or not self._unwritten:
            return
        try:
            _append(self._file, self._unwritten)
        except OSError as error:
            logger.warning("%d events are not in %s yet: %s", len(self._unwritten), self._file.name, error)
            return
        self._unwritten.clear()


def _append(path: Path, events: Iterable[Event]) -> None:
    lines = "".join(json.dumps(to_json(event)) + "\n" for event in events).encode()
    with path.open("a+b", buffering=0) as file:
        whole = _whole_bytes(file)
        file.truncate(whole)
        if (file.write(lines) or 0) < len(lines):
            file.truncate(whole)
            raise OSError(errno.ENOSPC, "there is no room for whole lines")


def _whole_bytes(file: FileIO) -> int:
    """Return how many bytes of a file are whole lines: a killed process may have left half of one."""
    end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(end - _LOOK_BACK_BYTES, 0)
        file.seek(begin)
        newline = (file.read(end - begin) or b"").rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0


def last_number(path: Path) -> int:
    """Return the number of the last whole event in a file; 0 where there is none."""
    for line in reversed(path.read_bytes().splitlines() if path.is_file() else []):
        try:
            return int(json.loads(line)["seq"])
        except (ValueError, KeyError, TypeError):  # a line that a killed process left half written
            continue
    return 0
