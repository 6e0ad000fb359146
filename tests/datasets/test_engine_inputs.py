from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bytemlperf.datasets.engine_inputs import axis_order, match_inputs
from bytemlperf.errors import InputMismatchError, SpecError
from bytemlperf.spec import Axis

BATCH = Axis()


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5, unique=True).flatmap(st.permutations), st.data())
def test_lengths_that_all_differ_tell_any_order(lengths, data):
    model = (BATCH, *lengths)
    order = tuple(data.draw(st.permutations(range(len(model)))))
    assert axis_order(model, tuple(model[axis] for axis in order)) == order


@settings(deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data())
def test_an_order_that_is_taken_gives_the_engines_shape(lengths, data):
    model = (BATCH, *lengths)
    engine = tuple(data.draw(st.permutations(model)))
    order = axis_order(model, engine)
    if order is not None:
        assert tuple(model[axis] for axis in order) == engine
        assert sorted(order) == list(range(len(model)))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (224, 224), (224, 300)])
def test_channels_move_to_the_end_and_back(height, width):
    first, last = (BATCH, 3, height, width), (BATCH, height, width, 3)
    images = np.arange(2 * 3 * height * width).reshape(2, 3, height, width)
    np.testing.assert_array_equal(images.transpose(axis_order(first, last)), np.moveaxis(images, 1, -1))
    assert axis_order(last, first) == (0, 3, 1, 2)


@pytest.mark.parametrize(
    ("model", "engine"),
    [
        ((BATCH, 8, 8, 3), (BATCH, 8, 3, 8)),  # height or width may have gone to the end
        ((BATCH, 3, 224, 224), (BATCH, 3, 224)),
        ((BATCH, 3, 224, 224), (BATCH, 3, 224, 225)),
        ((BATCH, 3, 224, 224), (4, 3, 224, 224)),
        ((Axis("batch", 26), 2), (Axis("batch", 13), 4)),
        ((BATCH, 2, 2, 3, 3), (BATCH, 3, 3, 2, 2)),  # needs two moves
    ],
)
def test_an_order_that_could_be_another_is_refused(model, engine):
    assert axis_order(model, engine) is None


def test_equal_shapes_keep_their_order_whatever_the_lengths():
    for lengths in itertools.product((1, 3), repeat=3):
        assert axis_order((BATCH, *lengths), (BATCH, *lengths)) == (0, 1, 2, 3)


def test_inputs_are_matched_by_name_and_keep_the_models_order(tensor):
    model = (tensor("a", ("batch", 2)), tensor("b", ("batch", 3)))
    engine = (tensor("b", ("batch", 3), "float16"), tensor("a", ("batch", 2), "int32"))
    matched = match_inputs(model, engine)
    assert [(each.model.name, each.engine.name, each.engine.dtype) for each in matched] == [
        ("a", "a", "int32"),
        ("b", "b", "float16"),
    ]


def test_without_engine_inputs_the_models_own_are_taken(tensor):
    model = (tensor("a", ("batch", 2)),)
    assert match_inputs(model, None)[0].engine is model[0]


@pytest.mark.parametrize("names", [("a",), ("a", "c"), ("a", "b", "c")])
def test_other_names_are_refused_and_both_sides_told(tensor, names):
    model = (tensor("a", ("batch",)), tensor("b", ("batch",)))
    with pytest.raises(InputMismatchError, match=r"got \[.*\]; expected the names \['a', 'b'\]"):
        match_inputs(model, [tensor(name, ("batch",)) for name in names])


def test_axes_that_cannot_be_matched_name_the_tensor(tensor):
    with pytest.raises(InputMismatchError, match="input 'a' are no unmistakable order") as caught:
        match_inputs([tensor("a", ("batch", 2))], [tensor("a", ("batch", 3))])
    assert caught.value.tensor == "a"


def test_an_engine_dtype_without_arrays_is_refused(tensor):
    with pytest.raises(SpecError, match="float8"):
        match_inputs([tensor("a", ("batch", 2))], [tensor("a", ("batch", 2), "float8")])
