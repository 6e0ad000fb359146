import attrs
from tests.report.report_samples import accuracy_row, failed_report, report

from bytemlperf.metrics.estimate import Estimate
from bytemlperf.report.markdown import to_markdown


def test_every_figure_is_told_with_interval_and_definition():
    text = to_markdown(report(), plots=["plots/a.png"])
    assert text.startswith("# digits-resnet-onnx-fp32 on onnxruntime\n\n**PASS**, complete")
    assert "| accuracy/top1 | 0.9806 | 0.9604 to 0.9921 | 360 | share of samples that are right |  |" in text
    assert "![plots/a.png](plots/a.png)" in text
    for row in report().rows:
        assert all(f"\n| {name} |" in text.replace("\\", "") for name in row.metrics)


def test_failures_warnings_and_gaps_are_told():
    text = to_markdown(failed_report())
    for head in ("## Failures", "## Warnings", "## Not measured"):
        assert head in text
    assert "SIGSEGV" in text


def test_no_cell_breaks_its_table():
    evil = "a|b\nc <b> *d* [e](f) `g`"
    rows = [attrs.evolve(accuracy_row(), metrics={"accuracy/x": Estimate(value=1.0, unit="1", note=evil)}, note=evil)]
    text = to_markdown(report(rows=rows))
    (line,) = [line for line in text.splitlines() if line.startswith("| accuracy/x")]
    assert line.replace("\\|", "").count("|") == 7
    assert "&lt;b&gt; \\*d\\* \\[e\\](f) \\`g\\`" in line
