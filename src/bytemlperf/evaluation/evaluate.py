"""The steps of one job in order, and its report."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from bytemlperf.environment import capture
from bytemlperf.evaluation.checking import accuracy_row, numeric_row
from bytemlperf.evaluation.compiling import Started, compile_row, start, warm_start
from bytemlperf.evaluation.events import EventKind
from bytemlperf.evaluation.facts import Facts
from bytemlperf.evaluation.performing import Timed
from bytemlperf.evaluation.ready import make_ready
from bytemlperf.evaluation.reference import Reference, choose_reference, reference_answers
from bytemlperf.evaluation.reporting import make_report
from bytemlperf.evaluation.request import Request
from bytemlperf.evaluation.selfcost import self_cost
from bytemlperf.evaluation.session import Session
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.report import Report, RowKind
from bytemlperf.sample import Array
from bytemlperf.scenarios import Scenario
from bytemlperf.worker import Isolation
from bytemlperf.workload import Check


def evaluate(request: Request) -> Report:
    """Evaluate a job and report what was found, whatever went wrong on the way.

    Raises:
        RequestError: If what was asked for cannot be; nothing has been written then.
    """
    started_s = time.time()
    with tempfile.TemporaryDirectory(prefix="bytemlperf-") as scratch:
        session = Session(request, Path(scratch))
        session.events.tell(EventKind.JOB_STARTED)
        facts = Facts(environment=capture())
        subject = make_ready(session, facts)
        if subject is not None:
            Evaluation(subject, facts).run()
        report = make_report(session, facts, started_s=started_s)
        if request.out is not None:
            report.save(request.out)
        session.events.tell(EventKind.JOB_FINISHED, message=str(report.status))
    return report


class Evaluation:
    """The measuring part of a job: each batch size in turn, then what needs processes of its own."""

    def __init__(self, subject: Subject, facts: Facts) -> None:
        """Begin with nothing measured."""
        self._subject, self._facts, self._session = subject, facts, subject.session
        self._timed = Timed(subject)
        self._colds: dict[int, Started] = {}
        self._right: tuple[Reference, Mapping[str, Array]] | None = None

    def run(self) -> None:
        """Do every step that the job's checks ask for; a failed one leaves the others."""
        self._prepare_reference()
        with self._subject.bench() as bench:
            for batch_size in self._subject.batch_sizes:
                self._measure(bench, batch_size)
        self._repeat()
        self._add_performance()
        self._add_compile()
        if Check.PERFORMANCE in self._session.job.checks:
            self._facts.harness = (
                self._session.attempt("performance/self-cost", partial(self_cost, self._subject)) or self._facts.harness
            )

    def _asks(self, check: Check) -> bool:
        return check in self._session.job.checks

    def _prepare_reference(self) -> None:
        if not self._asks(Check.NUMERIC):
            return
        self._right = self._session.attempt("numeric/reference", self._reference)
        if self._right is None:
            self._session.skip(Check.NUMERIC, "there is no reference: see the failures")

    def _reference(self) -> tuple[Reference, Mapping[str, Array]]:
        subject = self._subject
        reference = choose_reference(self._session, subject.original, backend=subject.opener.reference)
        count = min(self._session.job.numeric_samples, len(subject.data.loader))
        return reference, reference_answers(self._session, reference, subject.data.loader, count)

    def _measure(self, bench: Workbench, batch_size: int) -> None:
        wanted = {key for key in self._keys(batch_size) if self._session.kept(key) is None}
        if not wanted:
            return
        cold = self._session.attempt(f"compile/batch={batch_size}", partial(start, self._subject, bench, batch_size))
        if cold is None:
            return
        if not self._colds or not self._subject.description.dynamic_batch:
            self._colds[batch_size] = cold
            self._facts.compiles[self._subject.key("compile", batch_size)] = cold.compilation.info
        self._check(bench, batch_size, wanted)
        for scenario in self._scenarios:
            key = self._subject.key(f"performance/{scenario.key}", batch_size)
            if key in wanted:
                self._session.attempt(key, partial(self._timed.measure, bench, batch_size, scenario))

    @property
    def _scenarios(self) -> tuple[Scenario, ...]:
        return self._session.job.scenarios if self._asks(Check.PERFORMANCE) else ()

    def _keys(self, batch_size: int) -> list[str]:
        """Rows that this batch size may give."""
        subject = self._subject
        keys = [subject.key(f"performance/{scenario.key}", batch_size) for scenario in self._scenarios]
        keys += [subject.key("numeric", batch_size)] if self._right is not None else []
        keys += [subject.key("accuracy", batch_size)] if self._scores_now() else []
        first = not self._colds or not subject.description.dynamic_batch
        return keys + ([subject.key("compile", batch_size)] if first and self._asks(Check.COMPILE) else [])

    def _scores_now(self) -> bool:
        """Accuracy is measured once, at the first batch size that compiles."""
        scored = any(row.kind is RowKind.ACCURACY for row in self._session.rows)
        return self._asks(Check.ACCURACY) and bool(self._subject.data.metrics) and not scored

    def _check(self, bench: Workbench, batch_size: int, wanted: set[str]) -> None:
        subject, session = self._subject, self._session
        key = subject.key("accuracy", batch_size)
        if key in wanted:
            row = session.attempt(key, partial(accuracy_row, subject, bench, batch_size))
            if row is not None:
                session.add(row)
        key = subject.key("numeric", batch_size)
        if self._right is not None and key in wanted:
            found = session.attempt(key, partial(numeric_row, subject, bench, batch_size, *self._right))
            if found is not None:
                session.add(found)

    def _repeat(self) -> None:
        """Time the same again in further processes: the unit of variance where the claim is about a machine."""
        if self._session.job.repeats > 1 and self._subject.opener.isolation is Isolation.INLINE:
            self._session.warn("no_repeats", "a backend in this process cannot be started anew: measured once")
            return
        for number in range(2, self._session.job.repeats + 1):
            with self._subject.bench() as bench:
                for batch_size, scenario in self._timed.measured():
                    step = f"{self._subject.key(f'performance/{scenario.key}', batch_size)} in process {number}"
                    self._session.attempt(step, partial(self._timed.measure, bench, batch_size, scenario))

    def _add_performance(self) -> None:
        for batch_size, scenario in self._timed.measured():
            self._session.add(self._timed.row(batch_size, scenario))

    def _add_compile(self) -> None:
        if not self._asks(Check.COMPILE):
            return
        for batch_size, cold in self._colds.items():
            warm = self._session.attempt(
                f"compile/warm/batch={batch_size}", partial(warm_start, self._subject, batch_size)
            )
            self._session.add(compile_row(self._subject, cold, warm, batch_size))
