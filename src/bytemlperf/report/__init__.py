"""What a job found, with all that is needed to believe it: rows, figures, facts, verdict; on screen and on disk."""

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
    Isolation,
    Part,
    ReportWarning,
    artifact_facts,
)
from bytemlperf.report.report import SCHEMA_VERSION, Report, Status, new_part_id
from bytemlperf.report.rows import PHASES, VENDOR_REPORTED, Row, RowKind, row_key
from bytemlperf.report.table import TableRow
from bytemlperf.report.verdict import NotMeasured, Outcome, Reason, Verdict, judge

__all__ = [
    "PHASES",
    "SCHEMA_VERSION",
    "VENDOR_REPORTED",
    "ArtifactFacts",
    "Aspect",
    "BackendFacts",
    "Basis",
    "Comparison",
    "DatasetFacts",
    "Decision",
    "FigureComparison",
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
    "Side",
    "Status",
    "TableRow",
    "Verdict",
    "artifact_facts",
    "compare",
    "judge",
    "new_part_id",
    "row_key",
]
