"""Figures of streams, against times that are known and MLPerf's own whole-nanosecond formula."""

import attrs
import numpy as np
import pytest

from bytemlperf.errors import SpecError
from bytemlperf.metrics import TokenBounds, goodput, sample_times, token_figures
from bytemlperf.trace import Trace, empty

MS = 1_000_000


def streamed(queries, *, started=1_000):
    """Make a trace of queries: (scheduled, [(time, tokens)], done), in ms after the start; done None for a failure."""
    n = len(queries)
    columns = {name: np.zeros(n, np.int64) for name in ("scheduled_ns", "sent_ns", "first_ns", "done_ns")}
    tokens, status = np.zeros(n, np.uint32), np.ones(n, np.uint8)
    chunks = []
    for i, (scheduled, parts, done) in enumerate(queries):
        columns["scheduled_ns"][i] = columns["sent_ns"][i] = started + scheduled * MS
        with_tokens = [time for time, count in parts if count]
        columns["first_ns"][i] = started + (with_tokens[0] if with_tokens else done or 0) * MS
        columns["done_ns"][i] = started + (done or 0) * MS
        tokens[i] = sum(count for _, count in parts)
        status[i] = 1 if done is not None else 2
        chunks += [(started + time * MS, count, i) for time, count in parts]
    order = np.random.default_rng(0).permutation(len(chunks))  # parts of several queries come in any order
    ns, counts, query = (np.array([chunks[k][column] for k in order]) for column in range(3))
    base = empty(n)
    return attrs.evolve(
        base, **columns, tokens=tokens, status=status, size=np.ones(n, np.uint32), started_ns=started,
        chunk_ns=ns.astype(np.int64), chunk_tokens=counts.astype(np.uint16), chunk_query=query.astype(np.uint32),
    )  # fmt: skip


TWO = streamed(
    [
        (0, [(5, 0), (10, 1), (14, 1), (22, 2)], 30),  # a header of no token, then 4 tokens in 3 parts
        (2, [(12, 1), (15, 1)], 15),
    ]
)


def test_times_of_tokens_are_those_of_the_definitions():
    figures = token_figures(TWO, prompt_tokens=np.array([10, 20]))
    assert figures["ttft/mean"].value == 10 * MS
    assert figures["tpot/mean"].value == pytest.approx((12 / 3 + 3 / 1) / 2 * MS)
    assert figures["itl/request_mean/mean"].value == pytest.approx((20 / 3 + 3 / 1) / 2 * MS)
    assert figures["itl/chunk_gap/mean"].value == pytest.approx((4 + 8 + 3) / 3 * MS)
    assert figures["itl/chunk_gap/mean"].n == 3
    assert figures["tokens/output"].value == 6
    assert figures["throughput/output_tokens_per_s"].value == pytest.approx(6 / 0.030)
    assert figures["throughput/total_tokens_per_s"].value == pytest.approx(36 / 0.030)


def test_time_to_the_first_and_per_token_are_mlperfs_own():
    whole = streamed([(i, [(i + 5 + 3 * k, 1) for k in range(6)], i + 20) for i in range(50)])
    times, figures = sample_times(whole), token_figures(whole)
    for name, values in (("ttft", times.ttft_ns), ("tpot", times.tpot_ns)):
        ordered = np.sort(values)
        assert figures[f"{name}/p50"].value == ordered[int(50 * 0.5)]
        assert figures[f"{name}/p99"].value == ordered[int(50 * 0.99)]


def test_an_answer_of_one_token_has_no_time_for_further_ones():
    figures = token_figures(streamed([(0, [(4, 1)], 4)]))
    assert figures["ttft/mean"].value == 4 * MS
    assert figures["tpot/mean"].value is None
    assert figures["tpot/mean"].n == 0


def test_failures_count_in_no_time():
    figures = token_figures(streamed([(0, [(4, 1), (6, 1)], 6), (0, [(1, 1)], None)]))
    assert figures["ttft/p50"].n == 1
    assert figures["tokens/output"].value == 2


def test_a_total_that_the_parts_do_not_have_is_told():
    told = attrs.evolve(TWO, tokens=np.array([9, 2], np.uint32))
    assert "1 answers whose parts have another sum" in token_figures(told)["tokens/output"].note
    assert token_figures(told)["tpot/mean"].value == pytest.approx((12 / 8 + 3) / 2 * MS)
    lost = attrs.evolve(TWO, chunks_lost=3)
    assert "3 parts have no stamp" in token_figures(lost)["tokens/output"].note


@pytest.mark.parametrize(
    ("bounds", "good"),
    [
        ({}, 2), ({"ttft_ms": 10}, 2), ({"ttft_ms": 9.9}, 0), ({"tpot_ms": 3.5}, 1), ({"latency_ms": 20}, 1),
        ({"tpot_ms": 3.5, "latency_ms": 12}, 0),
    ],
)  # fmt: skip
def test_goodput_counts_queries_that_hold_every_bound(bounds, good):
    figures = goodput(TWO, TokenBounds(**bounds))
    assert figures["goodput/share"].value == good / 2
    assert figures["goodput/queries_per_s"].value == pytest.approx(good / 0.030)


def test_a_query_that_failed_is_not_good():
    figures = goodput(streamed([(0, [(4, 1)], 4), (0, [], None)]), TokenBounds(ttft_ms=100))
    assert figures["goodput/share"].value == 0.5


def test_of_nothing_there_is_nothing():
    figures = token_figures(empty(3), bounds=TokenBounds(ttft_ms=1))
    assert {figure.value for name, figure in figures.items() if name != "tokens/output"} == {None}
    assert isinstance(empty(3), Trace)


def test_bounds_are_times():
    with pytest.raises(SpecError):
        TokenBounds(ttft_ms=0)
    assert str(TokenBounds(ttft_ms=2000, tpot_ms=200)) == "ttft_ms <= 2000, tpot_ms <= 200"
