"""Reports of anyone held against what must be true of them: a reason for every figure that is not to be believed."""

from bytemlperf.report.auditing.finding import Audit, Finding, FindingKind, Severity
from bytemlperf.report.auditing.sources import audit

__all__ = ["Audit", "Finding", "FindingKind", "Severity", "audit"]
