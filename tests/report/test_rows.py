import attrs
import pytest
from tests.report.report_samples import performance_row

from bytemlperf.errors import SpecError
from bytemlperf.metrics.estimate import Estimate
from bytemlperf.report import Row, row_key
from bytemlperf.spec import DType, from_json, to_json


def row(**changes):
    return Row(**{"kind": "accuracy", "key": "accuracy/batch=8", "precision": "fp32", **changes})


def test_a_row_comes_back_from_json():
    whole = attrs.evolve(
        performance_row(), files=["traces/a.npz"], sha256={"traces/a.npz": "0" * 64}, passed=True, note="note"
    )
    assert from_json(Row, to_json(whole)) == whole


def test_keys_leave_out_what_is_not_told():
    assert row_key("accuracy") == "accuracy"
    assert row_key("compile", batch_size=8, precision=DType.BFLOAT16) == "compile/batch=8/bf16"
    assert row_key("performance", scenario="offline", devices=4) == "performance/offline/devices=4"


@pytest.mark.parametrize("key", ["", "numeric/batch=8", "accuracyx", "accuracy/", "accuracy/x ", "/accuracy"])
def test_a_key_that_does_not_begin_with_its_kind_is_refused(key):
    with pytest.raises(SpecError, match="key"):
        row(key=key)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "~/x", "../x", "a/../../x", "a\\b"])
def test_files_lie_below_the_report(path):
    with pytest.raises(SpecError, match="no path below"):
        row(files=[path])


@pytest.mark.parametrize("digests", [{"other": "0" * 64}, {"a": "0"}, {"a": "G" * 64}])
def test_digests_are_of_the_rows_own_files(digests):
    with pytest.raises(SpecError, match="sha256"):
        row(files=["a"], sha256=digests)


def test_plain_values_that_json_cannot_hold_become_none():
    odd = {"a": float("nan"), "b": float("inf"), "c": 1.5, "d": "x"}
    assert row(bytemlperf=odd, labels=odd).bytemlperf == {"a": None, "b": None, "c": 1.5, "d": "x"}
    assert row(labels=odd).labels["b"] is None


def test_a_missing_figure_is_answered_with_what_there_is():
    with pytest.raises(KeyError, match="there are accuracy/top1"):
        row(metrics={"accuracy/top1": Estimate(value=1.0, unit="1")}).metrics["top1"]


def test_a_row_is_not_changed_by_its_makers_mapping():
    figures = {"accuracy/top1": Estimate(value=1.0, unit="1")}
    made = row(metrics=figures)
    figures.clear()
    assert list(made.metrics) == ["accuracy/top1"]


@pytest.mark.parametrize("change", [{"kind": "speed"}, {"precision": "fp23"}, {"batch_size": 0}, {"files": "a"}])
def test_a_wrong_row_is_refused(change):
    with pytest.raises(SpecError):
        row(**change)
