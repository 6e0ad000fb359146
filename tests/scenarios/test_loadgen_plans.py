"""Plans against MLPerf LoadGen itself: times, order of samples and loaded set, with no difference allowed."""

from __future__ import annotations

import numpy as np
import pytest
from tests import loadgen_oracle

from bytemlperf.scenarios import MLPERF_SEEDS, MultiStream, Offline, Seeds, Server, SingleStream

SEED_SETS = 20


class Setting:
    """Seeds and a data set drawn at random, and every scenario with fields drawn at random."""

    def __init__(self, number: int) -> None:
        rng = np.random.default_rng(number)
        self.seeds = Seeds(**{name: int(rng.integers(2**63)) for name in ("loaded", "samples", "schedule")})
        self.total = int(rng.integers(1, 300))
        self.common = {
            "min_duration_s": int(rng.integers(1, 25)) / 1000,
            "min_queries": int(rng.integers(1, 200)),
            "performance_samples": int(rng.integers(1, 300)),
        }
        gap_ms, together = int(rng.integers(50_000, 400_000)) / 1e6, int(rng.integers(1, 12))
        self.own = {
            SingleStream: {"expected_latency_ms": gap_ms},
            MultiStream: {"expected_latency_ms": gap_ms, "samples_per_query": together},
            Server: {"target_qps": 1000 / gap_ms},
            Offline: {"expected_qps": 1000 / gap_ms},
        }

    def scenario(self, kind, **fields):
        return kind(**(self.common | self.own[kind] | fields))

    def plan(self, kind, **fields):
        return self.scenario(kind, **fields).plan(self.total, self.seeds)

    def run(self, folder, kind, **fields):
        scenario = self.scenario(kind, **fields)
        performance = scenario.performance_samples or self.total
        return loadgen_oracle.run(scenario, folder, total=self.total, performance=performance, seeds=self.seeds)


def assert_no_difference(plan, run):
    """LoadGen may have stopped before the end of what it had generated; what it generated has the same length."""
    padding = plan.samples_per_query - 1 if run.details["effective_scenario"] == "MultiStream" else 0
    assert np.resize(plan.loaded, len(plan.loaded) + padding).tolist() == run.loaded
    assert len(plan) == run.details["generated_query_count"]
    assert plan.queries[: len(run.queries)].tolist() == run.queries
    if run.details["effective_scenario"] == "Server":
        assert plan.scheduled_ns.tolist() == run.due_ns


@pytest.mark.parametrize("number", range(SEED_SETS))
@pytest.mark.parametrize("kind", [SingleStream, MultiStream, Server, Offline])
def test_a_plan_is_loadgens(kind, number, tmp_path):
    setting = Setting(number)
    assert_no_difference(setting.plan(kind), setting.run(tmp_path, kind))


@pytest.mark.parametrize("number", range(100, 108))
@pytest.mark.parametrize("kind", [SingleStream, Server, Offline])
def test_a_plan_of_whole_permutations_is_loadgens(kind, number, tmp_path):
    setting = Setting(number)
    plan, run = setting.plan(kind, whole_permutations=True), setting.run(tmp_path, kind, whole_permutations=True)
    assert_no_difference(plan, run)
    assert plan.stop.min_queries == run.details["effective_min_query_count"]


@pytest.mark.parametrize("total", [1, 2, 3, 1024, 30_000, 65_535, 65_536, 70_001])
def test_large_and_small_sets_are_loaded_and_asked_for_as_loadgen_does(total, tmp_path):
    setting = Setting(7)
    setting.total, fields = total, {"performance_samples": None, "min_duration_s": 0}
    assert_no_difference(setting.plan(SingleStream, **fields), setting.run(tmp_path, SingleStream, **fields))


def test_the_seeds_of_a_submission_are_taken(tmp_path):
    setting = Setting(3)
    setting.seeds = MLPERF_SEEDS
    assert_no_difference(setting.plan(Server), setting.run(tmp_path, Server))


@pytest.mark.parametrize("fields", [{"max_queries": 10}, {"max_duration_s": 0.01}])
def test_loadgen_cut_short_issues_the_beginning_of_the_same_plan(fields, tmp_path):
    setting = Setting(5)
    run = setting.run(tmp_path, Server, min_duration_s=0.03, **fields)
    plan = setting.plan(Server, min_duration_s=0.03)
    assert 10 <= len(run.queries) < len(plan)
    assert plan.queries[: len(run.queries)].tolist() == run.queries
    assert plan.scheduled_ns[: len(run.queries)].tolist() == run.due_ns
    if "max_queries" in fields:
        assert len(run.queries) == len(setting.plan(Server, min_duration_s=0.03, **fields))
