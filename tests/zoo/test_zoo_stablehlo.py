"""Rows of StableHLO run where nothing is said of a backend, each batch size by itself."""

from __future__ import annotations

import attrs
import pytest
from tests.waves import load

from bytemlperf import plan, run, zoo
from bytemlperf.report import RowKind, Status
from bytemlperf.scenarios import Server
from bytemlperf.spec import Format

ROWS = tuple(name for name in zoo.names(framework="stablehlo") if zoo.get(name).format is Format.STABLEHLO)
BERT = "bert-stablehlo-fp32"
LENGTH = 16
FIELDS = {"weights": "random", "dataset": "synthetic", "numeric_samples": 4}


def small_bert():
    """The row with a small configuration and a text of 16 tokens; its twin is that of the small configuration."""
    spec = zoo.get(BERT)
    config = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    recipe = attrs.evolve(spec.recipe, config={**spec.recipe.config, **config, "vocab_size": 100})

    def short(tensors):
        return tuple(
            attrs.evolve(each, shape=("batch", LENGTH), high=each.high and min(each.high, 100)) for each in tensors
        )

    return attrs.evolve(
        spec,
        recipe=recipe,
        inputs=short(spec.inputs),
        outputs=short(spec.outputs),
        batch_sizes=(2, 3),
        parameters=None,
        twin=None,
    )


def of_kind(report, kind):
    return [row for row in report.rows if row.kind is kind]


def test_a_small_bert_runs_on_the_default_backend_compiled_for_each_batch_size():
    asked = {"scenarios": [load()], "checks": ["numeric", "performance", "compile"], **FIELDS}
    planned = plan(small_bert(), **asked)
    report = run(small_bert(), **asked)
    assert {row.key for row in planned.rows} == {row.key for row in report.rows}
    assert (report.status, report.failures) == (Status.COMPLETE, ())
    assert report.backend.name == "cpu"
    assert [row.batch_size for row in of_kind(report, RowKind.COMPILE)] == [2, 3]
    assert [row.passed for row in of_kind(report, RowKind.NUMERIC)] == [True, True]
    assert all("in torch, float64" in row.note for row in of_kind(report, RowKind.NUMERIC))


@pytest.mark.slow
def test_joined_queries_are_padded_to_the_module_there_is():
    """Three samples in calls of two: the last call is padded, as there is no module of one and a half."""
    spec = attrs.evolve(small_bert(), batch_sizes=(2,))
    served = Server(target_qps=300, min_queries=25, min_duration_s=0.05)
    report = run(spec, scenarios=[served], checks=["performance"], **FIELDS)
    assert (report.status, report.failures) == (Status.COMPLETE, ())
    assert all(row.metrics["queries/answered"].value >= 25 for row in of_kind(report, RowKind.PERFORMANCE))


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_a_row_runs_at_full_size_on_the_default_backend(name):
    spec = attrs.evolve(zoo.get(name), batch_sizes=(1, 4))
    report = run(spec, scenarios=[load(iterations=3)], checks=["numeric", "performance", "compile"], **FIELDS)
    assert (report.status, report.failures) == (Status.COMPLETE, ())
    assert [row.passed for row in of_kind(report, RowKind.NUMERIC)] == [True, True]
    assert [row.batch_size for row in of_kind(report, RowKind.COMPILE)] == [1, 4]


def test_both_rows_are_here():
    assert ROWS == (BERT, "resnet50-stablehlo-fp32")
