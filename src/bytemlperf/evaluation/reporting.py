"""From what a session found to a report."""

from __future__ import annotations

import datetime as dt
import time
from typing import Final

from bytemlperf.errors import FailureCode
from bytemlperf.evaluation.facts import Facts
from bytemlperf.evaluation.session import Session
from bytemlperf.report import BackendFacts, Report, RowKind, Status, artifact_facts, judge
from bytemlperf.workload import Check

_ORDER: Final = tuple(RowKind)


def make_report(session: Session, facts: Facts, *, started_s: float) -> Report:
    """Make the report of a session, however far it came.

    Args:
        session: Rows, failures, warnings.
        facts: Everything else.
        started_s: `time.time()` at the job's start.
    """
    started_utc = dt.datetime.fromtimestamp(started_s, dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    rows = sorted(session.rows, key=lambda row: (_ORDER.index(row.kind), not row.headline))
    return Report(
        job=session.job,
        status=_status(session),
        verdict=judge(
            checks=(*session.job.checks, *((Check.INTEGRITY,) if session.job.integrity_tests else ())),
            rows=rows,
            failures=session.failures,
            not_measured=session.not_measured,
        ),
        rows=tuple(rows),
        failures=tuple(session.failures),
        warnings=tuple(session.warnings),
        not_measured=tuple(session.not_measured),
        environment=facts.environment,
        artifact=None if facts.artifact is None else artifact_facts(facts.given or facts.artifact),
        dataset=facts.dataset,
        backend=_backend(session, facts),
        compiles=facts.compiles,
        seeds=session.job.streams,
        parts=tuple(session.earlier_parts) + ((session.part,) if session.part is not None else ()),
        harness=facts.harness,
        noise=facts.noise,
        started_utc=started_utc,
        duration_s=time.time() - started_s,
        folder=session.request.out,
    )


def _status(session: Session) -> Status:
    """Tell how far a job came."""
    if any(failure.code is FailureCode.CANCELLED for failure in session.failures):
        return Status.CANCELLED
    if not session.failures:
        return Status.COMPLETE
    return Status.PARTIAL if session.rows else Status.FAILED


def _backend(session: Session, facts: Facts) -> BackendFacts:
    request, described = session.request, facts.backend
    return BackendFacts(
        name=request.backend_name if described is None else described.name,
        reference=request.reference,
        isolation=facts.isolation,
        version="unknown" if described is None else described.version,
        formats=() if described is None else described.formats,
        devices=() if described is None else described.devices,
        tried_on=() if described is None else described.tried_on,
    )
