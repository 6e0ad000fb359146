"""One job while it runs: what was found so far, what may end it, and who hears of it."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, TypeVar

import attrs

from bytemlperf.backends import CompileInfo
from bytemlperf.errors import (
    BenchmarkError,
    Blame,
    CancelledError,
    DiskLimitError,
    FailureCode,
    HarnessError,
    RequestError,
    TimeLimitError,
)
from bytemlperf.evaluation.devicelock import hold
from bytemlperf.evaluation.disk import bytes_below
from bytemlperf.evaluation.events import EventKind, Events, last_number
from bytemlperf.evaluation.request import Request
from bytemlperf.evaluation.rowstore import RowStore, StoredRow
from bytemlperf.failure import Failure, failure_of
from bytemlperf.report import NotMeasured, Part, ReportWarning, Row
from bytemlperf.worker import Watch
from bytemlperf.workload import Check, Limits

T = TypeVar("T")
logger = logging.getLogger(__name__)

EVENTS_FILE: Final = "events.jsonl"
ENDING_CODES: Final = frozenset({FailureCode.CANCELLED})
ENDING_LIMITS: Final = frozenset({"total_s", "disk_bytes"})
"""Failures, by code or by the limit that was passed, after which nothing more is tried."""


class Session:
    """Collects rows, failures and warnings; each step runs through `attempt`.

    Args:
        request: What is evaluated.
        scratch: Folder for workers' files; goes with the session.

    Attributes:
        watch: The job's limits, for the backend under test.
        own_watch: For what the harness runs besides it, such as the reference: the caller's wish to
            stop and the whole job's time, without the limits that are set to the backend.
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
        self.own_watch = attrs.evolve(self.watch, limits=Limits(grace_s=self.job.limits.grace_s))
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

        def within_limits() -> T:
            self._check_limits(step)
            return do()

        return self.finish(step, within_limits)

    def finish(self, step: str, do: Callable[[], T]) -> T | None:
        """Do what belongs to a step that was done already, even after the job has ended; else as `attempt`."""
        try:
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

    def _check_limits(self, step: str) -> None:
        if self.watch.cancelled:
            raise CancelledError(f"the caller asked to stop before {step}")
        if self.watch.ends_s is not None and time.monotonic() > self.watch.ends_s:
            error = TimeLimitError(f"the job's time was used up before {step}", remedy="raise limits.total_s")
            error.limit = "total_s"
            raise error
        self._check_disk(step)

    def _check_disk(self, step: str) -> None:
        bound, out = self.job.limits.disk_bytes, self.request.out
        held = 0 if bound is None else bytes_below(self.scratch) + (0 if out is None else bytes_below(out))
        if bound is not None and held > bound:
            error = DiskLimitError(
                f"the job's files took more than the limit disk_bytes before {step}",
                got=held,
                expected=f"{bound:,} at most",
                remedy="raise limits.disk_bytes, or look at what the backend writes",
            )
            error.limit = "disk_bytes"
            raise error

    def begin(self, part: Part, store: RowStore | None) -> None:
        """From here on files are written and the request stands: what goes wrong is a failure."""
        self.part = part
        self.underway = True
        self.store = store
        self.events.write_to(None if self.request.out is None else self.request.out / EVENTS_FILE)

    def fail(self, failure: Failure) -> None:
        """Note a failure; after some, nothing more is tried."""
        if failure.code is FailureCode.TIME_LIMIT and failure.limit == "total_s":
            # The caller's bound on all steps together says nothing of any one.
            failure = attrs.evolve(failure, blame=Blame.REQUEST)
        self.failures.append(failure)
        self.events.tell(EventKind.STEP_FAILED, failure.step, message=failure.message)
        if failure.code in ENDING_CODES or failure.limit in ENDING_LIMITS:
            self.ended = True

    def hold(self, devices: Iterable[str]) -> AbstractContextManager[float]:
        """Keep other runs' timed series off some devices while the block runs; see `devicelock.hold`."""
        step = self._step

        def tell(device: str) -> None:
            self.events.tell(EventKind.STEP_PROGRESS, step, message=f"waiting for another run on {device}")

        return hold(devices, self.watch, on_wait=tell)

    def warn(self, code: str, message: str, step: str = "") -> None:
        """Note something that a reader of the figures must know."""
        self.warnings.append(ReportWarning(code=code, message=message, step=step or self._step))

    def skip(self, check: Check, reason: str) -> None:
        """Note what was not measured, and why."""
        self.not_measured.append(NotMeasured(check=check, reason=reason))

    def add(self, row: Row, *, whole: bool = True, info: CompileInfo | None = None) -> None:
        """Take a row into the report.

        Args:
            row: What was measured.
            whole: Whether nothing of it is missing: only then a resumed run takes it over.
            info: What the compiler did, for the row of a compile.

        Raises:
            HarnessError: If it cannot be written; the report has it all the same.
        """
        assert self.part is not None, "rows come after begin"
        row = attrs.evolve(row, part=self.part.id)
        self.rows.append(row)
        try:
            if whole and self.store is not None:
                self.store.keep(self._stored(row, self.part, info))
        finally:
            self.events.tell(EventKind.ROW_FINISHED, row.key)

    def amend(self, key: str, failure: Failure, change: Callable[[Row], tuple[Row, Failure]]) -> None:
        """Put more into a row and its failure than could be told when they came.

        Args:
            key: Of the row.
            failure: The one that was told with it.
            change: Gives both as they are to be.

        Raises:
            HarnessError: If the row cannot be written; the report has it all the same.
        """
        index = next(index for index, row in enumerate(self.rows) if row.key == key)
        row, amended = change(self.rows[index])
        self.rows[index] = row
        self.failures = [amended if each == failure else each for each in self.failures]
        if self.store is not None and self.part is not None:
            self.store.keep(self._stored(row, self.part, None))

    def _stored(self, row: Row, part: Part, info: CompileInfo | None) -> StoredRow:
        return StoredRow(
            part=part,
            row=row,
            failures=tuple(each for each in self.failures if each.step == row.key),
            warnings=tuple(each for each in self.warnings if each.step == row.key),
            info=info,
        )

    def has(self, key: str) -> bool:
        """Whether an earlier run of the same job left a row."""
        return self.store is not None and self.store.find(key) is not None

    def kept(self, key: str) -> StoredRow | None:
        """Take over a row that an earlier run of the same job left, with what was said of it."""
        found = None if self.store is None else self.store.find(key)
        if found is None:
            return None
        self.rows.append(found.row)
        self.failures.extend(found.failures)
        self.warnings.extend(found.warnings)
        if found.part not in self.earlier_parts:
            self.earlier_parts.append(found.part)
        return found

    def _progress(self, done: int, total: int) -> None:
        self.events.tell(EventKind.STEP_PROGRESS, self._step, done=done, total=total)


def _last_event(request: Request) -> int:
    return 0 if request.out is None else last_number(request.out / EVENTS_FILE)
