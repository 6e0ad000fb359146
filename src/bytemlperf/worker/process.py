"""A worker process: started as a command, spoken to in JSON lines, watched, and ended for certain."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final

import attrs
import psutil

from bytemlperf.errors import (
    BenchmarkError,
    CancelledError,
    CrashError,
    OutOfHostMemoryError,
    PredictError,
    TimeLimitError,
)
from bytemlperf.issuer import serve
from bytemlperf.spec.fields import as_dict, as_tuple
from bytemlperf.worker.faults import crash_of, error_from
from bytemlperf.worker.watch import Watch

POLL_S: Final = 0.05
"""How often the harness looks at a worker that has not answered."""
CHILDREN_EVERY_S: Final = 1.0
LOG_TAIL_LINES: Final = 20
KEPT_ENVIRONMENT: Final = ("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "SHELL", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
KEPT_PREFIXES: Final = (
    "LC_", "OMP_", "MKL_", "OPENBLAS_", "KMP_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_", "HSA_", "XLA_", "TF_", "TORCH_",
    "ORT_", "PYTHON", "BYTEMLPERF_",
)  # fmt: skip
KEPT_NAMES_NEVER: Final = ("TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIAL")


@attrs.frozen(kw_only=True)
class Worker:
    """How a worker is started.

    Attributes:
        command: The interpreter, or a command that starts one and passes standard input and
            output on (`("docker", "run", "-i", ...)`); empty for this interpreter. It needs numpy;
            where bytemlperf is not installed there, or the Python is older than 3.11, a small
            stand-in with the backend's base classes is used.
        env: Variables to set besides those that are kept; secrets are never kept.
    """

    command: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    env: Mapping[str, str] = attrs.field(factory=dict, converter=as_dict)


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of an environment a worker gets: an allow-list, and nothing named like a secret.

    Example:
        >>> scrubbed({"PATH": "/bin", "HF_TOKEN": "x", "TF_TOKEN": "y", "OMP_NUM_THREADS": "2"})
        {'PATH': '/bin', 'OMP_NUM_THREADS': '2'}
    """
    kept = {k: v for k, v in environment.items() if k in KEPT_ENVIRONMENT or k.startswith(KEPT_PREFIXES)}
    return {k: v for k, v in kept.items() if not any(word in k.upper() for word in KEPT_NAMES_NEVER)}


