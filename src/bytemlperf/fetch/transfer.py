"""How files are transferred: from which mirrors, with how much patience, how many at a time, told to whom."""

from __future__ import annotations

import datetime as dt
import email.utils
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import attrs

from bytemlperf.errors import WeightsUnavailableError
from bytemlperf.fetch.cache import CACHE_VARIABLE
from bytemlperf.spec.fields import at_least

T = TypeVar("T")

logger = logging.getLogger(__name__)

MIRROR_VARIABLE: Final = "BYTEMLPERF_MIRROR"
"""Environment variable with the URL below which `HOST/PATH` of other URLs is mirrored."""

PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP's answers that may be another one later."""

_SPARE_BYTES: Final = 64 << 20
"""What a download leaves free on its disk."""


@attrs.frozen(kw_only=True)
class Progress:
    """How far one file has come.

    Attributes:
        name: The file's name in its source.
        done_bytes: What is here.
        total_bytes: What it will be; None where nobody says.
    """

    name: str
    done_bytes: int
    total_bytes: int | None


@attrs.frozen(kw_only=True)
class Patience:
    """How often a server is asked that is too busy, fails, or breaks off, and how long is waited in between.

    The wait doubles from try to try. A server's own `Retry-After` counts instead; one that asks for
    more than the longest wait is left, and the error says how long it asked for.

    Attributes:
        tries: Requests at most, the first included.
        first_wait_s: Wait after the first.
        longest_wait_s: Longest wait.
        sleep: What waits.
    """

    tries: int = attrs.field(default=5, validator=at_least(1))
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    sleep: Callable[[float], None] = time.sleep


def free_bytes(folder: Path) -> int:
    """Return the free space of the disk on which a folder is, or will be.

    Raises:
        OSError: If that cannot be told.
    """
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(there).free


@attrs.frozen(kw_only=True)
class Transfer:
    """How files are transferred.

    Attributes:
        endpoint: URL of a mirror of the hub; None for HF_ENDPOINT, else the hub itself.
        mirror: URL below which `HOST/PATH` of other URLs is looked for first; None for
            BYTEMLPERF_MIRROR, else none.
        timeout_s: Longest wait for a server's next byte.
        patience: With servers that are busy, fail or break off.
        at_once: Files of one source that come at a time.
        free_bytes: Tells the free space of a folder's disk.
        on_progress: Hears how far each file is, from the threads that fetch.
    """

    endpoint: str | None = None
    mirror: str | None = None
    timeout_s: float = 10.0
    patience: Patience = attrs.field(factory=Patience)
    at_once: int = attrs.field(default=4, validator=at_least(1))
    free_bytes: Callable[[Path], int] = free_bytes
    on_progress: Callable[[Progress], None] | None = None

    @property
    def mirror_url(self) -> str | None:
        """The mirror that is used."""
        return self.mirror or os.environ.get(MIRROR_VARIABLE) or None

    def tell(self, name: str, done_bytes: int, total_bytes: int | None) -> None:
        """Tell how far a file is; what hears it cannot stop the transfer by an error."""
        if self.on_progress is None:
            return
        try:
            self.on_progress(Progress(name=name, done_bytes=done_bytes, total_bytes=total_bytes))
        except Exception:  # its listener's defect is no reason to lose a download
            logger.exception("on_progress failed")

    def check_room(self, folder: Path, size_bytes: int | None, what: str) -> None:
        """See that a file will fit on its disk.

        Raises:
            WeightsUnavailableError: If it will not; says how much is missing.
        """
        try:
            free = self.free_bytes(folder)
        except OSError as error:
            logger.info("free space cannot be told: %s", error)
            return
        if size_bytes is not None and free < size_bytes + _SPARE_BYTES:
            raise WeightsUnavailableError(
                f"the disk has no room for {what}",
                where=str(folder),
                got=f"{free / 1e6:,.0f} MB free",
                expected=f"{(size_bytes + _SPARE_BYTES) / 1e6:,.0f} MB",
                remedy="make room (`bytemlperf cache list` says what could go), "
                f"or choose another folder by cache= or {CACHE_VARIABLE}",
            )


class PassingError(Exception):
    """Something went wrong that may go right at the next try.

    Attributes:
        cause: What it was.
        retry_after_s: After how long a server wants to be asked again, where it says so.
    """

    def __init__(self, cause: Exception, retry_after: str | None = None) -> None:
        """Keep what it was, and a server's `Retry-After` header."""
        super().__init__(str(cause))
        self.cause = cause
        self.retry_after_s = seconds_of(retry_after)


def patiently(do: Callable[[], T], patience: Patience, what: str) -> T:
    """Do something, again where it fails in passing.

    Args:
        do: Raises PassingError where another try makes sense.
        patience: How many tries, how far apart.
        what: What it is, for the log.

    Raises:
        Exception: The cause of the last PassingError; or what else `do` raises.
    """
    for number in range(1, patience.tries + 1):
        try:
            return do()
        except PassingError as error:
            wait_s = _wait_s(patience, number, error.retry_after_s)
            if number == patience.tries or wait_s > patience.longest_wait_s:
                error.cause.add_note(_gave_up(number, error.retry_after_s, patience))
                raise error.cause from error
            logger.warning("%s: %s; asked again in %.1f s", what, error, wait_s)
            patience.sleep(wait_s)
    raise AssertionError("unreachable: there is at least one try")


def seconds_of(retry_after: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header, which holds these or a date; None where it holds neither.

    Source: RFC 9110, section 10.2.3.
    """
    if not retry_after:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        date = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    now = dt.datetime.now(dt.UTC)
    return max(0.0, ((date if date.tzinfo else date.replace(tzinfo=dt.UTC)) - now).total_seconds())


def _wait_s(patience: Patience, number: int, asked_s: float | None) -> float:
    if asked_s is not None:
        return asked_s
    return min(patience.first_wait_s * 2.0 ** (number - 1), patience.longest_wait_s)


def _gave_up(tries: int, asked_s: float | None, patience: Patience) -> str:
    if asked_s is not None and asked_s > patience.longest_wait_s:
        return f"the server asks to be left alone for {asked_s:.0f} s"
    return f"tried {tries} times" if tries > 1 else "tried once"
