"""Against the keys of a report that ByteMLPerf itself writes, and its formulas worked by hand."""

import json

import attrs
import pytest
from tests.report.report_samples import accuracy_row, compile_row, failed_report, numeric_row, performance_row, report

from bytemlperf.metrics.estimate import Estimate
from bytemlperf.report import DatasetFacts
from bytemlperf.workload import DatasetRequest

KEYS = [
    "Model",
    "Backend",
    "Host Info",
    "Dataset",
    "Instance Count",
    "Device Count",
    "Graph Compile",
    "Version",
    "Execution Date",
    "Accuracy",
    "Performance",
]


def bare(row, **metrics):
    """Make a row without the original's figures, with these estimates only."""
    figures = {name: Estimate(value=value, unit="") for name, value in metrics.items()}
    return attrs.evolve(row, bytemlperf={}, metrics=figures)


def test_the_originals_keys_are_there_in_its_order_and_no_others():
    data = report().to_bytemlperf()
    assert list(data) == KEYS
    assert list(data["Graph Compile"]) == [
        "Compile Duration",
        "Compile Precision",
        "Subgraph Coverage",
        "Optimizations",
    ]
    assert list(data["Accuracy"]) == [
        "Data Percent",
        "Top-1",
        "Mean Diff",
        "Std Diff",
        "Max Diff",
        "Max Rel-Diff",
        "Mean Rel-Diff",
        "Diff Dist",
    ]
    assert [list(each) for each in data["Performance"]] == [["BS", "QPS", "AVG Latency", "P99 Latency"]] * 2


def test_the_originals_values_are_given():
    data = report().to_bytemlperf()
    assert (data["Model"], data["Backend"]) == ("DIGITS-RESNET-ONNX-FP32", "ONNXRUNTIME")
    assert (data["Dataset"], data["Version"]) == ("DIGITS", "0.1.0")
    assert data["Execution Date"] == "2026-01-31 12:00:00"
    assert data["Graph Compile"]["Compile Duration"] == 0.0482
    assert data["Graph Compile"]["Subgraph Coverage"] == 75.0
    assert (data["Accuracy"]["Data Percent"], data["Accuracy"]["Top-1"]) == (100, 0.98056)
    json.dumps(data, allow_nan=False)


def test_the_formulas_are_the_originals():
    row = bare(performance_row(), **{"latency/mean": 4_948_123.0, "latency/p99": 7_174_999.0})
    (entry,) = report(rows=[row]).to_bytemlperf()["Performance"]
    assert entry == {"BS": 8, "QPS": int(1000 * 8 / 4.95), "AVG Latency": 4.95, "P99 Latency": 7.17}
    assert entry["QPS"] == 1616


def test_a_latency_that_rounds_to_nothing_gives_no_rate():
    row = bare(performance_row(), **{"latency/mean": 4_000.0, "latency/p99": 5_100.0})
    (entry,) = report(rows=[row]).to_bytemlperf()["Performance"]
    assert entry == {"BS": 8, "QPS": None, "AVG Latency": 0.0, "P99 Latency": 0.01}


def test_one_entry_for_each_batch_size_of_the_first_load():
    entries = report().to_bytemlperf()["Performance"]
    assert [entry["BS"] for entry in entries] == [1, 8]
    first = [row for row in report().rows if row.scenario == "fixed_batch/clients=1"]
    assert [entry["QPS"] for entry in entries] == [row.bytemlperf["QPS"] for row in first]


def test_top1_is_taken_by_the_originals_formula_where_it_is_there():
    row = bare(accuracy_row(), **{"accuracy/top1": 0.9, "accuracy/top1.bytemlperf": 0.8123456})
    assert report(rows=[row]).to_bytemlperf()["Accuracy"] == {"Data Percent": 100, "Top-1": 0.81235}
    row = bare(accuracy_row(), **{"accuracy/top1": 0.9})
    assert report(rows=[row]).to_bytemlperf()["Accuracy"]["Top-1"] == 0.9
    assert report(rows=[bare(accuracy_row())]).to_bytemlperf()["Accuracy"] == {"Data Percent": 100}


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"zero_shot_top1": 0.7, "zero_shot_top1.bytemlperf": 0.65123}, {"Top-1": 0.65123}),
        ({"auc": 0.8, "log_loss": 0.4, "binary_accuracy": 0.75, "binary_accuracy.bytemlperf": 0.74}, {"Top-1": 0.74}),
        ({"triplet_accuracy": 0.6, "triplet_accuracy.bytemlperf": 0.6}, {"Top-1": 0.6}),
        (
            {"em": 81.0, "f1": 88.5, "em.bytemlperf": 79.1234567, "f1.bytemlperf": 86.5},
            {"Exact Match": 79.12346, "F1 Score": 86.5},
        ),
        ({"map": 0.3}, {}),
    ],
)
def test_accuracy_has_the_originals_names_and_formulas(figures, expected):
    row = bare(accuracy_row(), **{f"accuracy/{name}": value for name, value in figures.items()})
    assert report(rows=[row]).to_bytemlperf()["Accuracy"] == {"Data Percent": 100, **expected}


def test_a_part_of_the_data_set_is_not_called_all_of_it():
    whole = report(rows=[bare(accuracy_row())])
    job = attrs.evolve(whole.job, dataset=DatasetRequest(name="digits", samples=10))
    assert attrs.evolve(whole, job=job).to_bytemlperf()["Accuracy"]["Data Percent"] is None


def test_coverage_that_is_not_known_is_never_100():
    assert report(compiles={}).to_bytemlperf()["Graph Compile"]["Subgraph Coverage"] is None


def test_what_was_not_measured_is_left_out():
    data = failed_report().to_bytemlperf()
    assert "Accuracy" not in data
    assert "Graph Compile" not in data
    assert list(report(rows=[numeric_row()]).to_bytemlperf()["Accuracy"]) == [
        "Mean Diff",
        "Std Diff",
        "Max Diff",
        "Max Rel-Diff",
        "Mean Rel-Diff",
        "Diff Dist",
    ]
    assert "Performance" not in report(rows=[compile_row()]).to_bytemlperf()


@pytest.mark.parametrize(
    ("dataset", "name"), [("imagenet2012", "OPEN_IMAGENET"), ("synthetic", "FAKE_DATASET"), ("digits", "DIGITS")]
)
def test_data_sets_have_the_originals_names(dataset, name):
    assert report(dataset=DatasetFacts(name=dataset, samples=1)).to_bytemlperf()["Dataset"] == name


def test_without_data_it_is_the_fake_one():
    assert report(dataset=None, backend=None).to_bytemlperf()["Dataset"] == "FAKE_DATASET"
