"""From what an issuer tells of an error, or how a process ended, to one typed error."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from bytemlperf.errors import (
    BackendUnavailableError,
    BenchmarkError,
    CrashError,
    FailureCode,
    HarnessError,
    OutOfDeviceMemoryError,
    OutOfHostMemoryError,
    SpecError,
    error_types,
)

_DEVICE_WORDS = ("CUDA", "HIP", "XPU", "NPU", "GPU", "device memory")


def error_from(told: Mapping[str, Any], *, default: type[BenchmarkError], log_tail: str = "") -> BenchmarkError:
    """Return the typed error of what `described` told; `default` where it has no code of its own.

    Args:
        told: From the issuer's `described`.
        default: For a vendor's own exception.
        log_tail: The last lines of the worker's log.
    """
    kind = _kind_of(told, default)
    message = told["message"] if _is_ours(told) else f"{told['type']}: {told['message']}"
    error = kind(message)
    error.operator, error.tensor = told.get("operator"), told.get("tensor")
    error.where, error.limit = told.get("where"), told.get("limit")
    error.signal = told.get("signal")  # of a process that the backend had started
    error.log_tail = log_tail or told.get("traceback", "")
    return error


def _is_ours(told: Mapping[str, Any]) -> bool:
    return told.get("code") in set(FailureCode)


def _kind_of(told: Mapping[str, Any], default: type[BenchmarkError]) -> type[BenchmarkError]:
    if told["type"] in {"SpecError", "UnknownNameError"}:
        return SpecError
    if told["type"] == "HarnessError":
        return HarnessError
    if _is_ours(told) and told["code"] != FailureCode.HARNESS_ERROR:
        return error_types()[FailureCode(told["code"])]
    if told.get("out_of_memory"):
        on_device = any(word in told["message"] for word in _DEVICE_WORDS)
        return OutOfDeviceMemoryError if on_device else OutOfHostMemoryError
    if told.get("unavailable") and default.code in {FailureCode.COMPILE_ERROR, FailureCode.HARNESS_ERROR}:
        return BackendUnavailableError
    return default


def crash_of(exit_code: int | None, *, what: str, log_tail: str) -> CrashError:
    """Return how a process ended without an answer.

    Args:
        exit_code: As `subprocess` gives it: below 0 for a signal; None where it shut its output and lived on.
        what: What it was doing.
        log_tail: The last lines of its log.
    """
    name = _signal_name(-exit_code) if exit_code is not None and exit_code < 0 else None
    ended = f"was ended by {name}" if name else f"exited with {exit_code}"
    if exit_code is None:
        ended = "shut its output"
    remedy = "the system may have run out of memory" if name == "SIGKILL" else None
    error = CrashError(f"the worker {ended} during {what}, without an answer", remedy=remedy)
    error.signal, error.log_tail = name, log_tail
    error.exit_code = exit_code if name is None else None
    return error


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return f"signal {number}"
