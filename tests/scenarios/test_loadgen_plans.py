"""Plans against MLPerf LoadGen itself: times, order of samples and loaded set, with no difference allowed."""

from __future__ import annotations

import numpy as np
import pytest
from tests import loadgen_oracle

from bytemlperf.scenarios import MLPERF_SEEDS, MultiStream, Offline, Seeds, Server, SingleStream

SEED_SETS = 20


class Settings:
    """Settings of a test drawn at random, and every scenario made of them in our words and in LoadGen's."""

    def __init__(self, number: int) -> None:
        rng = np.random.default_rng(number)
        self.seeds = Seeds(**{name: int(rng.integers(2**63)) for name in ("loaded", "samples", "schedule")})
        self.total, self.performance = int(rng.integers(1, 300)), int(rng.integers(1, 300))
        self.duration_ms, self.queries = int(rng.integers(1, 25)), int(rng.integers(1, 200))
        self.gap_ns, self.together = int(rng.integers(50_000, 400_000)), int(rng.integers(1, 12))

    def ours(self, name, **fields):
        common = {
            "min_duration_s": self.duration_ms / 1000,
            "min_queries": self.queries,
            "performance_samples": self.performance,
        }
        own = {
            "SingleStream": (SingleStream, {"expected_latency_ms": self.gap_ns / 1e6}),
            "MultiStream": (
                MultiStream,
                {"expected_latency_ms": self.gap_ns / 1e6, "samples_per_query": self.together},
            ),
            "Server": (Server, {"target_qps": 1e9 / self.gap_ns}),
            "Offline": (Offline, {"expected_qps": 1e9 / self.gap_ns}),
        }
        kind, further = own[name]
        return kind(**common, **further, **fields).plan(self.total, self.seeds)

    def theirs(self, name, folder, **fields):
        own = {
            "SingleStream": {"single_stream_expected_latency_ns": self.gap_ns},
            "MultiStream": {
                "multi_stream_expected_latency_ns": self.gap_ns,
                "multi_stream_samples_per_query": self.together,
            },
            "Server": {"server_target_qps": 1e9 / self.gap_ns},
            "Offline": {"offline_expected_qps": 1e9 / self.gap_ns},
        }
        return loadgen_oracle.run(
            name,
            folder,
            total=self.total,
            performance=self.performance,
            qsl_rng_seed=self.seeds.loaded,
            sample_index_rng_seed=self.seeds.samples,
            schedule_rng_seed=self.seeds.schedule,
            min_duration_ms=self.duration_ms,
            min_query_count=self.queries,
            **own[name],
            **fields,
        )


def assert_no_difference(plan, run):
    """LoadGen may have stopped before the end of what it had generated; what it generated has the same length."""
    padding = plan.samples_per_query - 1 if run.details["effective_scenario"] == "MultiStream" else 0
    assert np.resize(plan.loaded, len(plan.loaded) + padding).tolist() == run.loaded
    assert len(plan) == run.details["generated_query_count"]
    assert plan.queries[: len(run.queries)].tolist() == run.queries
    if run.details["effective_scenario"] == "Server":
        assert plan.scheduled_ns.tolist() == run.due_ns


@pytest.mark.parametrize("number", range(SEED_SETS))
@pytest.mark.parametrize("name", ["SingleStream", "MultiStream", "Server", "Offline"])
def test_a_plan_is_loadgens(name, number, tmp_path):
    settings = Settings(number)
    assert_no_difference(settings.ours(name), settings.theirs(name, tmp_path))


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("name", ["SingleStream", "Server", "Offline"])
def test_a_plan_of_whole_permutations_is_loadgens(name, number, tmp_path):
    settings = Settings(100 + number)
    run = settings.theirs(name, tmp_path, sample_concatenate_permutation=True)
    plan = settings.ours(name, whole_permutations=True)
    assert_no_difference(plan, run)
    assert plan.stop.min_queries == run.details["effective_min_query_count"]


@pytest.mark.parametrize("total", [1, 2, 3, 1024, 30_000, 65_535, 65_536, 70_001])
def test_large_and_small_sets_are_loaded_and_asked_for_as_loadgen_does(total, tmp_path):
    settings = Settings(7)
    settings.total, settings.performance, settings.duration_ms = total, total, 0
    assert_no_difference(settings.ours("SingleStream"), settings.theirs("SingleStream", tmp_path))


def test_the_seeds_of_a_submission_are_taken(tmp_path):
    settings = Settings(3)
    settings.seeds = MLPERF_SEEDS
    assert_no_difference(settings.ours("Server"), settings.theirs("Server", tmp_path))


@pytest.mark.parametrize("field", ["max_query_count", "max_duration_ms"])
def test_loadgen_cut_short_issues_the_beginning_of_the_same_plan(field, tmp_path):
    settings = Settings(5)
    settings.duration_ms = 30
    run = settings.theirs("Server", tmp_path, **{field: 10})
    plan = settings.ours("Server")
    assert 10 <= len(run.queries) < len(plan)
    assert plan.queries[: len(run.queries)].tolist() == run.queries
    assert plan.scheduled_ns[: len(run.queries)].tolist() == run.due_ns
    if field == "max_query_count":
        assert len(run.queries) == len(settings.ours("Server", max_queries=10))
