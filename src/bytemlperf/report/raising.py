"""What `raise_for_status` raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bytemlperf.errors import BenchmarkError, CancelledError, FailureCode, HarnessError, ResultError, error_types
from bytemlperf.report.verdict import Outcome

if TYPE_CHECKING:
    from bytemlperf.errors import Failure
    from bytemlperf.report.report import Report


def error_of(report: Report) -> BenchmarkError | None:
    """Return the error that stands for a report that is not ok; None for one that is."""
    if report.ok:
        return None
    failures = [failure for failure in report.failures if failure.code is not FailureCode.CRASH_AT_EXIT]
    if failures:
        return error_of_failure(failures[0], more=len(failures) - 1)
    if report.status == "cancelled":
        return CancelledError("the run was cancelled")
    if report.verdict.outcome is Outcome.FAIL:
        reasons = [reason.text for reason in report.verdict.reasons if reason.outcome is Outcome.FAIL]
        return ResultError("the verdict is fail", got="; ".join(reasons))
    return HarnessError(f"the report is {report.status} and tells no failure")


def error_of_failure(failure: Failure, *, more: int = 0) -> BenchmarkError:
    """Make a failure the error that it came from, with its facts; its cause is only in the message."""
    rest = f" (and {more} more failure{'s' if more > 1 else ''})" if more else ""
    error = error_types()[failure.code](f"{failure.step}: {failure.message}{rest}")
    error.where = failure.path
    error.operator = failure.operator
    error.tensor = failure.tensor
    error.signal = failure.signal
    error.exit_code = failure.exit_code
    error.limit = failure.limit
    error.log_tail = failure.log_tail
    return error
