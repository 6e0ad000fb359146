"""Verdicts by hand: each cause alone, with what to do."""

from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.metrics import Cause, SampleTimes, Validity, validity
from bytemlperf.scenarios import MultiStream, Offline, Server, SingleStream

MS = 1_000_000


def stream(n=100, *, step_ms=1, latency_ms=1, samples_per_query=1, **fields):
    """Queries one after another at equal distances."""
    due = np.repeat(np.arange(n, dtype=np.int64) * step_ms * MS, samples_per_query)
    done = due + latency_ms * MS
    return SampleTimes(scheduled_ns=due, sent_ns=due, done_ns=done, samples_per_query=samples_per_query, **fields)


def tokens(n=500, *, ttft_ms=1, tpot_ms=1, count=5):
    due = np.arange(n, dtype=np.int64) * MS
    first = due + ttft_ms * MS
    done = first + (count - 1) * tpot_ms * MS
    return SampleTimes(scheduled_ns=due, sent_ns=due, done_ns=done, first_ns=first, tokens=np.full(n, count, np.int64))


def judged(scenario, times, loaded=10):
    return validity(scenario, times, loaded=loaded)


def test_a_good_run_is_valid_and_says_so():
    verdict = judged(SingleStream(min_duration_s=0.099), stream())
    assert verdict == Validity()
    assert verdict.valid
    assert str(verdict) == "valid"


@pytest.mark.parametrize(
    ("scenario", "times", "causes", "advice"),
    [
        (SingleStream(min_duration_s=0.1), stream(), {Cause.MIN_DURATION}, "lower expected_latency_ms"),
        (
            MultiStream(min_duration_s=1, samples_per_query=2, min_queries=700),
            stream(700, samples_per_query=2),
            {Cause.MIN_DURATION},
            "lower expected_latency_ms",
        ),
        (Server(min_duration_s=1), stream(600), {Cause.MIN_DURATION}, "do not cut the run short"),
        (Offline(min_duration_s=1), stream(samples_per_query=1), {Cause.MIN_DURATION}, "raise expected_qps"),
        (
            SingleStream(min_duration_s=0, min_queries=101),
            stream(),
            {Cause.MIN_QUERIES, Cause.MIN_SAMPLES},
            "the run ended early",
        ),
        (Offline(min_duration_s=0, min_queries=101), stream(step_ms=0), {Cause.MIN_SAMPLES}, "the run ended early"),
        (SingleStream(min_duration_s=0, min_queries=9), stream(63), {Cause.EARLY_STOPPING}, "at least 64 queries"),
        (Server(min_duration_s=0), stream(458), {Cause.EARLY_STOPPING}, "at least 1 more queries"),
        (
            Server(min_duration_s=0, bound_ms=5),
            stream(500, latency_ms=6),
            {Cause.LATENCY_BOUND, Cause.EARLY_STOPPING},
            "lower target_qps",
        ),
        (SingleStream(min_duration_s=0), stream(lost=3), {Cause.LOST_SAMPLES}, "see the failures"),
        (
            Server(min_duration_s=0, ttft_bound_ms=2, tpot_bound_ms=2),
            tokens(ttft_ms=3),
            {Cause.TTFT_BOUND, Cause.TTFT_EARLY_STOPPING},
            "lower target_qps",
        ),
        (
            Server(min_duration_s=0, ttft_bound_ms=2, tpot_bound_ms=2),
            tokens(tpot_ms=3),
            {Cause.TPOT_BOUND, Cause.TPOT_EARLY_STOPPING},
            "lower target_qps",
        ),
        (
            Server(min_duration_s=0, ttft_bound_ms=2, tpot_bound_ms=2),
            tokens(100),
            {Cause.TTFT_EARLY_STOPPING, Cause.TPOT_EARLY_STOPPING},
            "at least 359 more queries",
        ),
        (
            Server(min_duration_s=0, ttft_bound_ms=2, tpot_bound_ms=2),
            stream(500),
            {Cause.TTFT_BOUND, Cause.TPOT_BOUND},
            "lower target_qps",
        ),
    ],
)
def test_each_cause_is_told_with_what_to_do(scenario, times, causes, advice):
    verdict = judged(scenario, times)
    assert not verdict.valid
    assert verdict.causes == causes
    assert advice in verdict.reasons[0].recommendation
    assert all(str(reason) in str(verdict) for reason in verdict.reasons)


def test_a_latency_equal_to_the_bound_keeps_it():
    assert judged(Server(min_duration_s=0, bound_ms=5), stream(500, latency_ms=5)).valid


def test_token_bounds_stand_in_for_the_latency_bound():
    assert judged(Server(min_duration_s=0, bound_ms=1e-6, ttft_bound_ms=2, tpot_bound_ms=2), tokens()).valid


def test_whole_permutations_need_whole_copies_of_the_loaded_set():
    scenario = SingleStream(min_duration_s=0, whole_permutations=True)
    assert judged(scenario, stream(105), loaded=7).valid
    assert judged(scenario, stream(104), loaded=7).causes == {Cause.MIN_QUERIES, Cause.MIN_SAMPLES}


def test_a_run_without_an_answer_is_invalid_in_every_way_that_it_can_be():
    verdict = judged(Server(), stream(0, lost=5))
    assert verdict.causes == {
        Cause.LOST_SAMPLES,
        Cause.LATENCY_BOUND,
        Cause.MIN_DURATION,
        Cause.MIN_QUERIES,
        Cause.MIN_SAMPLES,
    }
