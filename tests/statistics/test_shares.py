"""Shares compared, paired and not: against scipy's exact tests, by hand, and by every outcome of small samples."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bytemlperf.statistics import mcnemar_p_value, paired_share_contrast, share_contrast


@given(only_a=st.integers(0, 60), only_b=st.integers(0, 60))
def test_mcnemars_test_is_the_sign_test(only_a, only_b):
    expected = stats.binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    assert mcnemar_p_value(only_a, only_b) == pytest.approx(expected)


def test_mcnemars_test_by_hand():
    # Of 4 coins all on one side: 2 * (1/2)^4.
    assert mcnemar_p_value(0, 4) == pytest.approx(0.125)
    # Of 10, 1 or fewer on one side: 2 * (1 + 10) / 2^10.
    assert mcnemar_p_value(9, 1) == pytest.approx(22 / 1024)


@pytest.mark.parametrize("counts", [(-1, 2, 10), (1, -2, 10), (0, 0, 0), (6, 5, 10)])
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(ValueError, match="counts"):
        paired_share_contrast(*counts)


def test_negative_counts_have_no_p_value():
    with pytest.raises(ValueError, match="negative"):
        mcnemar_p_value(-1, 3)


def test_shares_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="successes"):
        share_contrast((3, 2), (1, 2))


def test_two_shares_by_newcombes_formula_with_scipys_exact_intervals():
    a, b = (56, 70), (48, 80)
    of_a, of_b = (stats.binomtest(*each).proportion_ci(0.95, method="exact") for each in (a, b))
    p_a, p_b = 0.8, 0.6
    interval = share_contrast(a, b).interval()
    assert interval.low == pytest.approx(-0.2 - math.hypot(p_b - of_b.low, of_a.high - p_a))
    assert interval.high == pytest.approx(-0.2 + math.hypot(of_b.high - p_b, p_a - of_a.low))


def test_the_p_value_is_that_of_the_interval():
    contrast = share_contrast((80, 100), (90, 100))
    level = 1 - 2 * contrast.p_above(0.0)
    assert contrast.interval(level=level).low == pytest.approx(0, abs=1e-9)
    assert contrast.p_below(0.0) == 0.5
    assert contrast.p_below(0.9) == pytest.approx(1e-12)


def test_two_that_never_differ_may_still_differ():
    interval = paired_share_contrast(0, 0, 360).interval()
    assert interval.high == -interval.low == pytest.approx(1 - 0.025 ** (1 / 360))
    assert paired_share_contrast(0, 0, 360).p_equivalence(0.01) == pytest.approx(0.99**360, rel=1e-6)


def test_the_same_samples_tell_more_than_others():
    paired, unpaired = paired_share_contrast(10, 2, 1000), share_contrast((950, 1000), (942, 1000))
    assert paired.estimate == pytest.approx(unpaired.estimate)
    assert paired.interval().width < unpaired.interval().width / 2


def test_all_samples_on_one_side_keep_the_interval_within_what_can_be():
    interval = paired_share_contrast(5, 0, 5).interval()
    assert -1 == interval.low <= interval.high <= 1


@pytest.mark.parametrize("truth", [(0.1, 0.1), (0.3, 0.05), (0.02, 0.02)])
def test_the_paired_interval_covers_over_all_outcomes(truth):
    n, level, covered = 25, 0.9, 0.0
    for only_a, only_b in product(range(n + 1), repeat=2):
        if only_a + only_b > n:
            continue
        chance = stats.multinomial.pmf([only_a, only_b, n - only_a - only_b], n, [*truth, 1 - sum(truth)])
        if chance > 1e-6:
            interval = paired_share_contrast(only_a, only_b, n).interval(level=level)
            covered += chance * interval.contains(truth[1] - truth[0])
    assert covered >= level - 1e-3


def test_equal_answers_are_told_apart_no_more_often_than_stated():
    rng = np.random.default_rng(0)
    cells = rng.multinomial(500, [0.03, 0.03, 0.94], size=2000)
    told = np.mean([mcnemar_p_value(int(a), int(b)) < 0.05 for a, b, _ in cells])
    assert told <= 0.05
