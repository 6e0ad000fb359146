import heapq
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import signal, stats

from bytemlperf.statistics import rate_interval, rate_per_s

SECOND = 10**9
levels = st.floats(0.01, 0.999)
spans = hnp.arrays(np.int64, st.integers(1, 80), elements=st.integers(1, 10**9))


def completions(gaps_s):
    return np.cumsum(np.asarray(gaps_s) * SECOND).astype(np.int64)


def exponential(rng, n):
    return completions(rng.exponential(size=n)), 1.0


def slowly_drifting(rng, n):
    """Lognormal gaps whose logarithm remembers the one before with 0.99: batches are still alike."""
    noise = rng.standard_normal(n) * math.sqrt(1 - 0.99**2)
    logarithms = 0.3 * signal.lfilter([1], [1, -0.99], noise, zi=0.99 * rng.standard_normal(1))[0]
    return completions(np.exp(logarithms)), math.exp(-(0.3**2) / 2)


def eight_clients(rng, n):
    """A closed loop of eight clients, each of which issues its next query when the last one is done."""
    waiting = list(rng.lognormal(0, 0.2, size=8))
    heapq.heapify(waiting)
    done_s = []
    for service_s in rng.lognormal(0, 0.2, size=n):
        done_s.append(waiting[0])
        heapq.heapreplace(waiting, waiting[0] + service_s)
    return (np.array(done_s) * SECOND).astype(np.int64), 8 * math.exp(-(0.2**2) / 2)


def test_rate_counts_from_the_start_when_it_is_given():
    assert rate_per_s([SECOND, 2 * SECOND, 4 * SECOND], start_ns=0) == 0.75


def test_rate_without_a_start_counts_between_the_first_completion_and_the_last():
    assert rate_per_s([SECOND, 2 * SECOND, 4 * SECOND]) == pytest.approx(2 / 3)


def test_rate_adds_weights_in_the_order_of_completion():
    # In order of time: 100 at 1 s, 8 at 2 s, 4 at 4 s; the first only begins the time.
    assert rate_per_s([4 * SECOND, SECOND, 2 * SECOND], weights=[4, 100, 8]) == 4


def test_rate_keeps_single_nanoseconds_of_a_clock_far_from_zero():
    start_ns = 2**62
    assert rate_per_s([start_ns + 1, start_ns + 3], start_ns=start_ns) == pytest.approx(2e9 / 3)


@pytest.mark.parametrize("done_ns", [[5], [5, 5, 5]])
def test_rate_over_no_time_is_refused(done_ns):
    with pytest.raises(ValueError, match="span no time"):
        rate_per_s(done_ns)


@pytest.mark.parametrize("done_ns", [[5], [5, 5, 5]])
def test_interval_over_no_time_bounds_nothing(done_ns):
    interval = rate_interval(done_ns)
    assert (interval.low, interval.high) == (0, math.inf)


def test_one_batch_bounds_nothing():
    interval = rate_interval([SECOND], weights=[64], start_ns=0)
    assert (interval.low, interval.high) == (0, math.inf)


def test_interval_of_equal_weights_is_students_for_the_mean_span_turned_over():
    gaps_s = np.array([1.0, 1.5, 0.5, 1.25, 0.75, 1.5, 0.5, 1.0])
    low, high = stats.t.interval(0.95, gaps_s.size - 1, loc=gaps_s.mean(), scale=stats.sem(gaps_s))
    interval = rate_interval(completions(gaps_s), start_ns=0)
    assert (interval.low, interval.high) == pytest.approx((1 / high, 1 / low))


def test_interval_of_equal_spans_is_students_for_the_mean_weight():
    weights = np.array([3, 5, 2, 6, 3, 5, 4, 2])
    low, high = stats.t.interval(0.95, weights.size - 1, loc=weights.mean(), scale=stats.sem(weights))
    interval = rate_interval(completions(np.ones(8)), weights=weights, start_ns=0)
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_a_rate_that_may_be_nothing_is_bounded_by_nothing_not_by_less():
    interval = rate_interval(completions(np.ones(4)), weights=[0, 0, 10, 0], start_ns=0)
    assert interval.low == 0
    assert interval.bounded


