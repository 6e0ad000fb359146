from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.datasets.checking import check_names, checked
from bytemlperf.errors import DatasetError


@pytest.mark.parametrize("names", [(), ("a",), ("a", "b", "c"), ("a", "B")])
def test_arrays_that_are_not_one_for_each_input_are_refused(tensor, names):
    inputs = [tensor("a", ("batch",)), tensor("b", ("batch",))]
    with pytest.raises(DatasetError, match=r"'d' does not give the model's inputs; got \[.*\]; expected .*'a', 'b'"):
        check_names(dict.fromkeys(names, np.zeros(1)), inputs, dataset="d")


def test_arrays_may_come_in_any_order(tensor):
    check_names({"b": np.zeros(1), "a": np.zeros(1)}, [tensor("a", ()), tensor("b", ())], dataset="d")


@pytest.mark.parametrize(
    ("array", "shape", "dtype", "problem"),
    [
        (np.zeros((3, 2), np.float32), ("batch", 2), "float32", "another shape"),
        (np.zeros((2, 3), np.float32), ("batch", 2), "float32", "another shape"),
        (np.zeros(2, np.float32), ("batch", 2), "float32", "another shape"),
        ([[0.0, 0.0], [0.0, 0.0]], ("batch", 2), "float32", "another shape; got 'list'"),
        (np.zeros((2, 2), np.uint8), ("batch", 2), "float32", "another kind; got 'uint8'"),
        (np.zeros((2, 2), np.float32), ("batch", 2), "int64", "another kind; got 'float32'"),
        (np.zeros((2, 2), "U1"), ("batch", 2), "int64", "another kind"),
        (np.full((2, 2), 1e39), ("batch", 2), "float32", "does not fit its dtype"),
        (np.full((2, 2), 2**31), ("batch", 2), "int32", "does not fit its dtype"),
        (np.full((2, 2), 2), ("batch", 2), "bool", "does not fit its dtype"),
    ],
)
def test_what_the_model_does_not_say_is_refused_and_named(tensor, array, shape, dtype, problem):
    with pytest.raises(DatasetError, match=rf"input 'x' of data set 'd' (has|is|lies)?.*{problem}") as caught:
        checked(array, tensor("x", shape, dtype), samples=2, dataset="d")
    assert caught.value.tensor == "x"
    assert caught.value.expected


@pytest.mark.parametrize(("value", "inside"), [(-1, False), (0, True), (9, True), (10, False)])
def test_ids_lie_within_the_vocabulary(tensor, value, inside):
    spec = tensor("ids", ("batch", 2), "int64", high=10)
    array = np.array([[0, value], [5, 5]])
    if inside:
        assert checked(array, spec, samples=2, dataset="d") is array
        return
    with pytest.raises(DatasetError, match="outside its vocabulary") as caught:
        checked(array, spec, samples=2, dataset="d")
    assert caught.value.got == value


def test_a_wider_type_of_the_same_kind_becomes_the_models(tensor):
    found = checked(np.array([[0.1, 0.2]]), tensor("x", ("batch", 2)), samples=1, dataset="d")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([[0.1, 0.2]], np.float32))


def test_a_truth_mask_becomes_whole_numbers(tensor):
    found = checked(np.array([[True, False]]), tensor("mask", ("batch", 2), "int64"), samples=1, dataset="d")
    assert (found.dtype, found.tolist()) == (np.int64, [[1, 0]])


def test_an_array_of_the_right_type_is_not_copied(tensor):
    array = np.zeros((3, 2), np.float32)
    assert checked(array, tensor("x", ("batch", 2)), samples=3, dataset="d") is array
