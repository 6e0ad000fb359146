"""A worker process: started as a command, spoken to in JSON lines, watched, and ended for certain."""

from __future__ import annotations

import contextlib
import itertools
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
from typing import IO, Any, Final, TypeAlias

import attrs

from bytemlperf.errors import (
    BackendUnavailableError,
    BenchmarkError,
    CancelledError,
    CrashError,
    OutOfHostMemoryError,
    PredictError,
    TimeLimitError,
)
from bytemlperf.issuer import guard, serve
from bytemlperf.spec.fields import as_dict, as_tuple
from bytemlperf.worker.faults import crash_of, error_from
from bytemlperf.worker.memory import ResidentMemory
from bytemlperf.worker.watch import Watch

POLL_S: Final = 0.05
"""How often the harness looks at a worker that has not answered."""
LOG_TAIL_LINES: Final = 20
LOG_TAIL_BYTES: Final = 20_000
END_S: Final = 5.0
"""Seconds for a killed worker to be gone; more only where the system itself cannot end it."""
KEPT_ENVIRONMENT: Final = ("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "SHELL", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
KEPT_PREFIXES: Final = (
    "LC_", "OMP_", "MKL_", "OPENBLAS_", "KMP_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_", "HSA_", "XLA_", "TF_", "TORCH_",
    "ORT_", "GLOO_", "NCCL_", "PYTHON", "BYTEMLPERF_",
)  # fmt: skip
KEPT_NAMES_NEVER: Final = ("TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIAL")


Supply: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, object]]
"""From what a worker needs to carry a command out, as JSON data, to what it gets."""


@attrs.frozen(kw_only=True)
class Worker:
    """How a worker is started.

    Attributes:
        command: The interpreter, or a command that starts one and passes standard input and
            output on (`("docker", "run", "-i", ...)`); empty for this interpreter. It needs numpy;
            where bytemlperf is not installed there, or the Python is older than 3.11, a small
            stand-in with the backend's base classes is used. Of what it starts on another
            machine or in a container, memory is not watched.
        env: Variables to set besides those that are kept; secrets are never kept, and Python's own
            (`PYTHONPATH`) are kept only for this interpreter.
    """

    command: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    env: Mapping[str, str] = attrs.field(factory=dict, converter=as_dict)


def scrubbed(environment: Mapping[str, str], *, foreign: bool = False) -> dict[str, str]:
    """Return what of an environment a worker gets: an allow-list, and nothing named like a secret.

    Args:
        environment: The harness' own.
        foreign: Whether the worker is another interpreter, which Python's own variables would mislead.

    Example:
        >>> scrubbed({"PATH": "/bin", "HF_TOKEN": "x", "TF_TOKEN": "y", "OMP_NUM_THREADS": "2"})
        {'PATH': '/bin', 'OMP_NUM_THREADS': '2'}
    """
    kept = {k: v for k, v in environment.items() if k in KEPT_ENVIRONMENT or k.startswith(KEPT_PREFIXES)}
    if foreign:
        kept = {k: v for k, v in kept.items() if not k.startswith("PYTHON") and k != "VIRTUAL_ENV"}
    return {k: v for k, v in kept.items() if not any(word in k.upper() for word in KEPT_NAMES_NEVER)}


