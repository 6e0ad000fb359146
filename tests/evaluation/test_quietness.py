"""What else went on is in the report: before the run and beside each row."""

import pytest

from bytemlperf import FixedBatch, Report, run
from bytemlperf.environment import Disturbance, Load
from bytemlperf.evaluation.quietness import machine_figures


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return run(
        "digits-resnet-onnx-fp32",
        backend="null",
        options={"zeros": True},
        checks=["performance"],
        batch_sizes=[1],
        scenarios=[FixedBatch(iterations=60)],
        out=tmp_path_factory.mktemp("run"),
    )


def test_the_certificate_is_in_every_form_of_the_report(report):
    assert report.noise.seconds > 0
    assert str(report.noise.verdict) in str(report)
    assert "noise" in report._repr_html_()
    assert Report.load(report.folder).noise == report.noise
    told = {each.code for each in report.warnings if not each.step.startswith("performance/")}
    assert ("disturbed" in told) == (report.noise.verdict == "disturbed")


def test_each_row_says_what_else_went_on_while_it_was_measured(report):
    (row,) = [each for each in report.rows if each.kind == "performance"]
    assert row.metrics["machine/others_share"].value >= 0
    assert row.metrics["machine/preempted"].value >= 0


def test_a_job_that_times_nothing_has_no_certificate():
    assert run("digits-resnet-onnx-fp32", backend="null", checks=["compile"], batch_sizes=[1]).noise is None


def test_the_worst_of_several_processes_is_told():
    def seen(share, preempted):
        load = Load(seconds=1.0, others_share=share, stolen_share=None, throttled=None)
        return Disturbance(load=load, preempted=preempted, waited=None)

    figures = machine_figures([seen(0.1, 5), seen(0.4, 2)])
    assert figures["machine/others_share"].value == 0.4
    assert figures["machine/preempted"].value == 5
    assert figures["machine/waited"].note == "not readable here"
