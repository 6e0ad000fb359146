"""How programs take a report apart; only type-checked."""

from pathlib import Path
from typing import assert_type

from bytemlperf.environment import Environment, capture
from bytemlperf.metrics.estimate import Estimate
from bytemlperf.report import (
    Audit,
    Comparison,
    Decision,
    FigureComparison,
    Finding,
    Report,
    Row,
    RowKind,
    TableRow,
    Verdict,
    audit,
    compare,
    judge,
)
from bytemlperf.workload import Check, ForeignModel, ForeignWorkload, read_model_info, read_workload

report = Report.load(Path("out"))
assert_type(report.ok, bool)
assert_type(report.verdict, Verdict)
assert_type(report.metrics["accuracy/top1"], Estimate)
assert_type(report.metrics["accuracy/top1"].value, float | None)
assert_type(report.rows, tuple[Row, ...])
assert_type(report.rows_of(RowKind.ACCURACY)[0].metrics["accuracy/top1"], Estimate)
assert_type(report.table(), list[TableRow])
assert_type(report.table()[0]["value"], float | None)
assert_type(report.save("out/"), Path)
assert_type(report.environment, Environment)
assert_type(capture().fingerprint, str)
assert_type(judge(checks=[Check.ACCURACY], rows=report.rows), Verdict)
assert_type(read_workload("workload.json"), ForeignWorkload)
assert_type(read_model_info({"model": "m"}), ForeignModel)
Row(kind="accuracy", key="accuracy", precision="fp32", metrics={"accuracy/top1": Estimate(value=1.0, unit="1")})
Row(kind="speed", key=3, precision="fp32")  # type: ignore[arg-type]
report.table()[0]["valeu"]  # type: ignore[typeddict-item]
comparison = compare(report, report, equivalence=0.02, level=0.99, allow=["environment"])
assert_type(comparison, Comparison)
assert_type(comparison.find("latency/p99"), FigureComparison)
assert_type(comparison.find("latency/p99").decision, Decision | None)
assert_type(comparison.exit_code(strict=True), int)
compare(report, "out")  # type: ignore[arg-type]
assert_type(audit("result.json", Path("out"), report, queries=100), Audit)
assert_type(audit(report).findings, tuple[Finding, ...])