def test_batches_hold_equal_counts_of_consecutive_completions():
    # 60 completions in 20 batches of 3: the gaps within a batch do not matter, its length does.
    lengths_s = np.random.default_rng(2).permutation(np.linspace(2, 4, 20))
    uneven = np.ravel([[0.2 * length, 0.7 * length, 0.1 * length] for length in lengths_s])
    even = np.repeat(lengths_s / 3, 3)
    first, second = (rate_interval(completions(gaps), start_ns=0) for gaps in (uneven, even))
    assert (first.low, first.high) == pytest.approx((second.low, second.high), rel=1e-6)


@pytest.mark.parametrize("n", [2, 19, 20, 21, 1234])
def test_a_steady_machine_has_an_interval_of_next_to_no_width(n):
    interval = rate_interval(np.arange(1, n + 1) * 7_000_003, start_ns=0)
    assert interval.bounded
    assert interval.width <= 1e-6 * interval.high


def test_the_share_of_a_heavy_query_does_not_count_as_noise():
    gaps_s = np.tile([1.0, 4.0, 2.0], 100)
    interval = rate_interval(completions(gaps_s), weights=gaps_s * 10, start_ns=0)
    assert (interval.low, interval.high) == pytest.approx((10, 10))


def test_one_stall_among_few_completions_leaves_the_upper_side_open():
    interval = rate_interval(completions([0.001, 0.001, 100.0]), start_ns=0)
    assert (interval.low, interval.high) == (0, math.inf)


@given(gaps_ns=spans, level=levels, whole=st.booleans())
def test_interval_holds_the_rate_and_is_not_below_zero(gaps_ns, level, whole):
    done_ns, start_ns = np.cumsum(gaps_ns), 0 if whole else None
    interval = rate_interval(done_ns, start_ns=start_ns, level=level)
    assert interval.low >= 0
    assert interval.level == level
    if whole or done_ns.size > 1:
        assert interval.contains(rate_per_s(done_ns, start_ns=start_ns))


@given(gaps_ns=spans, two=st.tuples(levels, levels).map(sorted))
def test_interval_widens_as_the_level_rises(gaps_ns, two):
    narrow, wide = (rate_interval(np.cumsum(gaps_ns), start_ns=0, level=level) for level in two)
    assert wide.low <= narrow.low * (1 + 1e-12)
    assert wide.high >= narrow.high * (1 - 1e-12)


@given(gaps_ns=spans, seed=st.integers(0, 1000))
def test_order_of_arrival_in_the_trace_does_not_matter(gaps_ns, seed):
    done_ns, weights = np.cumsum(gaps_ns), np.arange(gaps_ns.size)
    order = np.random.default_rng(seed).permutation(gaps_ns.size)
    shuffled = rate_interval(done_ns[order], weights=weights[order], start_ns=0)
    assert shuffled == rate_interval(done_ns, weights=weights, start_ns=0)


@pytest.mark.parametrize(
    ("series", "n", "most"), [(exponential, 400, 0.98), (slowly_drifting, 5000, 0.98), (eight_clients, 1000, 1.0)]
)
def test_interval_covers_the_true_rate_as_often_as_it_says(series, n, most):
    rng = np.random.default_rng(21)
    hits = []
    for _ in range(500):
        done_ns, true = series(rng, n)
        hits.append(rate_interval(done_ns).contains(true))
    assert 0.92 <= np.mean(hits) <= most


def test_a_machine_that_throttles_is_told_from_one_that_jitters():
    gaps_s = np.linspace(1, 2, 1000)
    throttling = rate_interval(completions(gaps_s), start_ns=0)
    jittering = rate_interval(completions(np.random.default_rng(1).permutation(gaps_s)), start_ns=0)
    assert throttling.width > 5 * jittering.width


@pytest.mark.parametrize(
    ("done_ns", "keywords", "message"),
    [
        ([], {}, "done_ns must be one-dimensional and not empty"),
        ([1.5, 2.5], {}, "done_ns must be integers"),
        ([5, 9], {"start_ns": 6}, "earlier than start_ns=6"),
        ([5, 9], {"weights": [1]}, "weights must be 2 numbers"),
        ([5, 9], {"weights": [1, -1]}, "not below 0"),
        ([5, 9], {"weights": [1, math.nan]}, "weights must be finite"),
    ],
)
def test_completions_that_give_no_rate_are_refused(done_ns, keywords, message):
    for function in (rate_per_s, rate_interval):
        with pytest.raises(ValueError, match=message):
            function(done_ns, **keywords)


def test_level_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match="level must lie"):
        rate_interval([1, 2, 3], level=95)