class WorkerProcess:
    """One worker, in a session of its own so that what it starts can be ended with it."""

    def __init__(self, worker: Worker, folder: Path) -> None:
        """Start the command; what it prints goes to `worker.log` in `folder`.

        Raises:
            CrashError: If the command cannot be started.
        """
        self.log = folder / "worker.log"
        self._numbers = iter(range(1, 1 << 62))
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._peak_bytes, self._children_seen_s = 0, 0.0
        self._children: list[psutil.Process] = []
        self._process, self._death_pipe = self._start(worker)
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()

    def _start(self, worker: Worker) -> tuple[subprocess.Popen[bytes], int]:
        reading, writing = os.pipe()
        env = {**scrubbed(os.environ), **worker.env, serve.DEATH_PIPE: str(reading)}
        command = [*(worker.command or (sys.executable,)), "-u", serve.__file__]
        try:
            with self.log.open("ab") as log:
                process = subprocess.Popen(  # noqa: S603 - the command is the caller's own
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=env,
                    pass_fds=(reading,), start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            os.close(writing)
            raise CrashError("the worker's command cannot be started", got=str(error)) from error
        finally:
            os.close(reading)
        return process, writing

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._answers.put(json.loads(line))
        self._answers.put(None)

    def request(
        self,
        do: str,
        watch: Watch,
        *,
        limit: tuple[float, str],
        default: type[BenchmarkError] = PredictError,
        look: Callable[[], str | None] | None = None,
        **fields: Any,  # noqa: ANN401 - whatever JSON the command needs
    ) -> dict[str, Any]:
        """Send a command and wait for its answer.

        Args:
            do: The command.
            watch: What may end it early.
            limit: Seconds and the name of the limit.
            default: Type of a vendor's own exception.
            look: Called now and then while waiting; returns the name of a limit that was passed.
            fields: What the command needs.

        Raises:
            BenchmarkError: Typed by what went wrong. After anything but the backend's own
                exception the worker is gone.
        """
        number = next(self._numbers)
        self._send({"id": number, "do": do, **fields}, do)
        answer = self._wait(number, do, watch, limit, look)
        if not answer["ok"]:
            raise error_from(answer["error"], default=default)
        return answer

    def _send(self, message: Mapping[str, object], what: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise self._crashed(what) from None

    def _wait(
        self, number: int, what: str, watch: Watch, limit: tuple[float, str], look: Callable[[], str | None] | None
    ) -> dict[str, Any]:
        deadline, name = watch.deadline(*limit)
        asked_to_stop_s: float | None = None
        while True:
            try:
                answer = self._answers.get(timeout=POLL_S)
            except queue.Empty:
                answer = {}
            if answer is None:
                raise self._crashed(what)
            if answer.get("id") == number:
                return answer
            if asked_to_stop_s is None and watch.cancelled:
                asked_to_stop_s = time.monotonic()
                self._send({"id": 0, "do": "cancel"}, what)
            if asked_to_stop_s is not None and time.monotonic() - asked_to_stop_s > watch.limits.grace_s:
                self.kill()
                raise CancelledError(f"cancelled during {what}; the worker did not stop by itself")
            self._check(what, watch, deadline, name, look)

    def _check(
        self, what: str, watch: Watch, deadline: float, name: str, look: Callable[[], str | None] | None
    ) -> None:
        over = name if time.monotonic() > deadline else look() if look is not None else None
        if over is not None:
            self._end_for(TimeLimitError(f"{what} took longer than the limit {over}"), over)
        resident = self.resident_bytes()
        if watch.limits.memory_bytes is not None and resident > watch.limits.memory_bytes:
            text = f"the worker held {resident:,} bytes during {what}, above the limit memory_bytes"
            self._end_for(OutOfHostMemoryError(text, expected=f"{watch.limits.memory_bytes:,} at most"), "memory_bytes")

    def _end_for(self, error: BenchmarkError, limit: str) -> None:
        tail = self.log_tail()
        self.kill()
        error.limit, error.log_tail = limit, tail
        raise error

    def resident_bytes(self) -> int:
        """Return the resident memory of the worker and its children, as last looked at."""
        try:
            process = psutil.Process(self._process.pid)
            if time.monotonic() - self._children_seen_s > CHILDREN_EVERY_S:
                self._children, self._children_seen_s = process.children(recursive=True), time.monotonic()
            resident = sum(_resident(each) for each in (process, *self._children))
        except psutil.NoSuchProcess:
            return 0
        self._peak_bytes = max(self._peak_bytes, resident)
        return resident

    def _crashed(self, what: str) -> BenchmarkError:
        try:
            code: int | None = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:  # it closed its output and lives on
            code = None
        self.kill()
        return crash_of(code, what=what, log_tail=self.log_tail())

    def log_tail(self) -> str:
        """Return the last lines that the worker wrote."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the worker and all that it started; twice is harmless."""
        if self._death_pipe >= 0:
            os.close(self._death_pipe)  # the guard in the worker's group ends it too
            self._death_pipe = -1
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                _close_quietly(stream)

    def close(self, grace_s: float) -> str | None:
        """Ask it to exit and wait; return how it crashed at its end, if it did."""
        if not self.alive:
            self.kill()
            return None
        try:
            self.request("exit", Watch(), limit=(grace_s, "grace_s"))
            code = self._process.wait(timeout=grace_s)
        except BenchmarkError as error:
            return str(error)
        except subprocess.TimeoutExpired:
            return f"the worker did not end within {grace_s:g} s of being asked"
        finally:
            self.kill()
        return None if code == 0 else str(crash_of(code, what="its exit", log_tail=""))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _close_quietly(stream: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):  # what was still to be sent has no reader
        stream.close()
