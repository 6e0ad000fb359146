"""The one tree of errors and the closed list of failure codes.

BenchmarkError
├── RequestError                     raised by `run` before anything is written
│   ├── SpecError                    a value that was given is missing, wrong or unknown
│   ├── UnknownNameError             a name that no plug-in or table has
│   └── IncomparableError            two reports of different things are compared
├── BackendError
│   ├── BackendUnavailableError      backend_unavailable
│   ├── DeviceBusyError              device_busy
│   ├── CompileError                 compile_error
│   │   └── UnsupportedOperatorError unsupported_operator
│   ├── PredictError                 predict_error
│   │   ├── InputMismatchError       input_mismatch
│   │   └── MalformedOutputError     malformed_output
│   ├── UnsupportedAskError          unsupported_ask
│   └── OutOfDeviceMemoryError       out_of_device_memory
├── ProcessError
│   ├── CrashError                   crash
│   ├── CrashAtExitError             crash_at_exit
│   ├── TimeLimitError               time_limit
│   ├── OutOfHostMemoryError         out_of_host_memory
│   └── DiskLimitError               disk_limit
├── ArtifactError
│   ├── WeightsUnavailableError      weights_unavailable
│   ├── ChecksumError                checksum_mismatch
│   └── ConversionError              conversion_error
├── DatasetError
│   └── DatasetUnavailableError      dataset_unavailable
├── ResultError
│   ├── NonFiniteError               non_finite
│   ├── NumericMismatchError         numeric_mismatch
│   └── AccuracyBelowTargetError     accuracy_below_target
├── CancelledError                   cancelled
└── HarnessError                     harness_error
"""

from __future__ import annotations

import difflib
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class FailureCode(StrEnum):
    """Every way in which a step can fail. Codes are only ever added, never renamed."""

    UNSUPPORTED_OPERATOR = "unsupported_operator"
    UNSUPPORTED_ASK = "unsupported_ask"
    COMPILE_ERROR = "compile_error"
    PREDICT_ERROR = "predict_error"
    INPUT_MISMATCH = "input_mismatch"
    OUT_OF_DEVICE_MEMORY = "out_of_device_memory"
    OUT_OF_HOST_MEMORY = "out_of_host_memory"
    TIME_LIMIT = "time_limit"
    DISK_LIMIT = "disk_limit"
    CRASH = "crash"
    CRASH_AT_EXIT = "crash_at_exit"
    MALFORMED_OUTPUT = "malformed_output"
    NON_FINITE = "non_finite"
    NUMERIC_MISMATCH = "numeric_mismatch"
    ACCURACY_BELOW_TARGET = "accuracy_below_target"
    BACKEND_UNAVAILABLE = "backend_unavailable"
    DEVICE_BUSY = "device_busy"
    WEIGHTS_UNAVAILABLE = "weights_unavailable"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    CONVERSION_ERROR = "conversion_error"
    DATASET_UNAVAILABLE = "dataset_unavailable"
    CANCELLED = "cancelled"
    HARNESS_ERROR = "harness_error"


class Blame(StrEnum):
    """Who has to mend a failure."""

    BACKEND = "backend"
    REQUEST = "request"
    ENVIRONMENT = "environment"
    HARNESS = "harness"


