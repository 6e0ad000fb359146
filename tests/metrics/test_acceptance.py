"""Targets of accuracy: decided where the data can tell, and else how many samples it takes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bytemlperf.metrics import Basis, Estimate, Judgement, Mean, Requirement, Units, judge_published
from bytemlperf.metrics import judge_paired as judge_units
from bytemlperf.spec import from_json, to_json
from bytemlperf.statistics import binomial_interval, mean_interval

NINETY_NINE = Requirement(share=0.99)


def share(right, n):
    return Estimate(value=right / n, unit="1", n=n).within(binomial_interval(right, n))


def published(right, n, reference=0.76, requirement=NINETY_NINE):
    return judge_published("accuracy/top1", share(right, n), requirement, reference=reference, whole=1.0)


def judge_paired(name, answers, reference, requirement, *, figure=Mean(), seed=0):  # noqa: B008 - a value
    """Judge samples by one value each."""
    return judge_units(
        name, Units.of_samples(answers), Units.of_samples(reference), requirement, figure=figure, seed=seed
    )


def pairs(only_reference, only_answers, n, both=0.8):
    """Right and wrong answers to n samples, so many of which only one side has right."""
    reference, answers = np.zeros(n), np.zeros(n)
    common = round(both * n)
    reference[:common] = answers[:common] = 1
    reference[common : common + only_reference] = 1
    answers[n - only_answers :] = only_answers > 0
    return answers, reference


def paired(*counts, requirement=NINETY_NINE, **options):
    return judge_paired("accuracy/top1", *pairs(*counts, **options), requirement)


@pytest.mark.parametrize(("right", "passed"), [(38_400, True), (36_000, False), (37_600, None)])
def test_a_published_figure_is_held_by_the_interval(right, passed):
    """0.99 of 0.76 is 0.7524: 38,400 of 50,000 are above it with their interval, 36,000 below, 37,600 astride."""
    found = published(right, 50_000)
    assert found.passed is passed
    assert found.bound == pytest.approx(0.7524)
    assert (found.n_needed is None) == (passed is not None)
    assert (found.figure, found.basis, found.n) == ("accuracy/top1", Basis.PUBLISHED, 50_000)


@given(right=st.integers(1, 400), reference=st.floats(0.05, 1))
def test_it_decides_exactly_as_the_one_sided_binomial_tests_do(right, reference):
    """At 95 % each way, as scipy's exact tests say."""
    found, bound = published(right, 400, reference=reference), 0.99 * reference
    above = stats.binomtest(right, 400, bound, alternative="greater").pvalue
    below = stats.binomtest(right, 400, bound, alternative="less").pvalue
    if min(abs(above - 0.05), abs(below - 0.05)) > 1e-9:
        assert found.passed is (True if above < 0.05 else False if below < 0.05 else None)


@given(right=st.integers(290, 310))
def test_the_samples_that_are_said_to_be_needed_would_decide_and_a_few_less_would_not(right):
    found = published(right, 400, reference=0.75)
    if found.n_needed is None:
        return
    n = found.n_needed
    assert n > 400
    assert published(round(right * n / 400), n, reference=0.75).passed is not None
    fewer = round(n * 0.9)
    assert fewer <= 400 or published(round(right * fewer / 400), fewer, reference=0.75).passed is None


def test_what_lies_on_the_bound_is_decided_by_no_number():
    found = published(75, 100, reference=0.75 / 0.99)
    assert (found.passed, found.n_needed) == (None, None)
    assert "no number of samples would tell" in found.text


def test_a_bound_may_be_stated_in_the_figures_own_unit():
    found = published(40, 50, reference=None, requirement=Requirement(bound=0.6, source="our own"))
    assert (found.passed, found.bound) == (True, 0.6)
    assert found.text.endswith("holds the target of at least 0.6 [our own]")


@pytest.mark.parametrize(("value", "passed"), [(9.0, True), (11.0, False), (10.1, None)])
def test_where_less_is_better_the_figure_may_be_the_reference_over_the_share(value, passed):
    """10 / 0.99 = 10.101."""
    estimate = Estimate(value=value, low=value - 0.2, high=value + 0.2, unit="1", n=1000)
    lower = Requirement(share=0.99, higher_is_better=False)
    found = judge_published("accuracy/perplexity", estimate, lower, reference=10.0)
    assert (found.passed, found.bound) == (passed, pytest.approx(10 / 0.99))
    assert "at most" in found.text


def test_intervals_of_other_figures_shrink_with_the_root_of_the_samples():
    estimate = Estimate(value=90.5, low=89.5, high=91.5, unit="1", n=1000)
    found = judge_published("accuracy/f1", estimate, Requirement(bound=90.0), reference=None)
    assert found.passed is None
    assert found.n_needed == pytest.approx(4000 * (1.645 / 1.96) ** 2, rel=0.02)
    half = (found.high - found.low) / 2 * math.sqrt(1000 / found.n_needed)
    assert half <= 0.5


