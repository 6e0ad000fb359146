import attrs
import pytest
from tests.report.report_samples import accuracy_row, compile_row, performance_row

from bytemlperf.report.lookup import FlatMetrics

KEY = "performance/fixed_batch/clients=1/batch=8/fp32/devices=1"


def test_accuracy_has_its_plain_name():
    flat = FlatMetrics((accuracy_row(), performance_row()))
    assert flat["accuracy/top1"].n == 360
    assert "accuracy/top1" in list(flat)


def test_performance_is_named_by_its_row():
    flat = FlatMetrics((performance_row(batch_size=8), performance_row(batch_size=1)))
    assert flat[f"{KEY}/latency/p99"].unit == "ns"
    assert f"{KEY}/latency/p99" in list(flat)
    assert "latency/p99" not in list(flat)


def test_a_plain_name_is_enough_where_one_row_has_it():
    flat = FlatMetrics((performance_row(),))
    assert flat["latency/p99"] is flat[f"{KEY}/latency/p99"]


def test_a_plain_name_that_several_rows_have_is_refused_with_their_keys():
    flat = FlatMetrics((performance_row(batch_size=8), performance_row(batch_size=1)))
    with pytest.raises(KeyError, match=r"several rows.*batch=8.*batch=1"):
        flat["latency/p99"]


def test_other_rows_that_share_a_name_are_named_by_key():
    rows = (compile_row(), attrs.evolve(compile_row(), key="compile/batch=1"))
    flat = FlatMetrics(rows)
    assert len(flat) == 2 * len(rows[0].metrics)
    assert flat["compile/batch=1/compile/coverage"].value == 0.75
    assert "compile/coverage" not in flat


def test_an_unknown_name_is_answered_with_one_that_looks_like_it():
    with pytest.raises(KeyError, match="accuracy/top1"):
        FlatMetrics((accuracy_row(),))["accuracy/topl"]
    with pytest.raises(KeyError, match="none"):
        FlatMetrics(())["accuracy/top1"]


def test_every_name_that_is_listed_finds_its_figure():
    flat = FlatMetrics((compile_row(), accuracy_row(), performance_row(batch_size=8), performance_row(batch_size=1)))
    assert len(list(flat)) == len(flat) == len(dict(flat.items()))