class BenchmarkError(Exception):
    """Base of every error that bytemlperf raises.

    The message is built from the facts, which stay readable as attributes.

    Args:
        what: What is wrong, one sentence without a full stop.
        where: Path in the input or file, such as `$.inputs[0].dtype`.
        got: What was found.
        expected: What would have been right.
        remedy: What to do now.

    Example:
        >>> try:
        ...     raise SpecError("unknown dtype", where="$.inputs[0].dtype", got="fp23", remedy="use 'fp32'")
        ... except BenchmarkError as error:
        ...     print(error)
        unknown dtype (at $.inputs[0].dtype); got 'fp23'; use 'fp32'
    """

    code: ClassVar[FailureCode] = FailureCode.HARNESS_ERROR
    blame: ClassVar[Blame] = Blame.HARNESS
    retryable: ClassVar[bool] = False
    operator: str | None = None
    tensor: str | None = None
    signal: str | None = None
    exit_code: int | None = None
    limit: str | None = None
    log_tail: str = ""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        got: object = None,
        expected: str | None = None,
        remedy: str | None = None,
    ) -> None:
        """Keep the facts and build the message from them."""
        self.what = what
        self.where = where
        self.got = got
        self.expected = expected
        self.remedy = remedy
        super().__init__(self._message())

    def _message(self) -> str:
        parts = [f"{self.what} (at {self.where})" if self.where else self.what]
        if self.got is not None:
            parts.append(f"got {_shortened(self.got)}")
        if self.expected is not None:
            parts.append(f"expected {self.expected}")
        if self.remedy is not None:
            parts.append(self.remedy)
        return "; ".join(parts)


def _shortened(value: object, limit: int = 200) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


class RequestError(BenchmarkError):
    """What was asked for cannot be understood; raised before anything is written."""

    blame = Blame.REQUEST


class SpecError(RequestError, ValueError):
    """A given value is missing, of the wrong type, out of range or unknown."""


class UnknownNameError(RequestError, LookupError):
    """No plug-in, model, metric or table entry has this name.

    Attributes:
        name: The name that was asked for.
        suggestions: Known names that look like it, nearest first.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, remedy: str | None = None) -> None:
        """Name what is unknown and what comes near it."""
        names = sorted(known)
        self.name = name
        self.suggestions = tuple(nearest(name, names))
        guess = f"did you mean {' or '.join(map(repr, self.suggestions))}?" if self.suggestions else None
        known_text = ", ".join(names) if names else "none"
        super().__init__(
            f"unknown {kind} {name!r}",
            expected=f"one of: {known_text}",
            remedy="; ".join(part for part in (guess, remedy) if part) or None,
        )


class IncomparableError(RequestError):
    """Two reports differ in what must be equal for a comparison to mean anything.

    Attributes:
        aspects: What differs, such as `dataset`; where a caller allows these, they are compared all the same.
    """

    def __init__(self, what: str, *, aspects: Iterable[str] = ()) -> None:
        """Tell how they differ, and in which aspects."""
        self.aspects = tuple(aspects)
        remedy = f"to compare all the same, allow {', '.join(self.aspects)}" if self.aspects else None
        super().__init__(what, remedy=remedy)


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return up to three known names that look like `name`, nearest first.

    Example:
        >>> nearest("batchsizes", ["batch_sizes", "seed"])
        ['batch_sizes']
    """
    return difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)


class BackendError(BenchmarkError):
    """A backend did not do what its contract says."""

    code = FailureCode.PREDICT_ERROR
    blame = Blame.BACKEND


class BackendUnavailableError(BackendError):
    """The backend or its SDK cannot be loaded on this machine."""

    code = FailureCode.BACKEND_UNAVAILABLE
    blame = Blame.ENVIRONMENT


class DeviceBusyError(BackendError):
    """Another job holds the device."""

    code = FailureCode.DEVICE_BUSY
    blame = Blame.ENVIRONMENT
    retryable = True


class CompileError(BackendError):
    """`compile` refused the model or failed."""

    code = FailureCode.COMPILE_ERROR


class UnsupportedOperatorError(CompileError):
    """The compiler does not know an operator of the model."""

    code = FailureCode.UNSUPPORTED_OPERATOR


class PredictError(BackendError):
    """`predict` or `submit` raised."""

    code = FailureCode.PREDICT_ERROR


class InputMismatchError(PredictError):
    """The inputs given to a compiled model do not fit it."""

    code = FailureCode.INPUT_MISMATCH


class MalformedOutputError(PredictError):
    """An answer is missing, has the wrong names, shapes or dtypes, or is changed by a later call."""

    code = FailureCode.MALFORMED_OUTPUT


