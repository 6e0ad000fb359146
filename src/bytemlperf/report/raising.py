"""What `raise_for_status` raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bytemlperf.errors import BenchmarkError, CancelledError, FailureCode, HarnessError, ResultError
from bytemlperf.failure import error_of as error_of_failure
from bytemlperf.report.verdict import Outcome

if TYPE_CHECKING:
    from bytemlperf.failure import Failure
    from bytemlperf.report.report import Report


def error_of(report: Report) -> BenchmarkError | None:
    """Return the error that stands for a report that is not ok; None for one that is."""
    if report.ok:
        return None
    failures = [failure for failure in report.failures if failure.code is not FailureCode.CRASH_AT_EXIT]
    if failures:
        return error_of_failure(_told(failures[0], more=len(failures) - 1))
    if report.status == "cancelled":
        return CancelledError("the run was cancelled")
    if report.verdict.outcome is Outcome.FAIL:
        reasons = [reason.text for reason in report.verdict.reasons if reason.outcome is Outcome.FAIL]
        return ResultError("the verdict is fail", got="; ".join(reasons))
    return HarnessError(f"the report is {report.status} and tells no failure")


def _told(failure: Failure, *, more: int) -> Failure:
    rest = f" (and {more} more failure{'s' if more > 1 else ''})" if more else ""
    return attrs.evolve(failure, message=f"{failure.step}: {failure.message}{rest}")
