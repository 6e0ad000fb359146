"""The steps of one job in order, and its report."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from bytemlperf.environment import capture
from bytemlperf.evaluation.beside import add_beside, beside_keys
from bytemlperf.evaluation.checking import accuracy_metrics, accuracy_row
from bytemlperf.evaluation.compiling import Started, check_warm, compile_row, doubts, start, warm_start
from bytemlperf.evaluation.events import EventKind
from bytemlperf.evaluation.facts import Facts
from bytemlperf.evaluation.integrity import add_integrity, integrity_keys
from bytemlperf.evaluation.locating import locate
from bytemlperf.evaluation.numerics import Mismatch, named, numeric_paths, numeric_row
from bytemlperf.evaluation.performing import Timed
from bytemlperf.evaluation.quietness import certified
from bytemlperf.evaluation.ready import make_ready, opener_of
from bytemlperf.evaluation.references import References
from bytemlperf.evaluation.reporting import make_report
from bytemlperf.evaluation.request import Request
from bytemlperf.evaluation.rightoutputs import RightOutputs
from bytemlperf.evaluation.selfcost import self_cost
from bytemlperf.evaluation.session import Session
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.tokennumerics import token_row, why_not_compared
from bytemlperf.evaluation.tuning import tune
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.failure import failure_of
from bytemlperf.metrics import Units
from bytemlperf.report import Report, Row, RowKind
from bytemlperf.scenarios import Scenario
from bytemlperf.worker import Isolation
from bytemlperf.workload import Asked, Check

LOCATED_SAMPLES: Final = 4
"""Samples with which a wrong operator is looked for, where the engine takes any number."""


def evaluate(request: Request) -> Report:
    """Evaluate a job and report what was found, whatever went wrong on the way.

    Raises:
        RequestError: If what was asked for cannot be; nothing has been written then.
    """
    started_s = time.time()
    with tempfile.TemporaryDirectory(prefix="bytemlperf-", ignore_cleanup_errors=True) as scratch:
        session = Session(request, Path(scratch))
        ended = "there is no report"
        session.events.tell(EventKind.JOB_STARTED)
        try:
            report = _report(session, started_s)
            ended = str(report.status)
        finally:
            session.events.tell(EventKind.JOB_FINISHED, message=ended)
    return report


def _report(session: Session, started_s: float) -> Report:
    facts = Facts(environment=capture())
    with contextlib.closing(opener_of(session)) as opener:
        subject = make_ready(session, facts, opener)
        if subject is not None:
            Evaluation(subject, facts).run()
    report = make_report(session, facts, started_s=started_s)
    if session.request.out is None:
        return report
    drawn = (
        session.request.plots and not session.watch.cancelled
    )  # drawing takes longer than a caller who wants to stop would wait
    saved = session.finish("report", partial(report.save, session.request.out, plots=drawn))
    return report if saved is not None else make_report(session, facts, started_s=started_s)


class Evaluation:
    """The measuring part of a job: each batch size in turn, then what needs processes of its own."""

    def __init__(self, subject: Subject, facts: Facts) -> None:
        """Begin with nothing measured."""
        self._subject, self._facts, self._session = subject, facts, subject.session
        self._timed = Timed(subject)
        self._colds: dict[int, Started] = {}
        self._tried: set[int | None] = set()
        self._references = References(subject)
        self._right: RightOutputs | None = None
        self._compares_tokens = False
        self._reference_units: Mapping[str, Units] = {}
        self._mismatches: list[Mismatch] = []

    def run(self) -> None:
        """Do every step that the job's checks ask for; a failed one leaves the others."""
        self._prepare_reference()
        if self._right is not None:
            self._timed.check_against(self._right)
        if self._asks(Check.PERFORMANCE):
            self._facts.noise = self._session.attempt("noise", partial(certified, self._session))
        with self._subject.bench() as bench:
            for batch_size in self._subject.batch_sizes:
                self._measure(bench, batch_size)
        self._repeat()
        self._locate()
        self._add_compile()
        if self._asks(Check.PERFORMANCE):
            found = self._session.attempt("performance/self-cost", partial(self_cost, self._subject))
            self._facts.harness = found or self._facts.harness

    def _asks(self, check: Check) -> bool:
        return check in self._session.job.checks

    def _prepare_reference(self) -> None:
        """Have the reference answer all that is asked of it, before any other model is in memory."""
        with contextlib.closing(self._references):
            self._prepare_numeric()
            self._prepare_accuracy()

    def _prepare_numeric(self) -> None:
        """Have the right outputs made, unless every row that needs them is there already."""
        if self._session.job.asked is not Asked.FORWARD:
            self._compares_tokens = self._can_compare_tokens()
            return
        keys = [
            key
            for size in self._subject.batch_sizes
            for key in (*numeric_paths(self._subject, size), *self._timed_keys(size))
        ]
        if not self._asks(Check.NUMERIC) or all(self._session.has(key) for key in keys):
            return
        self._right = self._session.attempt("numeric/reference", self._references.outputs)
        if self._right is None:
            self._session.skip(Check.NUMERIC, "there is no reference: see the failures")

    def _can_compare_tokens(self) -> bool:
        """Whether the reference can be asked about tokens; where not, that is told."""
        if not self._asks(Check.NUMERIC):
            return False
        if any(self._session.has(key) for key in numeric_paths(self._subject, 1)):
            return True
        found = self._session.attempt("numeric/reference", lambda: why_not_compared(self._subject, self._references))
        if found:
            self._session.skip(Check.NUMERIC, found)
        return found == ""

    def _prepare_accuracy(self) -> None:
        """Have the reference score the samples on which accuracy is judged in pairs, unless that is there already."""
        keys = [self._subject.key("accuracy", size) for size in self._subject.batch_sizes]
        asked = self._session.job.acceptance.paired_samples
        if not self._scores_now() or any(self._session.has(key) for key in keys) or asked == 0:
            return
        metrics = accuracy_metrics(self._subject)
        units = self._session.attempt("accuracy/reference", lambda: self._references.units(metrics, asked))
        self._reference_units = units or {}

    def _measure(self, bench: Workbench, batch_size: int) -> None:
        wanted = {key for key in self._keys(batch_size) if not self._take_over(key)}
        if not wanted:
            return
        self._tune(bench, batch_size)
        key = self._subject.key("compile", batch_size)
        if key in wanted:
            bench.renew()
        cold = self._session.attempt(f"compile/batch={batch_size}", partial(start, self._subject, bench, batch_size))
        if cold is None:
            return
        if not (self._subject.takes_every_batch and self._facts.compiles):
            self._facts.compiles.setdefault(key, cold.compilation.info)
            for code, text in doubts(self._subject, cold.compilation.info):
                self._session.warn(code, text, key)
        if key in wanted:
            self._colds[batch_size] = cold
        self._check(bench, batch_size, wanted)
        for scenario in self._scenarios:
            self._time(bench, batch_size, scenario, wanted)
        add_beside(self._subject, self._timed, bench, batch_size, wanted)
        add_integrity(self._subject, self._timed, bench, batch_size, wanted)

    def _tune(self, bench: Workbench, batch_size: int) -> None:
        """Let a backend that tunes choose its options, once for each compile; a failure leaves them as they are."""
        size = self._subject.compiled_size(batch_size)
        if self._subject.description.tunes and size not in self._tried:
            self._tried.add(size)
            bench.close()  # a device may have room for one process, or one model
            self._session.attempt(f"compile/tune/batch={batch_size}", partial(tune, self._subject, batch_size))

    @property
    def _scenarios(self) -> tuple[Scenario, ...]:
        return self._session.job.scenarios if self._asks(Check.PERFORMANCE) else ()

    def _take_over(self, key: str) -> bool:
        """Whether an earlier run left a row, which is taken over then."""
        found = self._session.kept(key)
        if found is not None and found.info is not None:
            self._facts.compiles[key] = found.info
        return found is not None

    def _keys(self, batch_size: int) -> list[str]:
        """Rows that this batch size may give."""
        subject, numeric = self._subject, numeric_paths(self._subject, batch_size)
        keys = self._timed_keys(batch_size)
        asked, compares = self._asks(Check.NUMERIC), self._right is not None or self._compares_tokens
        keys += beside_keys(subject, batch_size) + integrity_keys(subject, batch_size)
        keys += [key for key in numeric if compares or (asked and self._session.has(key))]
        keys += [subject.key("accuracy", batch_size)] if self._scores_now() else []
        return keys + ([subject.key("compile", batch_size)] if self._compiles_now() else [])

    def _timed_keys(self, batch_size: int) -> list[str]:
        return [self._subject.key(f"performance/{scenario.key}", batch_size) for scenario in self._scenarios]

    def _scores_now(self) -> bool:
        """Accuracy is measured once, at the first batch size that compiles."""
        scored = any(row.kind is RowKind.ACCURACY for row in self._session.rows)
        return self._asks(Check.ACCURACY) and bool(self._subject.data.metrics) and not scored

    def _compiles_now(self) -> bool:
        """One model for every batch size is compiled once, at the first batch size that compiles."""
        compiled = bool(self._colds) or any(row.kind is RowKind.COMPILE for row in self._session.rows)
        return self._asks(Check.COMPILE) and not (self._subject.takes_every_batch and compiled)

    def _check(self, bench: Workbench, batch_size: int, wanted: set[str]) -> None:
        subject, session = self._subject, self._session
        key = subject.key("accuracy", batch_size)
        if key in wanted:
            session.attempt(key, lambda: session.add(self._accuracy(bench, batch_size)))
        for key in numeric_paths(subject, batch_size):
            if self._right is not None and key in wanted:
                session.attempt(key, partial(self._compare, bench, batch_size, key, self._right))
            elif self._compares_tokens and key in wanted:
                session.attempt(key, partial(self._compare_tokens, bench, key))

    def _accuracy(self, bench: Workbench, batch_size: int) -> Row:
        return accuracy_row(self._subject, bench, batch_size, self._reference_units, self._right)

    def _compare(self, bench: Workbench, batch_size: int, key: str, right: RightOutputs) -> None:
        """Add a numeric row, and note where to look for the operator if it failed."""
        row, mismatch = numeric_row(
            self._subject, bench, key, batch_size=batch_size, references=self._references, right=right
        )
        if mismatch is not None:
            self._mismatches.append(mismatch)
            self._session.fail(mismatch.failure)
        self._session.add(row)

    def _compare_tokens(self, bench: Workbench, key: str) -> None:
        """Add the row of what was generated or scored; a failed comparison is a failure of the job besides."""
        row, error = token_row(self._subject, bench, key, self._references)
        if error is not None:
            self._session.fail(failure_of(error, step=key))
        self._session.add(row)

    def _locate(self) -> None:
        """Name the operator that diverges, for the first numeric mismatch: when nothing else is in memory."""
        if not self._mismatches or not self._session.job.acceptance.locate:
            return
        first = self._mismatches[0]
        size = min(first.batch_size, LOCATED_SAMPLES) if self._subject.takes_every_batch else first.batch_size
        found = self._session.attempt(
            f"numeric/locate/batch={first.batch_size}",
            lambda: locate(self._subject, size, first.samples[:size], first.precision, first.replica),
        )
        if found is not None:
            self._session.amend(first.key, first.failure, lambda row: named(row, first, found))

    def _time(self, bench: Workbench, batch_size: int, scenario: Scenario, wanted: set[str]) -> None:
        key = self._subject.key(f"performance/{scenario.key}", batch_size)
        if key in wanted:
            self._session.attempt(key, partial(self._timed.measure, bench, batch_size, scenario))
            if self._session.job.repeats == 1:
                self._add_performance(key)

    def _repeat(self) -> None:
        """Time the same again in further processes: the unit of variance where the claim is about a machine."""
        if self._session.job.repeats == 1:
            return
        if self._subject.opener.isolation is Isolation.INLINE:
            self._session.warn("no_repeats", "a backend in this process cannot be started anew: measured once")
        else:
            for number in range(2, self._session.job.repeats + 1):
                with self._subject.bench() as bench:
                    for key in self._timed.keys:
                        step = f"{key} in process {number}"
                        self._session.attempt(step, partial(self._timed.measure_again, bench, key))
        for key in self._timed.keys:
            self._add_performance(key)

    def _add_performance(self, key: str) -> None:
        """Make the row of what was measured, also after the job has ended."""
        if key in self._timed.keys:
            self._session.finish(key, lambda: self._session.add(self._timed.row(key), whole=self._timed.is_whole(key)))

    def _add_compile(self) -> None:
        for batch_size, cold in self._colds.items():
            step = f"compile/warm/batch={batch_size}"
            warm = self._session.attempt(step, partial(warm_start, self._subject, batch_size))
            if warm is not None:
                self._session.finish(step, partial(check_warm, self._subject, cold, warm, batch_size))
            whole = warm is not None or self._subject.opener.isolation is Isolation.INLINE
            self._session.finish(step, partial(self._add_compile_row, batch_size, cold, warm, whole=whole))

    def _add_compile_row(self, batch_size: int, cold: Started, warm: Started | None, *, whole: bool) -> None:
        row = compile_row(self._subject, cold, warm, batch_size)
        self._session.add(row, whole=whole, info=cold.compilation.info)
