"""Rows that tell whether what was measured is what it seems to be, after MLPerf's compliance tests.

Each test has the backend in a process of its own, so that it finds nothing which an earlier step has left.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.metrics import Metrics
from bytemlperf.report import Row, RowKind
from bytemlperf.scenarios import Scenario
from bytemlperf.workload import Check, Integrity

if TYPE_CHECKING:
    from bytemlperf.evaluation.performing import Timed
    from bytemlperf.evaluation.subject import Subject
    from bytemlperf.evaluation.workbench import Workbench

LEVEL: Final = 0.95
"""Confidence of the intervals by which a threshold is judged."""


@attrs.frozen(kw_only=True)
class Tested:
    """What one test of integrity came to.

    Attributes:
        metrics: Its figures.
        passed: Whether it passed; None where the figures do not decide.
        note: The threshold, and why it was judged so.
    """

    metrics: Metrics
    passed: bool | None
    note: str


@attrs.frozen(kw_only=True)
class Untested:
    """Why a test of integrity gave no figure."""

    reason: str


@attrs.frozen(kw_only=True, eq=False)
class Case:
    """One test at one batch size, and where the test is of a load pattern, for one."""

    test: Integrity
    batch_size: int
    scenario: Scenario

    def key(self, subject: Subject) -> str:
        """Return the stable key of the test's row."""
        of_scenario = f"/{self.scenario.key}" if self.test is Integrity.ACCURACY_IN_PERFORMANCE else ""
        return subject.key(f"{RowKind.INTEGRITY}/{self.test}{of_scenario}", self.batch_size)


def integrity_cases(subject: Subject, batch_size: int) -> Iterator[Case]:
    """Yield the tests that the job asks for at a batch size: the first for each load pattern, the others once."""
    job = subject.session.job
    for test in job.integrity_tests:
        for scenario in job.scenarios if test is Integrity.ACCURACY_IN_PERFORMANCE else job.scenarios[:1]:
            yield Case(test=test, batch_size=batch_size, scenario=scenario)


def integrity_keys(subject: Subject, batch_size: int) -> list[str]:
    """Return the keys of the rows of integrity that the job asks for at a batch size."""
    return [case.key(subject) for case in integrity_cases(subject, batch_size)]


def add_integrity(subject: Subject, timed: Timed, bench: Workbench, batch_size: int, wanted: Collection[str]) -> None:
    """Make the tests of integrity that are wanted at a batch size; a failed one leaves the others.

    Args:
        subject: What is tested.
        timed: Has the prepared batches.
        bench: Where the timed runs were; closed first, since a device may have room for one process.
        batch_size: Samples in a query.
        wanted: Keys of rows; others than these are left out.
    """
    session = subject.session
    for case in integrity_cases(subject, batch_size):
        key = case.key(subject)
        if key not in wanted:
            continue
        bench.close()
        found = session.attempt(key, partial(_tested, subject, timed, case))
        if isinstance(found, Untested):
            session.skip(Check.INTEGRITY, f"{case.test} at batch size {batch_size}: {found.reason}")
        elif found is not None:
            session.finish(key, partial(session.add, found))


def _tested(subject: Subject, timed: Timed, case: Case) -> Row | Untested:
    from bytemlperf.evaluation.caching import caching
    from bytemlperf.evaluation.sampling import sampled_accuracy
    from bytemlperf.evaluation.tokencount import token_count

    tests: Mapping[Integrity, Callable[[Subject, Timed, Workbench, Case], Tested | Untested]] = {
        Integrity.ACCURACY_IN_PERFORMANCE: sampled_accuracy,
        Integrity.CACHING: caching,
        Integrity.TOKEN_COUNT: token_count,
    }
    with subject.bench() as bench:
        info = bench.compile(case.batch_size).info
        with subject.session.hold(timed.devices(info)):
            found = tests[case.test](subject, timed, bench, case)
    if isinstance(found, Untested):
        return found
    return Row(
        kind=RowKind.INTEGRITY,
        key=case.key(subject),
        metrics=found.metrics,
        scenario=case.scenario.key if case.test is Integrity.ACCURACY_IN_PERFORMANCE else None,
        batch_size=case.batch_size,
        precision=info.precision,
        devices=info.devices,
        passed=found.passed,
        note=found.note,
        labels={"test": case.test.value, **subject.labels(case.batch_size)},
    )