@pytest.mark.parametrize("whole", [1.0, 100.0, None])
@pytest.mark.parametrize(("level", "passed"), [(0.75, True), (0.9, True), (0.99, None), (0.999, None)])
def test_what_is_decided_depends_on_the_level_for_figures_of_every_kind(whole, level, passed):
    """A share of 0.8 of 1,000 lies 1.58 standard errors above 0.78: enough at 90 %, not at 99 %."""
    scale = whole or 1.0
    interval = binomial_interval(800, 1000)
    low, high = scale * interval.low, scale * interval.high
    estimate = Estimate(value=scale * 0.8, low=low, high=high, unit="1", n=1000)
    requirement = Requirement(bound=scale * 0.78, level=level)
    found = judge_published("accuracy/f1", estimate, requirement, reference=None, whole=whole)
    assert found.passed is passed
    exact = binomial_interval(800, 1000, level=2 * level - 1)
    ends = (scale * (exact.low - 0.78), scale * (exact.high - 0.78))
    assert (found.low, found.high) == pytest.approx(ends, abs=scale * 0.002)


@pytest.mark.parametrize("kind", ["score", "loss", "right"])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_a_published_figure_is_misjudged_as_rarely_as_the_level_says(kind, level, rng):
    """The target lies where the truth does: a pass is wrong, and so is a fail, each in 1 - level of the tries."""
    tries, n, truth = 2000, 400, {"score": 0.8, "loss": 2.0, "right": 0.8}[kind]
    requirement = Requirement(bound=truth, level=level)
    passed = failed = 0
    for _ in range(tries):
        if kind == "right":
            estimate = share(int(rng.binomial(n, truth)), n)
        else:
            drawn = rng.beta(8, 2, n) if kind == "score" else rng.gamma(4, 0.5, n)
            estimate = Estimate(value=float(drawn.mean()), unit="1", n=n).within(mean_interval(drawn))
        found = judge_published("f", estimate, requirement, reference=None, whole=1.0 if kind == "right" else None)
        passed += found.passed is True
        failed += found.passed is False
    chance = 3 * math.sqrt(level * (1 - level) / tries)
    least = 0.5 * (1 - level) if kind == "right" else 1 - level - chance - 0.015  # exact intervals err less often
    for wrong in (passed / tries, failed / tries):
        assert least <= wrong <= 1 - level + chance + 0.005


def test_without_value_interval_or_reference_there_is_nothing_to_judge():
    none = Estimate(value=None, unit="1", note="no samples")
    assert judge_published("f", none, NINETY_NINE, reference=0.7, whole=1.0) is None
    assert judge_published("f", Estimate(value=0.7, unit="1"), NINETY_NINE, reference=0.7) is None
    assert published(7, 10, reference=None) is None
    assert judge_paired("f", np.array([]), np.array([]), NINETY_NINE) is None
    assert paired(1, 1, 100, requirement=Requirement(bound=0.5)) is None


def test_equal_answers_pass_as_soon_as_one_lost_sample_in_a_hundred_would_have_been_seen():
    """The rule of three: with no sample lost of n, less than 1 - 0.05 ** (1 / n) are lost, 0.8 % of 360."""
    found = paired(0, 0, 360)
    assert found.low == pytest.approx(0.8 * 0.01 - (1 - 0.05 ** (1 / 360)))
    assert paired(0, 0, 360, both=0.99).passed is True
    assert paired(0, 0, 200, both=0.99).passed is None


@pytest.mark.parametrize(
    ("only_reference", "only_answers", "passed"), [(5, 5, True), (300, 10, False), (60, 10, None), (0, 50, True)]
)
def test_only_samples_in_which_the_two_differ_decide(only_reference, only_answers, passed):
    found = paired(only_reference, only_answers, 5000)
    assert found.passed is passed
    assert f"{only_reference} right only by the reference, {only_answers} only here" in found.text
    assert stats.binomtest(only_answers, max(1, only_reference + only_answers)).pvalue == pytest.approx(
        float(found.text.split("p = ")[1].split(")")[0]), rel=0.01
    )


def test_pairs_say_how_many_more_it_takes():
    found = paired(12, 2, 1000)
    assert found.passed is None
    more = found.n_needed / 1000
    assert paired(round(12 * more), round(2 * more), round(1000 * more)).passed is not None
    assert f"about {found.n_needed - 1000:,} more samples would tell" in found.text


