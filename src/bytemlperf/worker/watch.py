"""What may end a step early: limits, the caller's wish, and who hears of progress."""

from __future__ import annotations

import time
from typing import Protocol

import attrs

from bytemlperf.workload import Limits


class Cancelled(Protocol):
    """Anything with `is_set`, such as a `threading.Event`."""

    def is_set(self) -> bool:
        """Tell whether the caller wants to stop."""


class Progress(Protocol):
    """Hears how far a step is; never called from the timed region."""

    def __call__(self, done: int, total: int) -> None:
        """Take the number of queries answered, of how many."""


@attrs.frozen(kw_only=True)
class Watch:
    """What a target looks at while it waits.

    Attributes:
        limits: Time and memory.
        cancel: The caller's wish to stop.
        progress: Who hears how far a series is.
        ends_s: `time.monotonic()` at which the whole job has used its time; None for no bound.
    """

    limits: Limits = attrs.field(factory=Limits)
    cancel: Cancelled | None = None
    progress: Progress | None = None
    ends_s: float | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the caller wants to stop."""
        return self.cancel is not None and self.cancel.is_set()

    def deadline(self, seconds: float, name: str) -> tuple[float, str]:
        """Return when a step must end and the name of the limit that says so."""
        own = time.monotonic() + seconds
        if self.ends_s is not None and self.ends_s < own:
            return self.ends_s, "total_s"
        return own, name
