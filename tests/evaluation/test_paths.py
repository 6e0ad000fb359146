"""Every path that is timed is checked: depth without more clients, joined samples, and each replica by itself."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation import wrong, wrong_paths
from tests.residual import residual
from tests.waves import codes, load

from bytemlperf import ArrayLoader, Offline, Server, run
from bytemlperf.evaluation.calls import Flight
from bytemlperf.evaluation.paths import DEPTH, TimedPath, most_clients, path_of, paths
from bytemlperf.evaluation.timedanswers import Checked
from bytemlperf.report import Outcome, RowKind
from bytemlperf.scenarios import ClosedLoop, MultiStream, Scenario, SingleStream, Warmup
from bytemlperf.trace import empty
from bytemlperf.worker import BackendDescription
from bytemlperf.workload import Asked, Check, Job

OFFLINE = Offline(min_queries=60, min_duration_s=0.001)
MULTI = MultiStream(samples_per_query=8, min_queries=3, min_duration_s=0, warmup=Warmup(max_queries=0))
SINGLE = SingleStream(min_queries=20, min_duration_s=0.001)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return residual(tmp_path_factory.mktemp("residual"), blocks=1)


def judge(artifact, backend, **fields):
    images = np.random.default_rng(6).standard_normal((32, 1, 8, 8)).astype(np.float32)
    chosen = {
        "checks": ["numeric", "performance"],
        "batch_sizes": [4],
        "numeric_samples": 8,
        "dataset": ArrayLoader(image=images),
        "scenarios": [load(iterations=24)],
        **fields,
    }
    return run(artifact, backend=backend, **chosen)


def numeric(report):
    """Whether each path passed, by the first part of its row's key."""
    return {row.key.partition("/batch=")[0]: row.passed for row in report.rows_of(RowKind.NUMERIC)}


def job(*scenarios, **fields):
    return Job(task="m", scenarios=scenarios, **fields)


def described(**fields):
    return BackendDescription(name="b", **fields)


def test_each_distinct_way_of_asking_is_a_path():
    scenarios = (load(), load(clients=4), ClosedLoop(clients=4), SINGLE, MULTI, OFFLINE, Server(senders=2))
    assert list(paths(job(*scenarios), described(), 4)) == [
        "numeric",
        "numeric/clients=4",
        "numeric/samples_per_query=1",
        "numeric/samples_per_query=8",
        "numeric/queued",
        "numeric/queued/senders=2",
    ]
    assert list(paths(job(SINGLE, load(), OFFLINE), described(), 1)) == ["numeric", "numeric/queued"]


def test_each_replica_is_a_path_unless_the_backend_spans_devices():
    two = job(load(clients=2), devices=("a", "b"))
    assert list(paths(two, described(), 4)) == ["numeric", "numeric/replica=1", "numeric/clients=2"]
    assert paths(two, described(), 4)["numeric"].replica == 0
    assert list(paths(two, described(spans_devices=True), 4)) == ["numeric", "numeric/clients=2"]


def test_what_is_not_timed_has_the_plain_path():
    assert list(paths(job(OFFLINE, checks=(Check.NUMERIC,)), described(), 4)) == ["numeric"]
    assert list(paths(job(OFFLINE, asks=Asked.SCORE), described(), 1)) == ["numeric"]
    assert most_clients(job(load(clients=3), OFFLINE)) == 3
    assert most_clients(job(load(clients=3), checks=(Check.NUMERIC,))) == 1


class Listed(Scenario):
    """Someone's own pattern, which has no hash: batches that arrive by themselves."""

    kind_name = "listed"
    __hash__ = None
    key = "listed"

    def plan(self, samples, seeds):
        return TimedPath(arrives=True).plan(np.zeros(3, np.int64))


def test_batches_may_arrive_by_themselves_too():
    assert path_of(Listed(), 4) == TimedPath(arrives=True)
    assert TimedPath(arrives=True).name == "numeric/queued/batches"
    assert TimedPath(arrives=True).batching(4) is None


@pytest.mark.parametrize(
    ("path", "most", "width"),
    [
        (TimedPath(), None, 1),
        (TimedPath(clients=5), None, 5),
        (TimedPath(clients=5), 2, 2),
        (TimedPath(at_once=10), None, 3),
        (TimedPath(arrives=True, joins=True), None, DEPTH),
        (TimedPath(arrives=True, joins=True), 6, 6),
        (TimedPath(arrives=True, joins=True, senders=3), 6, 3),
    ],
)
def test_so_many_calls_are_brought_under_way(path, most, width):
    assert path.width(4, most) == width


def flight(sent, done):
    trace = empty(len(sent))
    trace.sent_ns[:], trace.done_ns[:] = sent, done
    return trace, Flight.of(trace)


def test_calls_under_way_are_counted_at_each_moment_that_one_is_sent():
    trace, found = flight([10, 20, 30, 60, 70], [40, 40, 50, 65, 80])
    assert found.depth.tolist() == [1, 2, 3, 1, 1]
    assert found.most == 3
    assert [found.during(trace, np.array([record])) for record in range(5)] == [3, 3, 3, 1, 1]
    assert found.during(trace, np.array([], np.int64)) == 0
    assert [found.beyond(depth) for depth in (1, 2, 3)] == [0.4, 0.2, 0.0]


