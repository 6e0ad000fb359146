"""The limit of a backend with a known delay, and how it is shown."""

import json
import math
import threading

import attrs
import numpy as np
import pytest
from tests.metrics.conftest import trace_of
from tests.studies.queues import SERVICE_S, QueueProbe

from bytemlperf import Limit, SpecError, find_limit
from bytemlperf.errors import CancelledError
from bytemlperf.studies import Target, search
from bytemlperf.studies.limit.finding import latencies_of
from bytemlperf.studies.limit.search import knee_of

TASK = "digits-resnet-onnx-fp32"
SLEEP = "bytemlperf.testing.backends:SleepBackend"


@pytest.fixture(scope="module")
def simulated():
    target = Target(bound_ms=100, seconds=1500)
    found = search(QueueProbe(4), target, capacity_qps=1 / SERVICE_S)
    return Limit(
        task="queue",
        backend="one server",
        target=target,
        rate_qps=found.low_qps,
        broken_qps=found.high_qps,
        capacity_qps=1 / SERVICE_S,
        knee_qps=knee_of(found.points),
        points=found.points,
        consistent=found.consistent,
        ended=found.ended,
        warnings=("a warning",),
        started_utc="2026-01-31T12:00:00Z",
    )


def test_the_limit_is_said_with_its_confidence(simulated):
    text = str(simulated)
    assert "keep p99 within 100 ms at 95 %" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "undecid…" not in text
    assert simulated.found


def test_every_form_holds_the_limit(simulated, tmp_path):
    assert Limit.from_dict(json.loads(json.dumps(simulated.to_dict()))) == simulated
    path = simulated.save(tmp_path / "limit")
    assert Limit.from_dict(json.loads(path.read_text())) == simulated
    assert path.with_name("limit.png").read_bytes().startswith(b"\x89PNG")
    assert "a warning" in path.with_name("limit.md").read_text()
    with pytest.raises(SpecError, match="version"):
        Limit.from_dict({"schema_version": "9.9"})


def test_a_limit_that_was_not_found_says_so(simulated):
    none = attrs.evolve(simulated, rate_qps=None)
    assert "no rate is shown to keep p99" in str(none)
    assert not none.found
    assert "the machine changed meanwhile" in " ".join(str(attrs.evolve(simulated, consistent=False)).split())


@pytest.fixture(scope="module")
def measured():
    """A backend that sleeps takes any number at once: no rate that is tried may be held up by it."""
    return find_limit(
        TASK,
        backend=SLEEP,
        options={"latency_us": 500, "in_flight": 1},
        bound_ms=0.1,
        percentile=0.5,
        minutes=0.05,
        weights="random",
    )


def test_a_real_backend_is_offered_rates_and_never_answers_before_its_delay(measured):
    assert measured.points
    assert all(point.p50_ms >= 0.5 for point in measured.points)
    assert measured.rate_qps is None  # a bound below the delay is never kept
    assert measured.broken_qps == min(point.rate_qps for point in measured.points if point.held == "broken")
    assert measured.capacity_qps < 2000
    assert measured.noise is not None


@pytest.mark.parametrize("wrong", [{"bound_ms": 0}, {"minutes": 0}, {"percentile": 1.0}, {"batch_size": 0}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(SpecError):
        find_limit(TASK, backend=SLEEP, **{"bound_ms": 1.0, **wrong})


def test_a_caller_who_stops_is_heard():
    cancel = threading.Event()
    threading.Timer(1.5, cancel.set).start()
    with pytest.raises(CancelledError):
        find_limit(TASK, backend=SLEEP, bound_ms=100, minutes=5, weights="random", cancel=cancel)


def test_a_query_without_an_answer_is_endless():
    trace = trace_of(scheduled=[20, 0, 10], done=[25, 8, 0], status=[1, 1, 2])
    assert latencies_of(trace).tolist() == [8.0, math.inf, 5.0]
    assert np.isinf(latencies_of(trace)[1])
