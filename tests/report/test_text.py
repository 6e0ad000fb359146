import io

import attrs
import pytest
from rich.console import Console
from tests.report.report_samples import (
    accuracy_row,
    compile_row,
    differences,
    failed_report,
    numeric_row,
    performance_row,
    report,
)

from bytemlperf.metrics.estimate import Estimate
from bytemlperf.report import NotMeasured, Reason


def drawn(what, width):
    text = io.StringIO()
    Console(file=text, width=width, color_system=None, legacy_windows=False).print(what)
    return text.getvalue()


def flat(text):
    """Put lines together again that were folded, and leave frames out."""
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_wider_than_the_terminal(width):
    for each in (report(), failed_report()):
        assert max(len(line) for line in drawn(each, width).splitlines()) <= width


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_figure_and_no_head_is_broken_over_lines(width):
    text = drawn(report(), width)
    for whole in ("673.7 samples/s", "659.0 to 689.2", "1.474 ms", "max|d| / max|ref|", "first predict", "NaN, Inf"):
        assert any(whole in line for line in text.splitlines()), whole
    assert "…" not in text


def test_headline_verdict_and_intervals_are_shown():
    text = drawn(report(), 80)
    assert "digits-resnet-onnx-fp32 on onnxruntime   complete, PASS" in text.splitlines()[0]
    assert "accuracy/top1   0.9806   0.9604 to 0.9921   360     pass" in text
    assert "performance (intervals at 95 %)" in text
    assert "pretrained weights" in text
    assert "in a process of its own" in text
    assert "48.20 ms" in text


def test_a_wide_terminal_shows_more_percentiles():
    assert "p90" not in drawn(report(), 80)
    assert "p90" in drawn(report(), 120)


def test_failures_come_first_with_what_they_tell():
    text = drawn(failed_report(), 100)
    assert text.index("FAILED: 2") < text.index("warnings: 2") < text.index("performance (")
    for told in ("crash in performance", "to mend: backend", "SIGSEGV", "may succeed later", "| loading engine"):
        assert told in flat(text), told
    assert "partial, FAIL" in text


def test_what_a_failure_tells_is_told_once():
    sample = failed_report()
    (first, *_) = sample.failures
    reason = Reason(check="compile", outcome="undecided", text=f"{first.code}: {first.message}")
    verdict = attrs.evolve(sample.verdict, reasons=[*sample.verdict.reasons, reason])
    text = flat(drawn(attrs.evolve(sample, verdict=verdict), 100))
    assert text.count(flat(first.message)) == 1
    assert f"{first.code}, as told above" in text


def test_a_failures_own_text_is_no_markup():
    assert "[bold]not markup[/bold]" in drawn(failed_report(), 100)


@pytest.mark.parametrize("name", ["[red]model[/red]", "[/]", "a[b]"])
def test_no_name_is_taken_for_markup(name):
    rows = [
        attrs.evolve(accuracy_row(), metrics={f"accuracy/{name}": Estimate(value=1.0, unit="1", note=name)}),
        attrs.evolve(performance_row(), scenario=name, labels={name: True}, note=name),
    ]
    text = drawn(report(rows=rows), 120)
    assert text.count(name) >= 3


def test_why_something_was_not_measured_is_shown_once():
    told = [NotMeasured(check="accuracy", reason="random weights never give an accuracy figure")]
    text = flat(drawn(report(rows=[performance_row()], not_measured=told), 80))
    assert text.count("random weights never give") == 1
    assert "UNDECIDED" in text


def test_what_the_verdict_does_not_judge_is_still_told():
    told = [NotMeasured(check="compile", reason="no compile was asked for")]
    text = flat(drawn(report(not_measured=told, checks=["performance"]), 80))
    assert "not measured: 1" in text
    assert "compile: no compile was asked for" in text


def test_notes_are_told_under_their_table():
    text = flat(drawn(report(), 80))
    assert "2.152 ms (1)" in text
    assert "(1) too few samples for this percentile: its interval takes 368" in text


def test_a_bound_that_was_not_held_is_shown():
    rows = [
        attrs.evolve(accuracy_row(), passed=False, note="below 0.99"),
        numeric_row(noise=1.0),
        attrs.evolve(performance_row(), passed=False, note="p99 above 1 ms"),
    ]
    text = drawn(report(rows=rows), 120)
    assert text.count("FAIL") >= 4
    assert "below 0.99" in text
    assert "p99 above 1 ms" in text


def test_figures_of_other_metrics_are_not_lost():
    extra = {"ttft/p50": Estimate(value=2.5e9, unit="ns", n=3), "latency/p50": Estimate(value=1e6, unit="ns", n=3)}
    rows = [attrs.evolve(performance_row(), metrics=extra)]
    rows.append(attrs.evolve(compile_row(), metrics={"compile/engine_files": Estimate(value=4, unit="files", n=1)}))
    text = drawn(report(rows=rows), 80)
    assert "ttft/p50   2.500 s" in text
    assert "4 files" in text


def test_a_figure_that_is_missing_says_why():
    missing = Estimate(value=None, unit="ns", note="no query was answered")
    rows = [attrs.evolve(performance_row(), metrics={"latency/p50": missing})]
    text = flat(drawn(report(rows=rows), 80))
    assert "- (1)" in text
    assert "(1) no query was answered" in text


def test_two_rows_of_one_kind_are_told_apart_by_what_differs():
    rows = [accuracy_row(), attrs.evolve(accuracy_row(), key="accuracy/batch=1/fp32")]
    rows += [numeric_row(), attrs.evolve(numeric_row(), key="numeric/batch=1/fp32")]
    text = drawn(report(rows=rows), 80)
    for told in ("accuracy/top1  batch=8 ", "accuracy/top1  batch=1 ", "logits  batch=8 ", "logits  batch=1 "):
        assert told in text
    assert "batch=" not in drawn(report(rows=[accuracy_row()]), 80)


def test_a_backends_name_is_not_told_twice():
    backend = attrs.evolve(report().backend, version="onnxruntime 1.32.0")
    assert "onnxruntime onnxruntime" not in drawn(report(backend=backend), 80)


def test_printing_gives_the_same_at_80_columns():
    text = str(report())
    assert max(map(len, text.splitlines())) <= 80
    assert text == "\n".join(line.rstrip() for line in drawn(report(), 80).rstrip().splitlines())


def test_an_empty_report_can_be_shown():
    empty = report(rows=[], artifact=None, dataset=None, backend=None, compiles={}, harness={}, status="failed")
    text = drawn(empty, 80)
    assert "failed, UNDECIDED" in text
    assert "performance (" not in text


def test_outputs_with_long_names_stay_readable():
    result = differences()
    metrics = {f"numeric/{'x' * 60}/{name.rsplit('/', 1)[1]}": each for name, each in result.metrics.items()}
    text = drawn(report(rows=[attrs.evolve(numeric_row(), metrics=metrics)]), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "90.91 dB" in text
