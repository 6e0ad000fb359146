"""Two runs on the same units: by exact tests where units are right or wrong, else drawn in pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bytemlperf.errors import SpecError
from bytemlperf.metrics import Mean, OfSums, Units, paired
from bytemlperf.statistics import paired_share_contrast

SHARE = Mean(ends=(0.0, 1.0))
RATE = OfSums(lambda sums: sums[:, 0] / sums[:, 1])


@given(right=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_right_and_wrong_units_are_judged_by_mcnemars_exact_test(right):
    answers, reference = np.array(right).T
    found = paired(Units.of_samples(answers), Units.of_samples(reference), SHARE)
    only = int((reference & ~answers).sum()), int((answers & ~reference).sum())
    assert (found.value, found.reference, found.n) == (answers.mean(), reference.mean(), len(right))
    assert (found.differing.only_reference, found.differing.only_answers) == only
    expected = stats.binomtest(only[0], sum(only)).pvalue if sum(only) else 1.0
    assert found.differing.p == pytest.approx(expected)
    assert found.contrast.interval() == paired_share_contrast(*only, len(right)).interval()


def test_a_figure_in_percent_has_its_distance_in_percent(rng):
    reference = rng.random(400) < 0.8
    answers = reference & (rng.random(400) < 0.9)
    both = Units.of_samples(answers), Units.of_samples(reference)
    plain, percent = (paired(*both, Mean(scale=scale), times=0.99) for scale in (1.0, 100.0))
    assert percent.value == pytest.approx(100 * answers.mean())
    assert percent.contrast.estimate == pytest.approx(100 * (answers.mean() - 0.99 * reference.mean()))
    assert percent.contrast.interval().low == pytest.approx(100 * plain.contrast.interval().low)


def test_only_units_that_both_have_count_whatever_their_order(rng):
    names = np.array([f"q{number}" for number in range(60)])
    values = rng.random((60, 2))
    shuffled = rng.permutation(50)
    answers = Units(ids=names, values=values, noun="questions")
    reference = Units(ids=names[:50][shuffled], values=values[:50][shuffled])
    found = paired(answers, reference, RATE)
    assert (found.n, found.noun) == (50, "questions")
    assert found.value == pytest.approx(found.reference)
    assert found.contrast.interval().width == pytest.approx(0, abs=1e-12)


def test_rows_of_one_unit_are_drawn_together(rng):
    """A hundred texts of five windows that are all alike are a hundred observations, not five hundred."""
    noise = rng.normal(size=100)
    reference = rng.gamma(20, size=100)
    alone = [Units(ids=np.arange(100), values=each[:, np.newaxis]) for each in (reference + noise, reference)]
    texts = [Units(ids=np.repeat(np.arange(100), 5), values=np.repeat(each.values, 5, axis=0)) for each in alone]
    single, clustered = (paired(*each, Mean(), seed=1) for each in (alone, texts))
    assert clustered.n == 100
    assert clustered.contrast.interval().width == pytest.approx(single.contrast.interval().width)


def test_the_reference_is_multiplied_before_it_is_taken_off(rng):
    reference = rng.gamma(4, size=300)
    units = Units.of_samples(0.98 * reference), Units.of_samples(reference)
    found = paired(*units, Mean(), times=0.99)
    assert found.contrast.estimate == pytest.approx(-0.01 * reference.mean())
    assert found.contrast.interval().high < 0


def test_a_mean_that_has_ends_allows_for_units_that_were_not_seen():
    scores = np.full(200, 0.5)
    same = Units.of_samples(scores), Units.of_samples(scores)
    bounded, free = paired(*same, SHARE), paired(*same, Mean())
    assert bounded.contrast.interval(level=0.9).low == pytest.approx(-3 / 201)
    assert free.contrast.interval(level=0.9).low == 0


def test_values_beyond_the_ends_are_refused():
    units = Units.of_samples(np.linspace(0, 1.5, 30)), Units.of_samples(np.linspace(0, 1, 30))
    with pytest.raises(SpecError, match=r"beyond the ends .* got '0.0 to 1.5'"):
        paired(*units, SHARE)


@pytest.mark.parametrize(
    ("answers", "reference"),
    [
        (Units.of_samples(np.empty(0)), Units.of_samples(np.ones(3))),
        (Units(ids=np.arange(3), values=np.ones((3, 1))), Units(ids=np.arange(3) + 3, values=np.ones((3, 1)))),
        (Units(ids=np.arange(3), values=np.ones((3, 1))), Units(ids=np.array(list("012")), values=np.ones((3, 1)))),
        (Units.of_samples(np.full(30, math.nan)), Units.of_samples(np.ones(30))),
        (Units.of_samples(np.full(30, math.inf)), Units.of_samples(np.ones(30))),
        (Units.of_samples(np.full(19, 0.5)), Units.of_samples(np.ones(19))),
    ],
    ids=["none", "others", "other kinds of names", "NaN", "infinite", "few"],
)
def test_there_is_no_pairing(answers, reference):
    assert paired(answers, reference, Mean()) is None


def test_units_are_held_against_their_values():
    for ids, values in ((np.arange(3), np.ones(3)), (np.arange(2), np.ones((3, 1))), (np.ones(3), np.ones((3, 1)))):
        with pytest.raises(SpecError, match="these are no units"):
            Units(ids=ids, values=values)


def test_the_first_units_that_fit_are_whole():
    units = Units(ids=np.array([4, 4, 2, 2, 2, 9]), values=np.arange(6.0)[:, np.newaxis])
    assert units.count == 3
    assert units.leading(6 * 16) is units
    assert units.leading(5 * 16).ids.tolist() == [4, 4, 2, 2, 2]
    assert units.leading(4 * 16).values[:, 0].tolist() == [0, 1]
    assert units.leading(0).count == 0
