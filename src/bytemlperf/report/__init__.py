"""What a job found, with all that is needed to believe it: rows, figures, facts, verdict; on screen and on disk."""

from bytemlperf.report.auditing import Audit, Finding, FindingKind, Severity, audit
from bytemlperf.report.comparison import (
    Aspect,
    Basis,
    Comparison,
    Decision,
    FigureComparison,
    Mismatch,
    Side,
    compare,
)
from bytemlperf.report.facts import (
    ArtifactFacts,
    BackendFacts,
    DatasetFacts,
    Part,
    ReportWarning,
    artifact_facts,
)
from bytemlperf.report.report import SCHEMA_VERSION, Report, Status, new_part_id
from bytemlperf.report.rows import IN_MEMORY, PHASES, VENDOR_REPORTED, Row, RowKind, row_key
from bytemlperf.report.table import TableRow
from bytemlperf.report.verdict import NotMeasured, Outcome, Reason, Verdict, judge
from bytemlperf.worker import Isolation

__all__ = [
    "IN_MEMORY",
    "PHASES",
    "SCHEMA_VERSION",
    "VENDOR_REPORTED",
    "ArtifactFacts",
    "Aspect",
    "Audit",
    "BackendFacts",
    "Basis",
    "Comparison",
    "DatasetFacts",
    "Decision",
    "FigureComparison",
    "Finding",
    "FindingKind",
    "Isolation",
    "Mismatch",
    "NotMeasured",
    "Outcome",
    "Part",
    "Reason",
    "Report",
    "ReportWarning",
    "Row",
    "RowKind",
    "Severity",
    "Side",
    "Status",
    "TableRow",
    "Verdict",
    "artifact_facts",
    "audit",
    "compare",
    "judge",
    "new_part_id",
    "row_key",
]