class UnsupportedAskError(BackendError):
    """The backend, or the server behind it, does not answer what is asked: outputs, new tokens or scores."""

    code = FailureCode.UNSUPPORTED_ASK


class OutOfDeviceMemoryError(BackendError):
    """The device has too little memory for the model at this batch size."""

    code = FailureCode.OUT_OF_DEVICE_MEMORY


class ProcessError(BenchmarkError):
    """The worker process did not survive, or was ended by a limit."""

    code = FailureCode.CRASH
    blame = Blame.BACKEND


class CrashError(ProcessError):
    """The worker process died: a signal, or an exit without an answer."""

    code = FailureCode.CRASH


class CrashAtExitError(ProcessError):
    """The worker process died after its last answer; figures stand."""

    code = FailureCode.CRASH_AT_EXIT


class TimeLimitError(ProcessError):
    """A step, a query or the whole job took longer than its limit."""

    code = FailureCode.TIME_LIMIT


class OutOfHostMemoryError(ProcessError):
    """The worker's resident memory went over its limit."""

    code = FailureCode.OUT_OF_HOST_MEMORY


class DiskLimitError(ProcessError):
    """The files of a run grew over their limit; whose they are is not known."""

    code = FailureCode.DISK_LIMIT
    blame = Blame.ENVIRONMENT


class ArtifactError(BenchmarkError):
    """A model's files cannot be had, read or converted."""

    code = FailureCode.WEIGHTS_UNAVAILABLE
    blame = Blame.ENVIRONMENT


class WeightsUnavailableError(ArtifactError):
    """The weights can be had from none of the ways that were allowed."""

    code = FailureCode.WEIGHTS_UNAVAILABLE
    retryable = True


class ChecksumError(ArtifactError):
    """A file is not the one that was pinned."""

    code = FailureCode.CHECKSUM_MISMATCH


class ConversionError(ArtifactError):
    """The artifact cannot be converted to a format that the backend takes."""

    code = FailureCode.CONVERSION_ERROR
    blame = Blame.HARNESS


class DatasetError(BenchmarkError):
    """A data set is incomplete or does not fit the model."""

    code = FailureCode.DATASET_UNAVAILABLE
    blame = Blame.ENVIRONMENT


class DatasetUnavailableError(DatasetError):
    """The data set's files are not where they should be."""

    code = FailureCode.DATASET_UNAVAILABLE


class ResultError(BenchmarkError):
    """The answers came, and are wrong."""

    code = FailureCode.NUMERIC_MISMATCH
    blame = Blame.BACKEND


class NonFiniteError(ResultError):
    """Outputs hold NaN or infinity where the reference does not."""

    code = FailureCode.NON_FINITE


class NumericMismatchError(ResultError):
    """Outputs differ from the independent reference by more than the tolerance."""

    code = FailureCode.NUMERIC_MISMATCH


class AccuracyBelowTargetError(ResultError):
    """Accuracy is below its target, interval and all."""

    code = FailureCode.ACCURACY_BELOW_TARGET


class CancelledError(BenchmarkError):
    """The caller asked to stop."""

    code = FailureCode.CANCELLED
    blame = Blame.REQUEST
    retryable = True


class HarnessError(BenchmarkError):
    """A defect of bytemlperf itself."""

    code = FailureCode.HARNESS_ERROR


def error_types() -> dict[FailureCode, type[BenchmarkError]]:
    """Return the leaf error of each failure code, as the tree above draws them; a plug-in's own subclasses are none."""
    leaves: dict[FailureCode, type[BenchmarkError]] = {}
    todo: list[type[BenchmarkError]] = [BenchmarkError]
    for kind in todo:  # grows while it is walked: breadth first, so that a leaf replaces its branch
        leaves[kind.code] = kind
        ours = [each for each in kind.__subclasses__() if each.__module__ == __name__]
        todo.extend(each for each in ours if not issubclass(each, RequestError))
    return leaves
