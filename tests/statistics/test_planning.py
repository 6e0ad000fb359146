import numpy as np
import pytest
from scipy import stats

from bytemlperf.statistics import (
    autocorrelated_quantile_interval,
    claim,
    percentile,
    planned_width,
    quantile_log_ratio,
    queries_for_difference,
    queries_for_width,
    replicates_needed,
    samples_needed,
)


def relative_width(values, p):
    return autocorrelated_quantile_interval(values, p).width / percentile(values, p)


@pytest.mark.parametrize(("p", "width"), [(0.5, 0.05), (0.9, 0.1)])
def test_the_promised_width_is_kept_by_the_run_that_follows(rng, p, width):
    kept = []
    for seed in range(60):
        planned = queries_for_width(rng.lognormal(0, 0.3, 300), p, width=width, seed=seed)
        kept.append(relative_width(rng.lognormal(0, 0.3, planned), p) <= width)
    assert sum(kept) >= stats.binom.ppf(0.001, 60, 0.85)


def test_no_more_queries_are_asked_for_than_needed(rng):
    planned = queries_for_width(rng.lognormal(0, 0.3, 2000), 0.5, width=0.05)
    half = [relative_width(rng.lognormal(0, 0.3, planned // 2), 0.5) <= 0.05 for _ in range(50)]
    assert sum(half) < 10


def test_a_series_with_a_memory_takes_more(rng):
    values = rng.lognormal(0, 0.3, 200)
    assert queries_for_width(np.repeat(values, 8), 0.5, width=0.1) > 3 * queries_for_width(values, 0.5, width=0.1)


def test_a_width_that_cannot_be_told_is_none(rng):
    assert planned_width(rng.lognormal(0, 0.3, 300), 0.99, queries=100) is None  # no interval at all
    assert planned_width(rng.lognormal(0, 0.3, 300), 0.99, queries=5000) is None  # the pilot has no 99th percentile
    assert planned_width(rng.lognormal(0, 0.3, 3000), 0.99, queries=5000) == pytest.approx(0.1, abs=0.06)


def test_a_claim_says_what_the_queries_allow():
    few, enough = claim(200, 0.99), claim(662, 0.99)
    assert (few.holds, few.needed, few.mlperf_over) == (False, samples_needed(0.99), None)
    assert (enough.holds, enough.mlperf_over, enough.width) == (True, 1, None)


def test_a_difference_of_the_planned_size_is_found(rng):
    pilot = rng.normal(100, 5, 400)
    planned = queries_for_difference(pilot, difference=0.05, p=0.5)
    found = [
        quantile_log_ratio(rng.normal(100, 5, planned), rng.normal(105, 5.25, planned), 0.5).p_difference() <= 0.05
        for _ in range(60)
    ]
    assert sum(found) >= stats.binom.ppf(0.001, 60, 0.85)
    assert queries_for_difference(pilot, difference=0.05) <= planned


def simulated_power(rng, n, *, paired):
    a, b = rng.normal(0, 0.05, (2, 4000, n))
    p = stats.ttest_1samp(a + np.log(1.05), 0, axis=1) if paired else stats.ttest_ind(a, b + np.log(1.05), axis=1)
    return np.mean(p.pvalue <= 0.05)


@pytest.mark.parametrize("paired", [False, True])
def test_the_number_of_replicates_has_the_power_that_was_asked_for(rng, paired):
    n = replicates_needed(0.05, 0.05, paired=paired)
    assert simulated_power(rng, n, paired=paired) >= 0.88
    assert simulated_power(rng, n - 1, paired=paired) <= 0.91


def test_without_spread_two_replicates_are_enough():
    assert replicates_needed(0.01, 0.0) == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: claim(0, 0.5),
        lambda: queries_for_width([1, 2, 3], 0.5, width=0),
        lambda: queries_for_difference([1, 2, 3], difference=0),
        lambda: replicates_needed(0, 1),
        lambda: replicates_needed(0.1, -1),
    ],
)
def test_what_cannot_be_planned_is_refused(call):
    with pytest.raises(ValueError, match="got"):
        call()
