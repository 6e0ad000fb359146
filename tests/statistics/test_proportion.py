import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bytemlperf.statistics import binomial_interval

counts = st.integers(1, 60_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
levels = st.floats(0.01, 0.9999)


@given(count=counts, level=levels)
def test_binomial_interval_agrees_with_scipys_exact_one(count, level):
    successes, n = count
    expected = stats.binomtest(successes, n).proportion_ci(level, method="exact")
    interval = binomial_interval(successes, n, level=level)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-7, abs=1e-12)


@given(count=counts, level=levels)
def test_binomial_interval_holds_the_share_and_stays_within_0_and_1(count, level):
    successes, n = count
    interval = binomial_interval(successes, n, level=level)
    assert interval.contains(successes / n)
    assert 0 <= interval.low <= interval.high <= 1


@given(count=counts, two=st.tuples(levels, levels).map(sorted))
def test_binomial_interval_widens_as_the_level_rises(count, two):
    narrow, wide = (binomial_interval(*count, level=level) for level in two)
    assert wide.low <= narrow.low * (1 + 1e-12)
    assert wide.high >= narrow.high * (1 - 1e-12)


@given(count=counts, level=levels)
def test_failures_mirror_successes(count, level):
    successes, n = count
    interval = binomial_interval(successes, n, level=level)
    mirrored = binomial_interval(n - successes, n, level=level)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_no_success_in_ten_still_has_a_width():
    # By hand: (1 - high)^10 = 0.025.
    interval = binomial_interval(0, 10)
    assert (interval.low, interval.high) == (0, pytest.approx(1 - 0.025**0.1))


def test_all_successes_in_ten_still_have_a_width():
    interval = binomial_interval(10, 10)
    assert (interval.low, interval.high) == (pytest.approx(0.025**0.1), 1)


@pytest.mark.parametrize("p", [0.5, 0.97])
def test_coverage_summed_over_every_count_is_no_less_than_the_level(p):
    n = 360
    held = [k for k in range(n + 1) if binomial_interval(k, n).contains(p)]
    assert stats.binom.pmf(held, n, p).sum() >= 0.95


@pytest.mark.parametrize(("successes", "n"), [(-1, 10), (11, 10), (0, 0)])
def test_counts_that_cannot_be_are_refused(successes, n):
    with pytest.raises(ValueError, match=f"got {successes} of {n}"):
        binomial_interval(successes, n)


def test_level_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match="level must lie"):
        binomial_interval(1, 2, level=95)
