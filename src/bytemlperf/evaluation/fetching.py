"""Resolve a model for a job, whose listeners hear how far its files have come."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from bytemlperf.evaluation.aside import aside
from bytemlperf.evaluation.events import EventKind
from bytemlperf.fetch import Progress, Transfer
from bytemlperf.zoo import resolve

if TYPE_CHECKING:
    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.evaluation.session import Session
    from bytemlperf.spec import ModelSpec

_EVERY_S: Final = 0.25
_MEGABYTE: Final = 1_000_000


def resolved(session: Session, spec: ModelSpec, *, step: str) -> ModelArtifact:
    """Resolve a model with the job's weights and seed; a caller who wants to stop need not wait for its end.

    Args:
        session: The job.
        spec: The model.
        step: The step that this is part of.

    Raises:
        BenchmarkError: As `zoo.resolve` and `aside`.
    """
    job = session.job
    told = _Told(session, step)
    try:
        transfer = Transfer(on_progress=told)
        do = partial(resolve, spec, weights=job.weights, seed=job.seed, transfer=transfer)
        return aside(do, session.watch, "the model's resolution")
    finally:
        told.close()


class _Told:
    """Makes events of what is heard of a transfer, some a second; none once nobody waits for it any more."""

    def __init__(self, session: Session, step: str) -> None:
        self._step = step
        self._session: Session | None = session
        self._last_s = 0.0
        self._lock = threading.Lock()

    def __call__(self, progress: Progress) -> None:
        with self._lock:
            now_s = time.monotonic()
            if self._session is None or now_s - self._last_s < _EVERY_S:
                return
            self._last_s = now_s
            total = None if progress.total_bytes is None else progress.total_bytes // _MEGABYTE
            self._session.events.tell(
                EventKind.STEP_PROGRESS,
                self._step,
                done=progress.done_bytes // _MEGABYTE,
                total=total,
                message=f"{progress.name}, MB",
            )

    def close(self) -> None:
        """Say nothing more."""
        with self._lock:
            self._session = None