def test_pairs_rarely_pass_what_lies_just_below_the_bound(rng):
    """A backend that loses exactly a hundredth of the reference's right answers passes in at most 5 of 100 tries."""
    passed = 0
    for _ in range(300):
        reference = (rng.random(2000) < 0.8).astype(float)
        lost = (rng.random(2000) < 0.011) & (reference > 0)
        passed += judge_paired("f", np.where(lost, 0.0, reference), reference, NINETY_NINE).passed is True
    assert passed / 300 <= 0.05


def test_scores_that_are_more_than_right_or_wrong_are_drawn_again_in_pairs(rng):
    reference = rng.beta(8, 2, size=2000)
    same = np.clip(reference + rng.normal(0, 0.01, size=2000), 0, 1)
    worse = 0.95 * reference
    assert judge_paired("f", same, reference, NINETY_NINE).passed is True
    assert judge_paired("f", worse, reference, NINETY_NINE).passed is False
    again = [judge_paired("f", same, reference, NINETY_NINE, seed=3) for _ in range(2)]
    assert again[0] == again[1]
    assert "paired bootstrap" in again[0].text


def test_a_mean_with_ends_holds_only_if_a_lost_one_in_a_hundred_would_have_been_seen():
    """With the same F1 of every question, 3 / n may yet be lost: more than 0.8 of a hundredth until n is 371."""
    f1 = Mean(scale=100.0, ends=(0.0, 1.0))
    scores = np.tile([1.0, 1.0, 0.7, 0.5], 100)
    found = judge_paired("accuracy/f1", scores, scores, NINETY_NINE, figure=f1)
    assert (found.passed, found.value, found.bound) == (True, pytest.approx(80), pytest.approx(79.2))
    few = judge_paired("accuracy/f1", scores[:100], scores[:100], NINETY_NINE, figure=f1)
    assert few.passed is None
    assert few.n_needed == pytest.approx(371, rel=0.02)
    more = np.resize(scores, few.n_needed)
    assert judge_paired("accuracy/f1", more, more, NINETY_NINE, figure=f1).passed is True
    assert judge_paired("f", scores[:100], scores[:100], NINETY_NINE).passed is True  # without ends


def test_the_units_that_are_said_to_be_needed_would_decide(rng):
    f1 = Mean(ends=(0.0, 1.0))
    reference = rng.beta(8, 2, 60)
    answers = np.where(np.arange(60) < 3, reference / 2, reference)
    found = judge_paired("f", answers, reference, NINETY_NINE, figure=f1)
    assert found.passed is None
    times = math.ceil(found.n_needed / 60)
    assert times > 1
    more = judge_paired("f", np.tile(answers, times), np.tile(reference, times), NINETY_NINE, figure=f1)
    assert more.passed is False
    fewer = math.floor(0.9 * found.n_needed / 60)
    assert judge_paired("f", np.tile(answers, fewer), np.tile(reference, fewer), NINETY_NINE, figure=f1).passed is None


def test_what_is_judged_is_called_by_its_name():
    right = np.arange(400) % 5 > 0
    units = [Units(ids=np.arange(400), values=right[:, np.newaxis], noun="questions") for _ in range(2)]
    found = judge_units("accuracy/em", *units, NINETY_NINE, figure=Mean(scale=100.0, ends=(0.0, 1.0)))
    assert "80 holds 0.99 of the reference's 80 on the same 400 questions (0 right only by" in found.text
    units = [Units(ids=each.ids[:50], values=each.values[:50], noun=each.noun) for each in units]
    assert "more questions would tell" in judge_units("f", *units, NINETY_NINE, figure=Mean()).text


def test_a_figure_that_the_data_do_not_bound_is_not_judged():
    """Clicks that most drawings miss."""
    values = np.zeros((30, 2))
    values[0] = 1
    share = lambda rows: lambda weights: (weights @ rows[:, 0]) / (weights @ rows[:, 1])
    units = Units(ids=np.arange(30), values=values)
    assert judge_units("f", units, units, NINETY_NINE, figure=share) is None


def test_few_scores_decide_nothing(rng):
    scores = rng.random(19)
    assert judge_paired("f", scores, scores, NINETY_NINE) is None


def test_losses_are_judged_the_other_way_round(rng):
    reference = rng.gamma(4, size=3000)
    lower = Requirement(share=0.99, higher_is_better=False)
    assert judge_paired("f", reference, reference, lower).passed is True
    assert judge_paired("f", 1.05 * reference, reference, lower).passed is False
    assert judge_paired("f", 0.9 * reference, reference, lower).passed is True


def test_a_judgement_comes_back_from_json():
    found = paired(12, 2, 1000)
    assert from_json(Judgement, to_json(found)) == found
    assert math.isfinite(found.low)
