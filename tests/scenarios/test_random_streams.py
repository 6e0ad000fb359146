"""C++'s random streams: known answers, and what holds whatever the seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bytemlperf.scenarios.random_streams import Words, exponential_ns, shuffle, skip_shuffles, uniform

SEEDS = st.integers(0, 2**64 - 1)


def test_the_ten_thousandth_word_is_the_one_that_the_cpp_standard_demands():
    assert Words(5489).take(10_000)[-1] == 4123659995


def test_words_are_those_of_numpys_own_seeding():
    seed = 2**32 - 7
    expected = np.frombuffer(np.random.RandomState(seed).bytes(4 * 2000), "<u4")
    np.testing.assert_array_equal(Words(seed).take(2000), expected)


def test_only_the_lowest_32_bits_of_a_seed_count():
    np.testing.assert_array_equal(Words(2**40 + 3).take(5), Words(3).take(5))


def test_peeked_words_are_still_there():
    words = Words(1)
    seen = words.peek(700).copy()
    np.testing.assert_array_equal(np.concatenate([words.take(300), words.take(400)]), seen)


@given(SEEDS, st.integers(1, 2**32 - 1), st.integers(0, 200))
def test_uniform_is_lemires_method_word_by_word(seed, bound, count):
    words, expected = iter(Words(seed).take(20_000).tolist()), []
    while len(expected) < count:
        scaled = next(words) * bound
        if scaled % 2**32 >= 2**32 % bound:
            expected.append(scaled >> 32)
    assert uniform(Words(seed), bound, count).tolist() == expected


def test_uniform_leaves_the_words_that_it_did_not_need():
    bound = 3 * 2**30  # a quarter of the words is refused
    whole = Words(9)
    halves = Words(9)
    parts = [uniform(halves, bound, 40), uniform(halves, bound, 60)]
    np.testing.assert_array_equal(np.concatenate(parts), uniform(whole, bound, 100))


@given(SEEDS, st.integers(0, 300))
def test_a_shuffle_loses_nothing_and_skipping_uses_the_same_words(seed, length):
    shuffled, skipped = Words(seed), Words(seed)
    items = np.arange(length, dtype=np.int64) * 7
    assert sorted(shuffle(shuffled, items).tolist()) == items.tolist()
    skip_shuffles(skipped, length, 1)
    np.testing.assert_array_equal(shuffled.take(3), skipped.take(3))


@pytest.mark.parametrize("length", [50_000, 65_535, 65_536])  # many words refused; the two forms of the shuffle
def test_skipping_uses_the_same_words_for_long_sequences(length):
    shuffled, skipped = Words(3), Words(3)
    shuffle(shuffled, shuffle(shuffled, np.arange(length, dtype=np.int64)))
    skip_shuffles(skipped, length, 2)
    np.testing.assert_array_equal(shuffled.take(3), skipped.take(3))


def test_every_order_of_four_comes_as_often():
    words, straight = Words(11), np.arange(4, dtype=np.int64)
    orders = [tuple(shuffle(words, straight).tolist()) for _ in range(4800)]
    counts = np.unique(np.array(orders), axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-4


def test_gaps_are_exponential():
    gaps = exponential_ns(Words(5), 2000.0, 20_000)
    assert stats.kstest(gaps / 1e9, stats.expon(scale=1 / 2000).cdf).pvalue > 1e-4


def test_the_first_gap_by_hand():
    low, high = Words(8).take(2).tolist()
    share = (low + high * 2**32) / 2**64
    assert exponential_ns(Words(8), 10.0, 1).tolist() == [int(-np.log1p(-share) / 10 * 1e9)]
