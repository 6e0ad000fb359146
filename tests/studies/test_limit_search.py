"""The search, on a queue whose answer is known."""

import math

import numpy as np
import pytest
from scipy import stats
from tests.studies.queues import SERVICE_S, QueueProbe, limit_qps, share_within

from bytemlperf.errors import SpecError
from bytemlperf.studies import Held, Point, Target, search
from bytemlperf.studies.limit.search import knee_of, point_of

CAPACITY = 1 / SERVICE_S


def searched(seed, *, bound_ms=100.0, seconds=1200.0, **more):
    probe = QueueProbe(seed)
    return search(probe, Target(bound_ms=bound_ms, seconds=seconds, **more), capacity_qps=CAPACITY), probe


def covers(found, true):
    return (found.low_qps or 0) <= true <= (found.high_qps or math.inf)


def test_the_queue_is_the_one_of_the_formula():
    times = QueueProbe(3)(80, 20_000) / 1e9 / SERVICE_S
    for t in (1.5, 3, 6, 12):
        assert np.mean(times <= t + 1e-9) == pytest.approx(share_within(t, load=0.8), abs=0.01)


@pytest.mark.parametrize("bound_ms", [40.0, 100.0])
def test_the_limit_lies_in_its_interval(bound_ms):
    true = limit_qps(bound_s=bound_ms / 1e3)
    runs = 20
    held = sum(covers(searched(seed, bound_ms=bound_ms)[0], true) for seed in range(runs))
    assert held >= stats.binom.ppf(0.001, runs, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("bound_ms", [25.0, 40.0, 100.0])
def test_the_limit_lies_in_its_interval_over_many_seeds(bound_ms):
    true = limit_qps(bound_s=bound_ms / 1e3)
    held = sum(covers(searched(seed, bound_ms=bound_ms)[0], true) for seed in range(300))
    assert held >= 0.95 * 300


def test_more_time_makes_a_narrower_interval():
    widths = [searched(7, seconds=seconds)[0] for seconds in (150.0, 3000.0)]
    short, long = (math.log(found.high_qps / found.low_qps) if found.high_qps else math.inf for found in widths)
    assert long < short
    assert long < 0.35


def test_no_more_time_is_taken_than_was_given():
    found, probe = searched(1, seconds=200.0)
    assert 50.0 < sum(seconds for _, seconds in probe.asked) <= 200.0
    assert found.ended == "the time was used up"
    none, probe = searched(1, seconds=1.0)
    assert (none.points, probe.asked, none.low_qps) == ((), [], None)


def test_a_bound_below_the_service_time_is_never_kept():
    found, _ = searched(1, bound_ms=5.0, seconds=1e7)
    assert found.low_qps is None
    assert found.high_qps is not None
    assert found.ended == "no rate that was tried keeps the bound"


def test_a_wrong_capacity_is_made_up_for():
    for capacity in (20.0, 400.0):
        found = search(QueueProbe(5), Target(bound_ms=100, seconds=3000), capacity_qps=capacity)
        assert covers(found, limit_qps(bound_s=0.1))
        assert found.low_qps is not None


def test_the_knee_of_the_queue_is_near_its_known_place():
    points = tuple(
        point_of([QueueProbe(9)(rate, 4000)], Target(bound_ms=100), rate_qps=rate, seconds=4000)
        for rate in np.linspace(10, 95, 18)
    )
    assert knee_of(points) == pytest.approx(CAPACITY * (2 - math.sqrt(2)), rel=0.15)
    assert knee_of(points[:3]) is None
    assert knee_of(points[:7]) is None  # still rising: the curve does not show it


def judged(latencies_ms, **more):
    return point_of([np.asarray(latencies_ms) * 1e6], Target(bound_ms=10, **more), rate_qps=5.0, seconds=1.0)


def test_enough_queries_within_the_bound_hold_and_too_few_do_not():
    assert judged(np.full(2000, 5.0)).held is Held.HOLDS
    assert judged(np.full(300, 5.0)).held is Held.UNDECIDED


def test_queries_without_an_answer_are_over_every_bound():
    latencies = np.full(2000, 5.0)
    latencies[::10] = np.inf
    point = judged(latencies)
    assert (point.held, point.over, point.mean_ms, point.tail_ms) == (Held.BROKEN, 200, None, None)
    assert point.p50_ms == 5.0


def test_many_over_the_bound_in_a_row_are_worth_less_than_scattered_ones(rng):
    scattered = np.where(rng.random(4000) < 0.02, 20.0, 5.0)
    together = np.sort(scattered)
    assert judged(together).worth < judged(scattered).worth / 3
    assert judged(scattered).held is Held.BROKEN
    assert judged(together).held is Held.UNDECIDED


def test_nothing_seen_decides_nothing():
    point = point_of([], Target(bound_ms=1), rate_qps=1.0, seconds=0.0)
    assert (point.held, point.queries) == (Held.UNDECIDED, 0)


def test_a_system_that_got_faster_is_told():
    asked = []

    def probe(rate, seconds):
        asked.append(rate)
        slow = len(asked) <= 1
        return np.full(math.ceil(rate * seconds), 20e6 if slow else 5e6)

    found = search(probe, Target(bound_ms=10, seconds=5000), capacity_qps=100)
    assert found.consistent  # the lowest rate failed, and nothing above it is tried as if it could hold
    assert found.low_qps is None or found.low_qps < found.high_qps


@pytest.mark.parametrize("capacity", [0.0, -1.0, math.inf])
def test_a_capacity_that_is_none_is_refused(capacity):
    with pytest.raises(SpecError, match="capacity"):
        search(QueueProbe(1), Target(bound_ms=1), capacity_qps=capacity)


@pytest.mark.parametrize("wrong", [{"bound_ms": 0}, {"bound_ms": 1, "percentile": 1}, {"bound_ms": 1, "level": 0}])
def test_a_target_that_is_none_is_refused(wrong):
    with pytest.raises(SpecError):
        Target(**wrong)


def test_points_keep_what_they_are_about(rng):
    point = judged(rng.permutation(np.linspace(1, 9, 1000)))
    assert isinstance(point, Point)
    assert point.tail_low_ms <= point.tail_ms <= point.tail_high_ms
    assert point.rate_qps == 5.0
