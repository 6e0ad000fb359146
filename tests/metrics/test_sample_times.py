"""Times of samples, by hand and out of traces."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from bytemlperf.errors import SpecError
from bytemlperf.metrics import SampleTimes, sample_times
from bytemlperf.trace import FAILED, OK, UNANSWERED


def ns(*values):
    return np.array(values, np.int64)


def test_latencies_of_samples_and_of_queries():
    times = SampleTimes(
        scheduled_ns=ns(0, 0, 10, 10), sent_ns=ns(1, 1, 11, 11), done_ns=ns(5, 9, 30, 20), samples_per_query=2
    )
    assert times.latency_ns.tolist() == [5, 9, 20, 10]
    assert times.query_latency_ns.tolist() == [9, 20]
    assert (len(times), times.queries) == (4, 2)
    assert times.ttft_ns is None
    assert times.tpot_ns is None


def test_token_times_are_whole_and_leave_out_answers_of_one_token():
    times = SampleTimes(
        scheduled_ns=ns(0, 10, 20),
        sent_ns=ns(0, 10, 20),
        first_ns=ns(4, 15, 29),
        done_ns=ns(14, 15, 30),
        tokens=ns(5, 1, 2),
    )
    assert times.ttft_ns.tolist() == [4, 5, 9]
    assert times.tpot_ns.tolist() == [2, 1]


@pytest.mark.parametrize(
    "fields",
    [
        {"done_ns": ns(1, 2, 3)},
        {"samples_per_query": 3},
        {"first_ns": ns(1, 2)},
        {"tokens": ns(1, 2)},
        {"first_ns": ns(1), "tokens": ns(1)},
    ],
)
def test_times_that_do_not_fit_are_refused(fields):
    with pytest.raises(SpecError):
        SampleTimes(**({"scheduled_ns": ns(0, 1), "sent_ns": ns(0, 1), "done_ns": ns(2, 3)} | fields))


def test_a_trace_gives_a_time_for_each_sample_counted_from_its_start(make_trace):
    trace = make_trace(scheduled=[100, 110], sent=[101, 111], done=[105, 130], size=[1, 3], started_ns=100)
    times = sample_times(trace)
    assert times.scheduled_ns.tolist() == [0, 10, 10, 10]
    assert times.sent_ns.tolist() == [1, 11, 11, 11]
    assert times.done_ns.tolist() == [5, 30, 30, 30]
    assert times.tokens is None
    assert times.lost == 0


def test_a_query_that_was_not_answered_whole_is_lost(make_trace):
    trace = make_trace(scheduled=[0] * 6, done=[1, 2, 3, 4, 5, 6], status=[OK, OK, OK, FAILED, UNANSWERED, OK])
    times = sample_times(trace, samples_per_query=2)
    assert times.done_ns.tolist() == [1, 2]
    assert times.lost == 4


def test_samples_of_a_trace_make_whole_queries(make_trace):
    with pytest.raises(SpecError, match="whole queries"):
        sample_times(make_trace(scheduled=[0] * 3, done=[1] * 3), samples_per_query=2)


def test_answers_are_tokens_where_any_has_several(make_trace):
    plain = make_trace(scheduled=[0, 1], done=[5, 6])
    streamed = attrs.evolve(plain, tokens=np.array([3, 1], np.uint32), first_ns=ns(2, 6))
    assert sample_times(attrs.evolve(plain, tokens=np.ones(2, np.uint32))).tokens is None
    times = sample_times(streamed)
    assert times.tokens.tolist() == [3, 1]
    assert times.first_ns.tolist() == [2, 6]
