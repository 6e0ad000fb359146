"""Early stopping against the table of the rules, against its definition, and against LoadGen itself."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tests import loadgen_oracle

from bytemlperf.scenarios import Server
from bytemlperf.statistics import (
    early_decision,
    early_estimate,
    most_over_bound,
    passing_queries_needed,
    queries_needed,
    samples_needed,
)

OVER = (0, 1, 2, 3, 5, 10, 100, 1000)
TABLE = {
    0.9: (44, 64, 81, 97, 127, 197, 1246, 10722),
    0.95: (90, 130, 165, 198, 259, 398, 2504, 21483),
    0.97: (152, 219, 277, 332, 433, 667, 4182, 35831),
    0.99: (459, 662, 838, 1001, 1307, 2010, 12571, 107569),
    0.999: (4603, 6636, 8403, 10042, 13105, 20140, 125826, 1076032),
}
shares = st.floats(0.05, 0.995)


@pytest.mark.parametrize("p", TABLE)
def test_the_table_of_least_query_counts(p):
    assert tuple(queries_needed(over, p) for over in OVER) == TABLE[p]


@pytest.mark.parametrize("p", TABLE)
def test_with_none_over_the_bound_it_is_the_one_sided_bound_of_a_quantile(p):
    assert passing_queries_needed(0, p) == samples_needed(p, level=0.99, sides=1)


@given(st.integers(0, 60), shares, st.floats(0.5, 0.999), st.floats(0, 0.04))
def test_it_is_the_least_count_that_the_definition_allows(over, p, level, tolerance):
    found = passing_queries_needed(over, p, level=level, tolerance=tolerance)

    def chance(passing):
        return stats.binom.sf(passing - 1, passing + over, p - tolerance)

    slack = 1e-9  # scipy's two ways to the same probability differ in the last digits
    assert chance(found) < 1 - level + slack
    assert found == 1 or chance(found - 1) >= 1 - level - slack


@given(st.integers(0, 5000), shares)
def test_the_most_that_may_be_over_is_just_within_the_count(n, p):
    most = most_over_bound(n, p)
    if most is None:
        assert n < queries_needed(0, p)
    else:
        assert queries_needed(most, p) <= n < queries_needed(most + 1, p)


def test_a_real_run_of_the_rules_appendix():
    found = early_estimate(np.arange(3187), 0.9)
    assert found.discarded == 278
    assert found.value == 3187 - 279


@given(st.permutations(range(200)), st.sampled_from([0.5, 0.9, 0.95]))
def test_an_estimate_is_the_value_that_leaves_as_many_above_as_may_be(values, p):
    found = early_estimate(values, p)
    assert sum(value > found.value for value in values) == found.discarded == most_over_bound(200, p) - 1


@pytest.mark.parametrize(("n", "met"), [(662, True), (661, False), (459, False), (1, False)])
def test_an_estimate_takes_one_query_over_the_bound(n, met):
    found = early_estimate(np.ones(n), 0.99)
    assert found.met is met
    assert found.needed == 662


@pytest.mark.parametrize(
    ("n", "over", "missing"), [(459, 0, 0), (458, 0, 1), (662, 1, 0), (661, 1, 1), (100, 100, 12471)]
)
def test_a_decision_by_hand(n, over, missing):
    values = np.array([10] * (n - over) + [11] * over)
    found = early_decision(values, 0.99, bound=10)
    assert (found.over, found.missing, found.met) == (over, missing, missing == 0)


def test_a_bound_that_truly_fails_is_seldom_claimed(rng):
    """At a true share of exactly p, at most one run in a hundred may pass."""
    over = rng.binomial(2010, 0.01, size=20_000)
    assert queries_needed(10, 0.99) == 2010
    share = np.mean(over <= 10)
    assert share <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / 20_000)


@pytest.mark.parametrize(
    ("over", "p", "changes"),
    [
        (-1, 0.9, {}),
        (0, 1.0, {}),
        (0, 0.0, {}),
        (0, 0.9, {"level": 1.0}),
        (0, 0.9, {"tolerance": 0.9}),
        (0, 0.9, {"tolerance": -0.1}),
    ],
)
def test_nonsense_is_refused(over, p, changes):
    with pytest.raises(ValueError, match=r"need|level"):
        queries_needed(over, p, **changes)


@pytest.mark.parametrize("p", [0.5, 0.8, 0.9, 0.95, 0.97, 0.99, 0.999])
@pytest.mark.parametrize("over", [1, 2, 17, 100, 431, 1000])
def test_loadgen_asks_for_as_many_more_queries(over, p, tmp_path):
    """Every query is over a bound of 1 ns, so LoadGen says how many queries `over` of them take."""
    scenario = Server(target_qps=1e7, min_duration_s=0, min_queries=over, bound_ms=1e-6, percentile=p)
    run = loadgen_oracle.run(scenario, tmp_path)
    more = re.search(r"at least (\d+) more queries", run.details["early_stopping_result"])
    assert int(more[1]) == queries_needed(over, p) - over
