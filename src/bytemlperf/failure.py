"""A failure as data: what an error tells, for a report, a database and another process, and the way back."""

from __future__ import annotations

import attrs

from bytemlperf.errors import BenchmarkError, Blame, FailureCode, HarnessError, error_types


@attrs.frozen(kw_only=True)
class Failure:
    """One failed step as data: what a scheduler, a database and a person need.

    Attributes:
        code: From the closed list.
        blame: Who has to mend it.
        retryable: Whether the same job may succeed later without a change.
        step: The step that failed, such as `compile` or `performance/fixed_batch`.
        message: One sentence for a person.
        operator: The operator that the compiler refused, where known.
        tensor: The input or output concerned, where known.
        path: The file, or the place in it, where known.
        signal: Name of the signal that ended the worker (`SIGSEGV`), where one did.
        exit_code: Exit code of the worker, where it ended by itself.
        limit: The limit that was exceeded (`compile_s`), where one was.
        log_tail: The last lines that the worker wrote.
    """

    code: FailureCode
    blame: Blame
    retryable: bool = False
    step: str = ""
    message: str = ""
    operator: str | None = None
    tensor: str | None = None
    path: str | None = None
    signal: str | None = None
    exit_code: int | None = None
    limit: str | None = None
    log_tail: str = ""


def failure_of(error: BaseException, *, step: str) -> Failure:
    """Describe an error as a failure of `step`; facts that the error carries are kept.

    Example:
        >>> from bytemlperf.errors import CompileError
        >>> failure_of(CompileError("no kernel for Einsum"), step="compile").code
        <FailureCode.COMPILE_ERROR: 'compile_error'>
    """
    if not isinstance(error, BenchmarkError):
        error = HarnessError(f"{type(error).__name__}: {error}")
    return Failure(
        code=error.code,
        blame=error.blame,
        retryable=error.retryable,
        step=step,
        message=str(error),
        operator=error.operator,
        tensor=error.tensor,
        path=error.where,
        signal=error.signal,
        exit_code=error.exit_code,
        limit=error.limit,
        log_tail=error.log_tail,
    )


def error_of(failure: Failure) -> BenchmarkError:
    """Return the error that a failure describes, with its facts.

    Example:
        >>> error_of(Failure(code=FailureCode.CRASH, blame=Blame.BACKEND, signal="SIGSEGV")).signal
        'SIGSEGV'
    """
    error = error_types()[failure.code](failure.message)
    error.where = failure.path
    for name in ("operator", "tensor", "signal", "exit_code", "limit", "log_tail"):
        setattr(error, name, getattr(failure, name))
    return error
