"""The verdict: accuracy, numerics and performance joined. No accuracy, no number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final

import attrs

from bytemlperf.errors import Blame, FailureCode
from bytemlperf.failure import Failure
from bytemlperf.report.rows import Row, RowKind
from bytemlperf.spec.fields import as_tuple, choice
from bytemlperf.workload import Check


class Outcome(StrEnum):
    """How something was judged."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    UNDECIDED = "undecided"


def as_outcome(value: str | Outcome) -> Outcome:
    """Take text for an outcome.

    Raises:
        SpecError: If it is none.
    """
    return choice(Outcome)(value)


def _as_check(value: str | Check) -> Check:
    return choice(Check)(value)


@attrs.frozen(kw_only=True)
class Reason:
    """Why one check was judged so.

    Attributes:
        check: Which.
        outcome: How.
        text: Why, for a person.
    """

    check: Check = attrs.field(converter=_as_check)
    outcome: Outcome = attrs.field(converter=as_outcome)
    text: str


@attrs.frozen(kw_only=True)
class NotMeasured:
    """A check that gave no figure.

    Attributes:
        check: Which.
        reason: Why, for a person.
    """

    check: Check = attrs.field(converter=_as_check)
    reason: str


@attrs.frozen(kw_only=True)
class Verdict:
    """How a whole report was judged.

    Attributes:
        outcome: Fail if any reason fails, else undecided if any is, else pass.
        reasons: One or more for each check.
    """

    outcome: Outcome = attrs.field(converter=as_outcome)
    reasons: tuple[Reason, ...] = attrs.field(default=(), converter=as_tuple)


_ALWAYS: Final = (Check.ACCURACY, Check.NUMERIC)
"""Judged whether they were asked for or not: without them no figure means anything."""

_BOUNDED: Final = (*_ALWAYS, Check.INTEGRITY)
"""Judged by whether a bound was held, not by having been measured."""

_HARMLESS: Final = {FailureCode.CRASH_AT_EXIT}
"""Codes after which every figure stands."""


def judge(
    *,
    checks: Iterable[Check],
    rows: Sequence[Row],
    failures: Sequence[Failure] = (),
    not_measured: Sequence[NotMeasured] = (),
) -> Verdict:
    """Judge what was measured.

    Accuracy and numerics pass only by rows that passed, numerics by every batch size and number of
    clients that was measured; without a bound, or not measured, they leave the verdict open. The
    other checks that were asked for pass by being measured: a row of what a vendor's own tool told,
    or of a pass by phases, does not count.
    A failure that is the backend's fails its check, asked for or not; anyone else's leaves it open.

    Args:
        checks: What was asked for.
        rows: What was measured.
        failures: Steps that failed; a step's name begins with its check.
        not_measured: What could not be measured, and why.

    Example:
        >>> verdict = judge(checks=[Check.PERFORMANCE], rows=[])
        >>> print(verdict.outcome, [reason.check.value for reason in verdict.reasons])
        undecided ['accuracy', 'numeric', 'performance']
    """
    asked = set(checks)
    judged = [check for check in Check if check in asked or check in _ALWAYS]
    reasons: list[Reason] = []
    for check in judged:
        reasons.extend(_reasons(check, rows, failures, not_measured, asked=check in asked))
    reasons.extend(dict.fromkeys(_of_other_steps(failures, judged)))
    outcomes = {reason.outcome for reason in reasons}
    worst = (outcome for outcome in (Outcome.FAIL, Outcome.UNDECIDED) if outcome in outcomes)
    return Verdict(outcome=next(worst, Outcome.PASS), reasons=tuple(reasons))


def _reasons(
    check: Check, rows: Sequence[Row], failures: Sequence[Failure], not_measured: Sequence[NotMeasured], *, asked: bool
) -> Iterator[Reason]:
    mine = [row for row in rows if row.kind == RowKind(check) and row.headline]
    told = [
        *(_failed(check, failure) for failure in failures if _check_of(failure) is check and _counts(failure)),
        *(_judged(check, row) for row in mine if row.passed is False or (row.passed is None and check in _BOUNDED)),
        *(_invalid(check, row) for row in mine if row.passed is None and row.validity and not row.validity.valid),
        *(_unmeasured(each) for each in not_measured if each.check is check),
    ]
    yield from dict.fromkeys(told)
    if not told:
        yield _without_objection(check, mine, asked=asked)


def _without_objection(check: Check, rows: Sequence[Row], *, asked: bool) -> Reason:
    held = [judgement.text for row in rows for judgement in row.acceptance if judgement.passed]
    if held:
        return _reason(check, Outcome.PASS, "; ".join(held))
    if rows:
        done = "held its bound" if check in _BOUNDED else "measured"
        return _reason(check, Outcome.PASS, f"{done} in {len(rows)} row{'s' if len(rows) > 1 else ''}")
    return _reason(check, Outcome.UNDECIDED, "not measured" if asked else "not measured, because not asked for")


def _invalid(check: Check, row: Row) -> Reason:
    """Leave open what was measured too shortly to claim anything."""
    assert row.validity is not None
    return _reason(check, Outcome.UNDECIDED, f"{row.key}: invalid: {row.validity.text}")


def _judged(check: Check, row: Row) -> Reason:
    if row.passed is False:
        why = f"invalid: {row.validity.text}" if row.validity and not row.validity.valid else row.note
        return _reason(check, Outcome.FAIL, f"{row.key}: {why or 'the bound was not held'}")
    return _reason(check, Outcome.UNDECIDED, f"{row.key}: {row.note or 'measured, but there is no bound to hold'}")


def _unmeasured(told: NotMeasured) -> Reason:
    return _reason(told.check, Outcome.UNDECIDED, f"not measured: {told.reason}")


def _failed(check: Check, failure: Failure) -> Reason:
    outcome = Outcome.FAIL if failure.blame is Blame.BACKEND else Outcome.UNDECIDED
    return _reason(check, outcome, f"{failure.code}: {failure.message}")


def _of_other_steps(failures: Sequence[Failure], judged: Sequence[Check]) -> Iterator[Reason]:
    """Tell failures of other checks; those of steps of none, such as resolving the model, are the compilation's."""
    for failure in failures:
        if _check_of(failure) not in judged and _counts(failure):
            yield _failed(_check_of(failure) or Check.COMPILE, failure)


def _check_of(failure: Failure) -> Check | None:
    step = failure.step.partition("/")[0]
    return next((check for check in Check if check == step), None)


def _counts(failure: Failure) -> bool:
    return failure.code not in _HARMLESS


def _reason(check: Check, outcome: Outcome, text: str) -> Reason:
    return Reason(check=check, outcome=outcome, text=text)
