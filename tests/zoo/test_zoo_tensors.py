"""Names and shapes of a file become names and shapes of a spec, and nothing is guessed."""

from __future__ import annotations

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytemlperf.conversion.signature import FileTensor
from bytemlperf.errors import SpecError
from bytemlperf.spec import Axis, DType
from bytemlperf.zoo.tensors import canonical_names, declared_shape, given_shape, grown_shape, task_name


def _tensor(*dims, name="x"):
    return FileTensor(name=name, dtype=DType.FLOAT32, dims=dims)


@given(st.lists(st.text(max_size=8)))
def test_canonical_names_are_distinct_identifiers_one_for_each(names):
    chosen = canonical_names(names)
    assert list(chosen) == list(dict.fromkeys(names))
    assert len(set(chosen.values())) == len(chosen)
    assert all(name.isidentifier() and not keyword.iskeyword(name) for name in chosen.values())


@given(st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,3}", fullmatch=True)))
def test_plain_names_stay(names):
    plain = [name for name in names if not keyword.iskeyword(name)]
    assert canonical_names(plain) == {name: name for name in plain}


def test_a_plain_name_is_kept_by_the_one_that_has_it():
    assert canonical_names(["x:0", "x/", "x"]) == {"x:0": "x_2", "x/": "x_3", "x": "x"}


@pytest.mark.parametrize(
    ("text", "expected"), [("a b", "a-b"), ("...", "model"), ("été", "t"), ("a.b_c-1", "a.b_c-1"), ("(x)", "x")]
)
def test_a_task_name_can_be_part_of_a_file_name(text, expected):
    assert task_name(text) == expected


@pytest.mark.parametrize("free", ["N", None])
def test_a_free_length_at_the_batchs_place_is_the_batch(free):
    assert declared_shape(_tensor(free, 3), 0) == (Axis(), 3)
    assert declared_shape(_tensor(3, free), -1) == (3, Axis())
    assert declared_shape(_tensor(3, free), 1) == (3, Axis())


def test_fixed_lengths_stay_numbers():
    assert declared_shape(_tensor(4, 3), 0) == (4, 3)
    assert declared_shape(_tensor(), 0) == ()


@pytest.mark.parametrize(("dims", "batch_axis"), [(("N", "L"), 0), (("N", 3), None), ((3, None), 0), ((None,), 1)])
def test_another_free_length_is_asked_for_by_name(dims, batch_axis):
    with pytest.raises(SpecError, match=r'"my input": \["batch"') as caught:
        declared_shape(_tensor(*dims, name="my input"), batch_axis)
    assert caught.value.tensor == "my input"


def test_a_tensor_of_which_nothing_is_declared_is_asked_for():
    with pytest.raises(SpecError, match=r'give its shape, such as shapes=\{"x": \["batch", 128\]\}'):
        declared_shape(FileTensor(name="x", dtype="float32", dims=None), 0)


def test_a_given_shape_says_what_free_lengths_are():
    assert given_shape(_tensor("N", "M"), ["26*batch", 7]) == (Axis("batch", 26), 7)


@pytest.mark.parametrize("shape", [["batch", 4], ["batch"], ["2*batch", 3], [4, 3]])
def test_a_given_shape_that_contradicts_the_file_is_refused(shape):
    with pytest.raises(SpecError, match="contradicts") as caught:
        given_shape(_tensor(5, 3), shape)
    assert caught.value.tensor == "x"


def test_a_given_shape_may_call_a_fixed_length_the_batchs():
    assert given_shape(_tensor(52, 3), ["26*batch", 3]) == (Axis("batch", 26), 3)


def test_a_malformed_given_shape_is_refused():
    with pytest.raises(SpecError, match="no expression in batch"):
        given_shape(_tensor("N"), ["batch+1"])


@given(st.integers(1, 9), st.integers(0, 9), st.sampled_from([(2, 3), (1, 2), (3, 7)]))
def test_lengths_at_two_batch_sizes_tell_what_grows(times, fixed, sizes):
    seen = {size: (fixed, times * size) for size in sizes}
    assert grown_shape(seen) == (fixed, Axis("batch", times))


@pytest.mark.parametrize(("small", "large"), [((3,), (4,)), ((2,), (2, 1)), ((4,), (9,)), ((6,), (2,))])
def test_lengths_that_grow_otherwise_are_not_known(small, large):
    assert grown_shape({2: small, 3: large}) is None
