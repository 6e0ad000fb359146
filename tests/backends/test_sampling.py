"""The next token of one request: which may be drawn, and how often each is, against `transformers`' own rules."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from bytemlperf.backends.torch_generation.sampling import Sampler
from bytemlperf.sample import Generation

VOCABULARY = 40
DRAWS = 4_000
EDGES = [
    {"temperature": 1.0},
    {"temperature": 0.3},
    {"temperature": 7.5},
    {"temperature": 1.0, "top_k": 1},
    {"temperature": 1.0, "top_k": 5},
    {"temperature": 1.0, "top_k": VOCABULARY},
    {"temperature": 1.0, "top_k": 10 * VOCABULARY},
    {"temperature": 1.0, "top_p": 1e-9},
    {"temperature": 1.0, "top_p": 0.5},
    {"temperature": 2.0, "top_p": 0.97},
    {"temperature": 0.7, "top_k": 12, "top_p": 0.8},
    {"temperature": 1.5, "top_k": 3, "top_p": 0.999},
]


def logits_of(seed, spread=2.0):
    return torch.tensor(np.random.default_rng(seed).normal(0, spread, VOCABULARY), dtype=torch.float32)


def shares(logits, *, temperature, top_k=0, top_p=1.0):
    """Probability of each token by `transformers`, which applies temperature, top k and top p in this order."""
    scores = TemperatureLogitsWarper(temperature)(None, logits.double()[None])
    if top_k:
        scores = TopKLogitsWarper(min(top_k, VOCABULARY))(None, scores)
    if top_p < 1:
        scores = TopPLogitsWarper(top_p)(None, scores)
    return torch.softmax(scores, -1)[0].numpy()


def drawn(logits, count=DRAWS, seed=0, **ask):
    sampler = Sampler(Generation(max_new_tokens=1, seed=seed, **ask))
    return np.array([sampler.choose(logits) for _ in range(count)])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("ask", EDGES, ids=str)
def test_tokens_are_drawn_as_often_as_they_are_likely(ask, seed):
    logits = logits_of(seed)
    expected, counts = shares(logits, **ask), np.bincount(drawn(logits, seed=seed, **ask), minlength=VOCABULARY)
    assert set(np.flatnonzero(counts)) <= set(np.flatnonzero(expected))
    level = 1e-6 / VOCABULARY  # of a wrong alarm by any token
    for token, share in enumerate(expected):
        low, high = binom.interval(1 - level, DRAWS, share)
        assert low <= counts[token] <= high, (token, share)


class Fixed:
    """A stream that gives one number."""

    def __init__(self, number):
        self._number = number

    def random(self):
        return self._number


def allowed(logits, **ask):
    """Every token that some number of the stream gives: numbers in the middle of each share, and the ends."""
    expected = shares(logits, **ask)
    edges = np.concatenate([[0], np.cumsum(np.sort(expected)[::-1])])
    numbers = np.minimum([0.0, *((edges[:-1] + edges[1:]) / 2), 1.0], np.nextafter(1.0, 0.0))
    found = {Sampler(Generation(max_new_tokens=1, **ask), Fixed(float(each))).choose(logits) for each in numbers}
    assert found <= set(np.flatnonzero(expected))
    seen = 1e-12  # a smaller share lies between no two of the numbers
    return {token for token in found if expected[token] > seen}, set(np.flatnonzero(expected > seen).tolist())


@pytest.mark.parametrize("ask", EDGES, ids=str)
def test_the_tokens_that_may_be_drawn_are_exactly_those_of_transformers(ask):
    for seed in range(20):
        found, expected = allowed(logits_of(seed), **ask)
        assert found == expected


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    temperature=st.floats(0.2, 5),
    top_k=st.integers(0, VOCABULARY + 3),
    top_p=st.floats(0.01, 0.99),
)
def test_any_bounds_together_allow_the_same_tokens(seed, temperature, top_k, top_p):
    logits = logits_of(seed)
    ask = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    whole = np.sort(shares(logits, temperature=temperature, top_k=top_k))[::-1].cumsum()
    if np.abs(whole - top_p).min() < 1e-9:
        return  # where rounding decides on the last token
    found, expected = allowed(logits, **ask)
    assert found == expected


@pytest.mark.parametrize(
    "ask", [{"temperature": 0.0}, {"temperature": 3.0, "top_k": 1}, {"temperature": 3.0, "top_p": 1e-12}]
)
def test_one_token_that_is_left_is_the_likeliest(ask):
    for seed in range(50):
        logits = logits_of(seed)
        assert set(drawn(logits, 5, seed=seed, **ask)) == {int(logits.argmax())}


def test_of_equal_logits_the_first_is_the_greedy_choice_and_the_lower_ids_stay():
    logits = torch.zeros(VOCABULARY)
    assert drawn(logits, 1, temperature=0.0).tolist() == [0]
    assert set(drawn(logits, temperature=1.0, top_k=3)) == {0, 1, 2}


def test_tokens_that_cannot_be_are_never_drawn():
    logits = logits_of(3)
    logits[::2] = -torch.inf
    assert not set(drawn(logits, temperature=50.0)) & set(range(0, VOCABULARY, 2))


def test_a_seed_gives_the_same_draws_again_and_another_one_others():
    logits = logits_of(4)
    first = drawn(logits, 50, seed=1, temperature=1.0)
    assert (drawn(logits, 50, seed=1, temperature=1.0) == first).all()
    assert (drawn(logits, 50, seed=2, temperature=1.0) != first).any()


@pytest.mark.parametrize(
    ("count", "token", "ends"), [(1, 7, False), (2, 7, True), (2, 8, False), (4, 8, True), (1, 8, False)]
)
def test_an_answer_ends_by_a_stop_token_once_it_may_and_by_its_length(count, token, ends):
    sampler = Sampler(Generation(max_new_tokens=4, min_new_tokens=2, stop=(7,)))
    assert sampler.ends(token, count) is ends
