"""What a plan says is what the run that follows gives."""

import json

import numpy as np
import pytest

from bytemlperf import FixedBatch, UnknownNameError, plan, run
from bytemlperf.errors import SpecError
from bytemlperf.evaluation.disk import bytes_below
from bytemlperf.evaluation.planning import course_of
from bytemlperf.report import RowKind
from bytemlperf.scenarios import Offline, Seeds, Server, SingleStream, Warmup

TASK = "digits-resnet-onnx-fp32"
ASKED = {
    "backend": "null",
    "options": {"zeros": True},
    "batch_sizes": [1, 4],
    "scenarios": [FixedBatch(iterations=400)],
    "checks": ["compile", "performance"],
}


@pytest.fixture(scope="module")
def piloted():
    return plan(TASK, **ASKED, pilot=True, minutes=0.5, width=0.2)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return run(TASK, **ASKED, out=tmp_path_factory.mktemp("planned"))


def test_the_rows_to_come_are_the_rows_that_come(piloted, report):
    assert {row.key for row in piloted.rows} == {row.key for row in report.rows}


def test_the_queries_that_are_planned_are_asked(piloted, report):
    planned = {row.key: row.queries for row in piloted.rows if row.claims}
    assert planned == {
        row.key: row.metrics["queries/answered"].value for row in report.rows_of(RowKind.PERFORMANCE) if row.headline
    }


def test_what_is_claimed_is_what_the_report_can_claim(piloted, report):
    for row in piloted.rows:
        for each in row.claims:
            figure = report.rows[[one.key for one in report.rows].index(row.key)].metrics[f"latency/p{100 * each.p:g}"]
            if each.holds:
                assert figure.low is not None


def test_the_folder_is_about_as_large_as_planned(piloted, report):
    assert 0.2 < bytes_below(report.folder) / piloted.disk_bytes < 2


def test_minutes_are_known_with_a_pilot_and_shown(piloted):
    assert 0 < piloted.minutes < 30
    assert piloted.pilot_s > 0
    text = str(piloted)
    assert max(map(len, text.splitlines())) <= 80
    assert "in 0.5 min" in text
    assert json.loads(json.dumps(piloted.to_dict()))["rows"][0]["key"] == piloted.rows[0].key


def test_without_a_pilot_nothing_is_timed_and_minutes_are_not_known():
    found = plan(TASK, **ASKED)
    assert found.minutes is None
    assert [row.queries for row in found.rows if row.claims] == [400, 400]
    assert "not known without a pilot" in str(found)


def test_an_expected_latency_gives_minutes_of_the_timed_rows():
    found = plan(TASK, **ASKED, expected_latency_ms=10)
    (one, _) = [row for row in found.rows if row.claims]
    assert one.seconds == pytest.approx(4.0 + 0.3)
    assert any("expected" in note for note in found.notes)


def test_numerics_are_planned_for_each_batch_size():
    keys = [row.key for row in plan(TASK, backend="null", checks=["numeric"], batch_sizes=[1, 4]).rows]
    assert keys == ["numeric/batch=1/fp32/devices=1", "numeric/batch=4/fp32/devices=1"]


def test_numerics_are_planned_for_each_path_that_is_timed():
    scenarios = [FixedBatch(clients=2), Offline(min_duration_s=1)]
    rows = plan(TASK, backend="null", checks=["numeric", "performance"], batch_sizes=[4], scenarios=scenarios).rows
    keys = [row.key.partition("/batch=")[0] for row in rows if row.kind is RowKind.NUMERIC]
    assert keys == ["numeric", "numeric/clients=2", "numeric/queued"]


def test_accuracy_is_planned_where_there_are_labels():
    keys = [row.key for row in plan(TASK, backend="null", checks=["accuracy"]).rows]
    assert keys == ["accuracy/batch=1/fp32/devices=1"]
    assert plan(TASK, backend="null", checks=["accuracy"], weights="random").rows == ()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"backend": "nosuch"}, UnknownNameError),
        ({"backend": "null", "options": {"nosuch": 1}}, SpecError),
        ({"backend": "null", "dataset": "nosuch"}, UnknownNameError),
        ({"backend": "null", "batch_sizes": [0]}, SpecError),
        ({"backend": "null", "width": 0}, SpecError),
    ],
)
def test_what_run_would_refuse_is_refused(wrong, error):
    with pytest.raises(error):
        plan(TASK, **wrong)


def test_a_backend_that_cannot_be_loaded_is_told():
    found = plan(TASK, backend="bytemlperf.testing.backends:NoSuch")
    assert found.rows == ()
    assert any("a run would fail" in note for note in found.notes)


def course(scenario, latency_s):
    return course_of(scenario.plan(64, Seeds()), latency_s)


def test_arrival_times_say_how_long_a_load_takes():
    scenario = Server(target_qps=100, min_duration_s=5, min_queries=1, warmup=Warmup(max_queries=0))
    arrivals = scenario.plan(64, Seeds()).scheduled_ns
    found = course(scenario, None)
    assert found.queries == len(arrivals)
    assert found.seconds == pytest.approx(arrivals[-1] / 1e9)


def test_a_stream_stops_when_it_has_enough():
    scenario = SingleStream(min_duration_s=2, min_queries=50, expected_latency_ms=1, warmup=Warmup(max_queries=0))
    assert course(scenario, None).queries is None
    found = course(scenario, 0.01)
    assert (found.queries, found.seconds) == (200, pytest.approx(2.0))
    assert course(scenario, 1.0).queries == 50


def test_all_at_once_takes_as_long_as_its_samples():
    found = course(Offline(expected_qps=100, min_duration_s=1, warmup=Warmup(max_queries=0)), 0.01)
    assert (found.queries, found.seconds) == (1, pytest.approx(1.1, abs=0.02))
    assert np.isclose(course(FixedBatch(clients=2, iterations=10, warmup=Warmup(max_queries=0)), 0.1).seconds, 1.0)
