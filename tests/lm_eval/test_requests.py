"""What lm-evaluation-harness asks, cut and joined."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytemlperf.errors import SpecError
from bytemlperf.lm_eval.requests import fitted, generation, joined, score_queries, waves

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=12)


@given(TOKENS, TOKENS, st.integers(12, 20))
def test_a_context_is_cut_from_the_left_to_what_is_read(context, continuation, reads):
    kept, scored = fitted(context, continuation, reads=reads)
    assert list(scored) == continuation
    assert kept
    assert [*kept, *scored] == [*context, *continuation][-(reads + 1) :]


@pytest.mark.parametrize(("context", "continuation"), [([], [1]), ([1], []), ([1], [2, 3, 4])])
def test_what_cannot_be_scored_is_refused(context, continuation):
    with pytest.raises(SpecError):
        fitted(context, continuation, reads=2)


@given(st.lists(st.tuples(TOKENS.map(tuple), TOKENS.map(tuple)), max_size=60))
def test_every_request_is_in_one_query_beside_others_of_its_context(pairs):
    groups = joined(pairs)
    assert sorted(place for each in groups for place in each.places) == list(range(len(pairs)))
    for each in groups:
        assert [(each.context, scored) for scored in each.continuations] == [pairs[place] for place in each.places]
        assert len(each.places) <= 16
    if groups:
        queries = score_queries(groups)
        assert [tuple(queries.batch(number).inputs["tokens"][0]) for number in range(len(queries))] == [
            each.context for each in groups
        ]


def test_one_context_of_many_continuations_is_several_queries_that_can_be_under_way_together():
    assert [len(each.places) for each in joined([((1,), (number,)) for number in range(40)])] == [16, 16, 8]


def test_how_tokens_are_drawn_is_handed_on():
    told = {"max_gen_toks": 5, "do_sample": True, "temperature": 0.5, "top_k": 7, "top_p": 0.9, "num_beams": 1}
    ask = generation(told, seed=3, stop=(1, 2))
    assert (ask.max_new_tokens, ask.temperature, ask.top_k, ask.top_p, ask.seed, ask.stop) == (
        5,
        0.5,
        7,
        0.9,
        3,
        (1, 2),
    )
    greedy = generation({"max_gen_toks": 5, "do_sample": False, "temperature": 0.5, "seed": 9}, seed=3, stop=())
    assert (greedy.temperature, greedy.top_k, greedy.top_p, greedy.seed) == (0, 0, 1, 9)


def test_waves_take_all_once():
    assert [(each.start, each.stop) for each in waves(5, 2)] == [(0, 2), (2, 4), (4, 5)]