def test_records_of_one_call_are_one_and_an_end_makes_room_for_the_next():
    trace, found = flight([10, 10, 20, 20, 30], [20, 20, 40, 40, 0])
    assert found.depth.tolist() == [1, 1]
    assert found.most == 1
    assert found.during(trace, np.array([2])) == 1


@pytest.mark.parametrize(
    ("scenario", "path"), [(OFFLINE, "numeric/queued"), (MULTI, "numeric/samples_per_query=8")], ids=["queued", "multi"]
)
def test_a_backend_that_is_wrong_only_with_several_in_flight_on_one_client_fails(model, scenario, path):
    report = judge(model, wrong_paths.Overlapping(), scenarios=[load(iterations=24), scenario])
    assert numeric(report) == {"numeric": True, path: False}
    (row,) = [row for row in report.rows_of(RowKind.NUMERIC) if not row.passed]
    assert row.labels["clients"] == 1
    assert row.labels["depth"] > 1
    closed, deep = report.rows_of(RowKind.PERFORMANCE)
    assert closed.passed is None
    assert closed.labels["depth"] == closed.labels["depth_compared"] == 1
    assert deep.labels["depth"] == deep.labels["depth_compared"] > 1
    assert report.verdict.outcome is Outcome.FAIL
    assert report.failures[0].operator is None


def test_the_depth_that_a_backend_takes_is_reached(model):
    report = judge(model, wrong_paths.OverlappingOfFour(), scenarios=[OFFLINE], batch_sizes=[1])
    assert numeric(report) == {"numeric": True, "numeric/queued": False}
    (row,) = [row for row in report.rows_of(RowKind.NUMERIC) if not row.passed]
    assert row.labels["depth"] == 4


@pytest.mark.parametrize("backend", [wrong.Right, wrong.TiredOfOneSize], ids=["any size", "one size"])
def test_a_right_backend_passes_by_every_path(model, backend):
    scenarios = [load(clients=2, iterations=12), SINGLE, MULTI, OFFLINE]
    options = {"after": 10**6} if backend is wrong.TiredOfOneSize else None
    report = judge(model, backend(), scenarios=scenarios, options=options)
    assert codes(report) == []
    assert set(numeric(report).values()) == {True}
    assert len(numeric(report)) == 5
    assert [each.code for each in report.warnings if "not_checked" in each.code] == []


@pytest.mark.slow
def test_a_worker_is_checked_by_every_path(model):
    report = judge(model, "tests.evaluation.wrong_paths:Overlapping", scenarios=[OFFLINE])
    assert numeric(report) == {"numeric": True, "numeric/queued": False}


DEVICES = {"devices": ["a", "b"]}


@pytest.mark.parametrize("isolated", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_backend_that_is_wrong_only_on_its_second_replica_fails_and_the_operator_is_named(model, isolated):
    kind = wrong_paths.OnSecondDevice
    backend = f"{kind.__module__}:{kind.__name__}" if isolated else kind()
    report = judge(model, backend, options={"at": "block0_a"}, scenarios=[load(clients=2, iterations=8)], **DEVICES)
    found = numeric(report)
    assert found == {"numeric": True, "numeric/replica=1": False, "numeric/clients=2": found["numeric/clients=2"]}
    first, second, _ = report.rows_of(RowKind.NUMERIC)
    assert (first.labels["replica"], second.labels["replica"]) == (0, 1)
    assert second.labels["diverging_operator"] == "Conv '/block0_a/Conv'"


def test_answers_of_every_replica_are_taken_while_timed(model):
    scenarios = [load(clients=2, iterations=40)]
    fields = {"scenarios": scenarios, "options": {"after": 12}, **DEVICES}
    report = judge(model, wrong_paths.TiredOnSecondDevice(), **fields)
    assert set(numeric(report).values()) == {True}
    (row,) = report.rows_of(RowKind.PERFORMANCE)
    assert (row.labels["replicas"], row.labels["replicas_compared"]) == (2, 2)
    assert row.passed is False
    assert "answers that were given while timed do not agree" in row.note


def test_depth_that_no_compared_answer_has_seen_is_told(model):
    _, seen = flight([10, 20, 30, 60], [40, 40, 50, 65])
    found = Checked(samples=1, flight=seen, depth=1, replicas=frozenset({0, 1}), replicas_compared=frozenset({0}))
    assert set(found.gaps) == {"depth_not_checked", "replica_not_checked"}
    assert "50 % of the calls were sent when more were under way" in found.gaps["depth_not_checked"]
    row = judge(model, wrong.Right(), checks=["numeric"]).rows[0]
    assert row.labels["depth"] == 1
    filled = found.with_rows(None, frozenset({0, 1, 2}))
    assert set(filled.gaps) == {"depth_not_checked"}
    assert found.with_rows(row, frozenset()).depth == 1
