"""Blocks in turn: what drifts is on neither side, and the error rates are as stated."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from bytemlperf.report import Decision
from bytemlperf.studies.interleaving.blocks import ABBA, BAAB, Block, measured, orders, weigh


def simulated(rng, *, blocks, speed=1.0, noise=0.05, drift=0.0, rounds=1, process=0.0):
    """A machine whose times grow over the whole run, and whose processes differ."""
    now = itertools.count()
    found = []
    turn = orders(int(rng.integers(2**31)))
    for number in range(1, rounds + 1):
        base = {"a": math.exp(process * rng.standard_normal()), "b": math.exp(process * rng.standard_normal()) / speed}

        def measure(letter, base=base):
            return 1e6 * base[letter] * (1 + drift * next(now)) * math.exp(noise * rng.standard_normal())

        found += [measured(next(turn), measure, number=number) for _ in range(blocks)]
    return found


def test_a_drift_is_on_neither_side(rng):
    found = weigh(simulated(rng, blocks=20, speed=1.15, noise=0.0, drift=0.01))
    assert math.exp(found.contrast.estimate) == pytest.approx(1.15, rel=1e-3)
    interval = found.interval(0.95)
    assert 1.149 < interval.low < interval.high < 1.151


def test_each_two_blocks_have_one_of_each_order_and_chance_decides_which_comes_first():
    drawn = list(itertools.islice(orders(1), 400))
    pairs = list(zip(drawn[::2], drawn[1::2], strict=True))
    assert all(set(pair) == {ABBA, BAAB} for pair in pairs)
    assert 70 <= sum(pair[0] == ABBA for pair in pairs) <= 130
    assert drawn != list(itertools.islice(orders(2), 400))


def test_equal_sides_are_seldom_told_apart(rng):
    runs = 1000
    told = sum(weigh(simulated(rng, blocks=12)).contrast.p_difference() <= 0.05 for _ in range(runs))
    assert told / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


def test_a_planted_slowdown_is_found(rng):
    runs = 200
    found = [
        weigh(simulated(rng, blocks=20, speed=1 / 1.05)).decision(level=0.95, equivalence=0.01) for _ in range(runs)
    ]
    assert sum(each is Decision.SLOWER for each in found) >= 0.9 * runs


def test_intervals_hold_the_truth(rng):
    runs = 300
    held = sum(weigh(simulated(rng, blocks=15, speed=1.1)).interval(0.95).contains(1.1) for _ in range(runs))
    assert held >= stats.binom.ppf(0.001, runs, 0.95)


def test_processes_that_differ_are_told_apart_as_processes_but_not_as_the_machine(rng):
    def alarms(rounds):
        found = (simulated(rng, blocks=6, noise=0.01, process=0.03, rounds=rounds) for _ in range(200))
        return sum(weigh(each).contrast.p_difference() <= 0.05 for each in found)

    assert alarms(1) > 100  # rightly: these two processes do differ
    assert alarms(6) <= stats.binom.ppf(0.999, 200, 0.05)


def test_what_the_decision_is_about_is_said(rng):
    assert weigh(simulated(rng, blocks=6)).about == "these two processes"
    found = weigh(simulated(rng, blocks=6, rounds=3))
    assert (found.about, found.units) == ("pairs of processes on this machine", 3)


@pytest.mark.parametrize(
    ("speed", "noise", "expected"),
    [
        (1.2, 0.02, Decision.FASTER),
        (0.8, 0.02, Decision.SLOWER),
        (1.001, 0.002, Decision.EQUIVALENT),
        (1.02, 0.3, Decision.UNDECIDED),
    ],
)
def test_each_decision(rng, speed, noise, expected):
    assert weigh(simulated(rng, blocks=20, speed=speed, noise=noise)).decision(level=0.95, equivalence=0.02) is expected


def test_one_block_bounds_nothing():
    found = weigh([Block(order="abba", a_ns=2.0, b_ns=1.0)])
    assert not found.interval(0.95).bounded
    assert found.decision(level=0.95, equivalence=0.02) is Decision.UNDECIDED
    assert np.isclose(math.exp(found.contrast.estimate), 2.0)
