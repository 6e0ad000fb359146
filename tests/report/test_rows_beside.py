"""Rows beside the timed runs: passes by phases, and what a vendor's own tool told. They stand for nothing else."""

import attrs
import numpy as np
from tests.report.report_samples import accuracy_row, compile_row, numeric_row, performance_row, report, trace
from tests.report.test_text import drawn, flat

from bytemlperf.metrics import phases, vendor_figures
from bytemlperf.report import Outcome, Row, RowKind, judge
from bytemlperf.report.drawing import figures
from bytemlperf.report.files import trace_path, write_trace
from bytemlperf.report.markdown import to_markdown
from bytemlperf.report.plots import throughput_figure
from bytemlperf.workload import MEASURED, Check


def phased_trace():
    stamps = trace(queries=50)
    marks = np.stack([stamps.sent_ns + 100_000, stamps.done_ns - 200_000], axis=1)
    return attrs.evolve(
        stamps,
        chunk_ns=marks.ravel(),
        chunk_tokens=np.zeros(100, np.uint16),
        chunk_query=np.repeat(np.arange(50, dtype=np.uint32), 2),
    )


def phases_row(*, batch_size=8):
    return _row("phases", phases(phased_trace()), batch_size=batch_size, note="never summed")


def vendor_row(*, batch_size=8, **told):
    return _row("vendor_reported", vendor_figures(told or {"fps": 98765.0}), batch_size=batch_size)


def _row(what, metrics, *, batch_size, note=""):
    return Row(
        kind=RowKind.PERFORMANCE,
        key=f"performance/{what}/batch={batch_size}/fp32/devices=1",
        metrics=metrics,
        batch_size=batch_size,
        precision="fp32",
        labels={what: True},
        note=note,
    )


def claiming(row):
    """The row with figures that a timed run has too, as a tool may name its own."""
    timed = performance_row(batch_size=row.batch_size)
    return attrs.evolve(row, metrics={**row.metrics, **timed.metrics}, bytemlperf=timed.bytemlperf)


def test_only_a_timed_run_stands_for_performance():
    assert performance_row().headline
    assert attrs.evolve(performance_row(), labels={"vendor_reported": False, "vendor_chosen": True}).headline
    assert not phases_row().headline
    assert not vendor_row().headline


def test_what_was_not_timed_is_no_measured_performance():
    rows = [compile_row(), accuracy_row(), numeric_row()]
    alone = judge(checks=MEASURED, rows=[*rows, phases_row(), claiming(vendor_row())])
    assert alone.outcome is Outcome.UNDECIDED
    assert [each.text for each in alone.reasons if each.check is Check.PERFORMANCE] == ["not measured"]
    beside = judge(checks=MEASURED, rows=[*rows, performance_row(), phases_row(), vendor_row()])
    assert beside.outcome is Outcome.PASS
    assert [each.text for each in beside.reasons if each.check is Check.PERFORMANCE] == ["measured in 1 row"]


def test_byte_mlperfs_report_has_measured_entries_alone():
    whole = report(rows=[compile_row(), claiming(vendor_row(batch_size=64)), performance_row(), phases_row()])
    assert [entry["BS"] for entry in whole.to_bytemlperf()["Performance"]] == [8]
    assert whole.to_bytemlperf()["Performance"] == report(rows=[performance_row()]).to_bytemlperf()["Performance"]


def test_no_curve_goes_through_what_was_not_timed():
    rows = [performance_row(), claiming(vendor_row(batch_size=64)), claiming(phases_row(batch_size=1))]
    assert throughput_figure(rows, title="") is None


def test_no_latency_is_drawn_of_a_pass_by_phases(tmp_path):
    row = phases_row()
    write_trace(tmp_path / trace_path(row.key), phased_trace())
    assert list(figures(report(rows=[row]), tmp_path)) == []


def test_they_have_tables_of_their_own():
    text = flat(drawn(report(rows=[performance_row(), phases_row(), vendor_row()]), 100))
    performance, _, rest = text.partition("phases (intervals at 95 %)")
    beside, _, told = rest.partition("reported by the vendor's tool, not measured by the harness")
    assert "fps" not in performance
    assert "never summed" in beside
    for phase in ("prepare", "execute", "fetch"):
        assert phase in beside
    assert "p50" in beside
    assert "100.0 us" in beside
    assert "fps" in told
    assert "98,765" in told


def test_without_them_there_are_no_such_tables():
    text = drawn(report(), 100)
    assert "phases" not in text
    assert "vendor" not in text


def test_names_of_a_tool_are_no_markup():
    text = drawn(report(rows=[vendor_row(**{"[bold]fps|x": 1.5})]), 100)
    assert "[bold]fps|x" in text


def test_their_figures_keep_names_of_their_own():
    whole = report(rows=[performance_row(), vendor_row(**{"latency/p99": 1.0})])
    assert whole.metrics["latency/p99"].value != 1.0
    assert whole.metrics["vendor_reported/latency/p99"].value == 1.0
    assert "not measured by the harness" in to_markdown(whole)
    (line,) = [each for each in whole.table() if each["metric"].startswith("vendor_reported/")]
    assert "not measured by the harness" in line["definition"]


def test_a_report_with_them_comes_back_from_json():
    whole = report(rows=[performance_row(), phases_row(), vendor_row()])
    assert type(whole).from_dict(whole.to_dict()) == whole
