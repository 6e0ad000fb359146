import pytest

from bytemlperf.causal import CausalShape, Shard
from bytemlperf.errors import SpecError


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_parts_cover_each_block_once_and_in_order(ranks):
    shard = Shard(axis=0, blocks=(8, 4, 4), unit=3)
    pieces = [shard.slices(rank, ranks) for rank in range(ranks)]
    for block, (first, last) in enumerate([(0, 24), (24, 36), (36, 48)]):
        places = [place for parts in pieces for place in range(parts[block].start, parts[block].stop)]
        assert places == list(range(first, last))


def test_fewer_units_than_ranks_are_shared_by_neighbours():
    shard = Shard(axis=0, blocks=(2,), unit=5)
    assert [shard.slices(rank, 4)[0].start for rank in range(4)] == [0, 0, 5, 5]


@pytest.mark.parametrize(
    ("rank", "ranks", "match"), [(2, 2, "no such rank"), (-1, 2, "no such rank"), (0, 3, "evenly")]
)
def test_what_cannot_be_divided_is_refused(rank, ranks, match):
    with pytest.raises(SpecError, match=match):
        Shard(axis=0, blocks=(8,)).slices(rank, ranks)


def test_a_shape_has_no_empty_axis():
    with pytest.raises(SpecError):
        CausalShape(layers=0, heads=1, kv_heads=1, head_dim=1, vocabulary=1, context=1)
