"""Stay behind as the process that the harness knows, so that nothing which a worker starts outlives it.

Standard library only, syntax of Python 3.7. The worker becomes a child of the guard. The guard ends
the worker, and all that came from it, when the harness asks for it or is gone, even where the
backend holds the interpreter; it collects what would stay as zombies, and ends as the worker did.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time

if False:
    from typing import List, Optional, Tuple

PIPE = "BYTEMLPERF_DEATH_PIPE"
"""Variable with the number of a pipe's end: a byte in it, or its end, ends all."""
PATIENCE_S = 0.5
"""Seconds in which what a worker leaves behind may end by itself, such as a tracker of shared memory."""

_SET_PARENT_DEATH_SIGNAL, _SET_NAME, _SET_CHILD_SUBREAPER = 1, 15, 36
_TOLD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def stand_guard() -> bool:
    """Fork; return only in the child, which is to be the worker. Return False where no harness holds the pipe."""
    pipe = _open_pipe(os.environ.pop(PIPE, ""))
    if pipe is None:
        return False
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    for number in (signal.SIGCHLD, *_TOLD):
        signal.signal(number, lambda *_: None)
    _control(_SET_CHILD_SUBREAPER, 1)
    guard, worker = os.getpid(), os.fork()
    if worker:
        _guard(worker, pipe, wake)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, *_TOLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor in (pipe, wake, woken):
        os.close(descriptor)
    _lead_group(os.getpid())
    _control(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != guard:  # it died before the line above
        os._exit(1)
    return True


def name_process(name: str) -> None:
    """Let `ps` tell a process from the harness; best effort."""
    _control(_SET_NAME, name.encode())


def _open_pipe(number: str) -> Optional[int]:
    """Return the pipe's end if it came through the command that started us."""
    try:
        os.fstat(int(number))
    except (ValueError, OSError):
        return None
    return int(number)


def _control(option: int, value: object) -> None:
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _lead_group(process: int) -> None:
    with contextlib.suppress(OSError):  # done by the other side already
        os.setpgid(process, process)


def _guard(worker: int, pipe: int, wake: int) -> None:
    """Wait for the end of the worker or of the harness; never returns."""
    name_process("bytemlperf-grd")
    _lead_group(worker)
    for descriptor in (0, 1):
        os.close(descriptor)
    status = _wait(worker, pipe, wake)
    if status is None:
        with contextlib.suppress(OSError):
            os.killpg(worker, signal.SIGKILL)
    last = _sweep(worker, 0.0 if status is None else PATIENCE_S)
    _end_like(status if status is not None else last)


def _wait(worker: int, pipe: int, wake: int) -> Optional[int]:
    """Return the worker's status at its end, or None if all has to end."""
    while True:
        ready = select.select([pipe, wake], [], [])[0]
        if pipe in ready or any(number in _TOLD for number in os.read(wake, 512)):
            return None
        for process, status in _collected():
            if process == worker:
                return status


def _collected() -> List[Tuple[int, int]]:
    """Return (process, status) of children that have ended."""
    ended = []
    with contextlib.suppress(ChildProcessError):
        process, status = os.waitpid(-1, os.WNOHANG)
        while process:
            ended.append((process, status))
            process, status = os.waitpid(-1, os.WNOHANG)
    return ended


def _sweep(worker: int, patience_s: float) -> int:
    """Wait for all children, those among them that lost their parents too; return the worker's status.

    After `patience_s` they are killed. A killed one's own children become ours before we hear of its end.
    """
    found, until = 0, time.monotonic() + patience_s
    while True:
        impatient = time.monotonic() >= until
        for process in _children() if impatient else ():
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        try:
            process, status = os.waitpid(-1, 0 if impatient else os.WNOHANG)
        except ChildProcessError:
            return found
        found = status if process == worker else found
        if not process:
            time.sleep(0.01)


def _children() -> List[int]:
    """Return our children, as the system's table of processes tells them."""
    found: List[int] = []
    with contextlib.suppress(OSError):  # where there is no such table, killing the worker's group has to do
        found = [int(name) for name in os.listdir("/proc") if name.isdigit() and _parent(int(name)) == os.getpid()]
    return found


def _parent(process: int) -> int:
    try:
        with open("/proc/%d/stat" % process, "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:  # it is gone
        return 0


def _end_like(status: int) -> None:
    """End as the worker did, so that the harness sees its signal or its exit code."""
    sys.stderr.flush()
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))