class WorkerProcess:
    """One worker, in a session of its own so that what it starts can be ended with it."""

    def __init__(self, worker: Worker, folder: Path) -> None:
        """Start the command; what it prints goes to `worker.log` in `folder`.

        Raises:
            BackendUnavailableError: If the command cannot be started.
        """
        self.log = folder / "worker.log"
        self._numbers = itertools.count(1)
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._ended = False
        self.guarded = True
        """Whether the worker heeds the pipe by which it is ended; `hello` tells."""
        self._process, self._pipe = self._start(worker)
        self._memory = ResidentMemory(self._process.pid)
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=_read, args=(self._process.stdout, self._answers, self.log), daemon=True)
        self._reader.start()

    def _start(self, worker: Worker) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
        reading, writing = os.pipe()
        env = {**scrubbed(os.environ, foreign=bool(worker.command)), **worker.env, guard.PIPE: str(reading)}
        command = [*(worker.command or (sys.executable,)), "-u", serve.__file__]
        pipe = os.fdopen(writing, "wb", buffering=0)  # closed with this object, at the latest: then the guard ends all
        try:
            with self.log.open("ab") as log:
                process = subprocess.Popen(  # noqa: S603 - the command is the caller's own
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=env,
                    pass_fds=(reading,), start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            pipe.close()
            raise BackendUnavailableError("the worker's command cannot be started", got=str(error)) from error
        finally:
            os.close(reading)
        return process, pipe

    def request(
        self,
        do: str,
        watch: Watch,
        *,
        limit: tuple[float, str],
        default: type[BenchmarkError] = PredictError,
        look: Callable[[], str | None] | None = None,
        supply: Supply | None = None,
        **fields: Any,  # noqa: ANN401 - whatever JSON the command needs
    ) -> dict[str, Any]:
        """Send a command and wait for its answer.

        Args:
            do: The command.
            watch: What may end it early.
            limit: Seconds and the name of the limit.
            default: Type of a vendor's own exception.
            look: Called now and then while waiting; returns the name of a limit that was passed.
            supply: Called with what the worker needs on the way; what it raises is told to the worker.
            fields: What the command needs.

        Raises:
            BenchmarkError: Typed by what went wrong. After anything but the backend's own
                exception the worker is gone.
        """
        number = next(self._numbers)
        if self._ended:
            raise CrashError(f"there is no worker for {do}: it was ended before")
        self._send({"id": number, "do": do, **fields}, do)
        answer = self._wait(number, do, watch, limit, look=look, supply=supply)
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
        self,
        number: int,
        what: str,
        watch: Watch,
        limit: tuple[float, str],
        *,
        look: Callable[[], str | None] | None,
        supply: Supply | None,
    ) -> dict[str, Any]:
        deadline, name = watch.deadline(*limit)
        asked_to_stop_s: float | None = None
        while True:
            answer = self._next_answer()
            if answer is None:
                raise self._crashed(what)
            if answer.get("id") == number and "needs" not in answer:
                return answer
            if "needs" in answer:
                self._send({"id": 0, "do": "supply", **self._supplied(answer["needs"], supply)}, what)
            if asked_to_stop_s is None and watch.cancelled:
                asked_to_stop_s = time.monotonic()
                self._send({"id": 0, "do": "cancel", "of": number}, what)
            if asked_to_stop_s is not None and time.monotonic() - asked_to_stop_s > watch.limits.grace_s:
                self.kill()
                raise CancelledError(f"cancelled during {what}; the worker did not stop by itself")
            self._check(what, watch, deadline, name, look)

    def _supplied(self, needs: Mapping[str, Any], supply: Supply | None) -> Mapping[str, object]:
        assert supply is not None, "only a command that may need something asks"
        try:
            return {"error": "", **supply(needs)}
        except BenchmarkError as error:
            return {"error": str(error), "code": str(error.code)}
        except BaseException:  # a defect of ours, or an interrupt: nobody would answer the worker
            self.kill()
            raise

    def _next_answer(self) -> dict[str, Any] | None:
        """Return an answer, an empty one if none came yet, or None if none will."""
        if not self.alive:  # it may be dead while a child of its own keeps the pipe open
            self._reader.join(timeout=1)
            self._answers.put(None)
        try:
            return self._answers.get(timeout=POLL_S)
        except queue.Empty:
            return {}

    def _check(
        self, what: str, watch: Watch, deadline: float, name: str, look: Callable[[], str | None] | None
    ) -> None:
        over = name if time.monotonic() > deadline else look() if look is not None else None
        if over is not None:
            self._end_for(TimeLimitError(f"{what} took longer than the limit {over}"), over)
        bound = watch.limits.memory_bytes
        resident = 0 if bound is None else self._memory.above(bound)
        if resident:
            text = f"the worker held {resident:,} bytes during {what}, above the limit memory_bytes"
            self._end_for(OutOfHostMemoryError(text, expected=f"{bound:,} at most"), "memory_bytes")

    def _end_for(self, error: BenchmarkError, limit: str) -> None:
        tail = self.log_tail()
        self.kill()
        error.limit, error.log_tail = limit, tail
        raise error

    def _crashed(self, what: str) -> BenchmarkError:
        if self._ended:
            return CrashError(f"there is no worker for {what}: it was ended before")
        try:
            code: int | None = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:  # it closed its output and lives on
            code = None
        self.kill()
        return crash_of(code, what=what, log_tail=self.log_tail())

    def log_tail(self) -> str:
        """Return the last lines that the worker wrote."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES, 0))
            text = file.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the worker and all that it started; twice is harmless."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(OSError):  # no guard to hear it
            self._pipe.write(b"x")
        self._pipe.close()
        if not self._gone_within(END_S if self.guarded else POLL_S):
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._gone_within(END_S)
        self._reader.join(timeout=1)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what was still to be sent has no reader
            self._process.stdin.close()

    def _gone_within(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=seconds)
        return not self.alive

    def close(self, grace_s: float) -> str | None:
        """Ask it to exit and wait; return how it crashed at its end, if it did."""
        if self._ended:
            return None
        try:
            if self.alive:
                self.request("exit", Watch(), limit=(grace_s, "grace_s"))
            code = self._process.wait(timeout=grace_s)
        except BenchmarkError as error:
            return str(error)
        except subprocess.TimeoutExpired:
            return f"the worker did not end within {grace_s:g} s of being asked"
        finally:
            self.kill()
        return None if code == 0 else str(crash_of(code, what="its exit", log_tail=""))


def _read(stream: IO[bytes], answers: queue.SimpleQueue[dict[str, Any] | None], log: Path) -> None:
    """Pass a worker's answers on; what is none, such as a start-up script's greeting, goes to the log."""
    with stream:
        for line in stream:
            answer = _parsed(line)
            if answer is not None:
                answers.put(answer)
            else:
                with log.open("ab") as file:
                    file.write(line)
    answers.put(None)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and "id" in answer else None
