"""One timed series at a time on a device, whichever process or thread of this machine runs it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from bytemlperf.errors import CancelledError, DeviceBusyError
from bytemlperf.worker import Watch

logger = logging.getLogger(__name__)

POLL_S: Final = 0.02
"""How often a device that another run holds is looked at."""
FOLDER: Final = "bytemlperf-devices"
"""In the system's folder of temporary files: what all users and processes of a machine share."""


@contextlib.contextmanager
def hold(devices: Iterable[str], watch: Watch, *, on_wait: Callable[[str], None] | None = None) -> Iterator[float]:
    """Keep other runs' timed series off some devices while the block runs.

    A lock is a file by the device's id, locked through the system, which gives it back when its
    holder dies. Threads of one process exclude each other too. Every device that is named like a
    CPU is the one CPU that there is. Locks are taken in one order, so that no two runs wait for
    each other; whoever waits for a device comes before those who begin to wait later.

    Args:
        devices: In the framework's own words.
        watch: What may end the waiting.
        on_wait: Hears the name of a device that is busy, once.

    Yields:
        Seconds that were waited.

    Raises:
        CancelledError: If the caller asks to stop while it waits.
        DeviceBusyError: If the job's time is used up while it waits.
    """
    started = time.monotonic()
    with contextlib.ExitStack() as held:
        for device in sorted({shared_name(each) for each in devices}):
            told = _once(on_wait, device)
            with contextlib.ExitStack() as first_in_line:
                _take(f"{device} next", device, watch, told, first_in_line)
                _take(device, device, watch, told, held)
        yield time.monotonic() - started


def shared_name(device: str) -> str:
    """Return one name for what frameworks call differently.

    Example:
        >>> shared_name("CPUExecutionProvider"), shared_name("/CPU:0"), shared_name("cuda:0")
        ('cpu', 'cpu', 'cuda:0')
    """
    lowered = device.lower()
    return "cpu" if "cpu" in lowered else lowered


def _once(on_wait: Callable[[str], None] | None, device: str) -> Iterator[None]:
    """Tell that a device is busy when first asked for; then do nothing."""
    if on_wait is not None:
        on_wait(device)
    while True:
        yield


def _take(lock: str, device: str, watch: Watch, told: Iterator[None], held: contextlib.ExitStack) -> None:
    """Take a lock until the stack is left."""
    handle = _opened(lock)
    if handle is None:
        return
    held.callback(os.close, handle)
    while not _is_taken(handle):
        next(told)
        if watch.cancelled:
            raise CancelledError(f"the caller asked to stop while the device {device!r} was busy")
        if watch.ends_s is not None and time.monotonic() > watch.ends_s:
            error = DeviceBusyError(
                f"another run timed on the device {device!r} until the job's time was used up",
                remedy="try again, or raise limits.total_s",
            )
            error.limit = "total_s"
            raise error
        time.sleep(POLL_S)


def _is_taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _opened(lock: str) -> int | None:
    """Open a lock's file; None where this machine has no place for one, which is logged."""
    path = Path(tempfile.gettempdir()) / FOLDER / _file_name(lock)
    try:
        return _opened_or_made(path)
    except OSError as error:
        logger.warning("no lock for the device %s, other runs may time at the same moment: %s", lock, error)
        return None


def _opened_or_made(path: Path) -> int:
    # A file that another user has made can be locked by reading it, and may not be opened for creation.
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    path.parent.mkdir(exist_ok=True)
    with contextlib.suppress(PermissionError):  # another user's folder, open to all already
        path.parent.chmod(0o1777)
    return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)


def _file_name(lock: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", lock)[:40]
    return f"{plain}-{hashlib.sha256(lock.encode()).hexdigest()[:8]}.lock"
