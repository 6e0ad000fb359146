"""One job while it runs: what was found so far, what may end it, and who hears of it."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import attrs

from bytemlperf.errors import (
    BenchmarkError,
    CancelledError,
    Failure,
    FailureCode,
    HarnessError,
    RequestError,
    TimeLimitError,
    failure_of,
)
from bytemlperf.evaluation.events import EventKind, Events, last_number
from bytemlperf.evaluation.request import Request
from bytemlperf.evaluation.rowstore import RowStore
from bytemlperf.report import NotMeasured, Part, ReportWarning, Row
from bytemlperf.worker import Watch
from bytemlperf.workload import Check

T = TypeVar("T")
logger = logging.getLogger(__name__)

EVENTS_FILE: Final = "events.jsonl"
ENDING: Final = frozenset({FailureCode.CANCELLED})
"""Failures after which nothing more is tried."""


class Session:
    """Collects rows, failures and warnings; each step runs through `attempt`.

    Args:
        request: What is evaluated.
        scratch: Folder for workers' files; goes with the session.
    """

    def __init__(self, request: Request, scratch: Path) -> None:
        """Begin with nothing found."""
        self.request = request
        self.job = request.job
        self.scratch = scratch
        self.events = Events(self.job.key, listener=request.on_event, after=_last_event(request))
        total = self.job.limits.total_s
        self.watch = Watch(
            limits=self.job.limits,
            cancel=request.cancel,
            progress=self._progress,
            ends_s=None if total is None else time.monotonic() + total,
        )
        self.part: Part | None = None
        self.earlier_parts: list[Part] = []
        self.rows: list[Row] = []
        self.failures: list[Failure] = []
        self.warnings: list[ReportWarning] = []
        self.not_measured: list[NotMeasured] = []
        self.store: RowStore | None = None
        self.underway = False
        self.ended = False
        self._step = ""

    def attempt(self, step: str, do: Callable[[], T]) -> T | None:
        """Do a step; return None where it failed, with the failure noted.

        Raises:
            RequestError: Only before anything was written: what was asked for cannot be.
        """
        if self.ended:
            return None
        self._step = step
        self.events.tell(EventKind.STEP_STARTED, step)
        try:
            self._check_time(step)
            return do()
        except RequestError as error:
            if not self.underway:
                raise
            self.fail(failure_of(HarnessError(str(error)), step=step))
        except BenchmarkError as error:
            self.fail(failure_of(error, step=step))
        except Exception as error:  # a defect of ours, or of a plug-in's data set or metric: told, and the rest goes on
            logger.exception("step %s raised", step)
            wrapped = HarnessError(f"{type(error).__name__}: {error}")
            wrapped.log_tail = traceback.format_exc()[-4000:]
            self.fail(failure_of(wrapped, step=step))
        return None

    def _check_time(self, step: str) -> None:
        if self.watch.cancelled:
            raise CancelledError(f"the caller asked to stop before {step}")
        if self.watch.ends_s is not None and time.monotonic() > self.watch.ends_s:
            error = TimeLimitError(f"the job's time was used up before {step}", remedy="raise limits.total_s")
            error.limit = "total_s"
            raise error

    def begin(self, part: Part, store: RowStore | None) -> None:
        """From here on files are written and the request stands: what goes wrong is a failure."""
        self.part = part
        self.underway = True
        self.store = store
        if self.request.out is not None:
            self.events.write_to(self.request.out / EVENTS_FILE)

    def fail(self, failure: Failure) -> None:
        """Note a failure; after some, nothing more is tried."""
        self.failures.append(failure)
        self.events.tell(EventKind.STEP_FAILED, failure.step, message=failure.message)
        if failure.code in ENDING or failure.limit == "total_s":
            self.ended = True

    def warn(self, code: str, message: str, step: str = "") -> None:
        """Note something that a reader of the figures must know."""
        self.warnings.append(ReportWarning(code=code, message=message, step=step or self._step))

    def skip(self, check: Check, reason: str) -> None:
        """Note what was not measured, and why."""
        self.not_measured.append(NotMeasured(check=check, reason=reason))

    def add(self, row: Row) -> Row:
        """Keep a finished row, on disk too where there is a folder."""
        assert self.part is not None, "rows come after begin"
        row = attrs.evolve(row, part=self.part.id)
        self.rows.append(row)
        if self.store is not None:
            self.store.keep(row, self.part)
        self.events.tell(EventKind.ROW_FINISHED, row.key)
        return row

    def kept(self, key: str) -> Row | None:
        """Return a row that an earlier run of the same job left, and count it as found."""
        found = None if self.store is None else self.store.find(key)
        if found is None:
            return None
        self.rows.append(found.row)
        if found.part not in self.earlier_parts:
            self.earlier_parts.append(found.part)
        return found.row

    def _progress(self, done: int, total: int) -> None:
        self.events.tell(EventKind.STEP_PROGRESS, self._step, done=done, total=total)


def _last_event(request: Request) -> int:
    return 0 if request.out is None else last_number(request.out / EVENTS_FILE)
