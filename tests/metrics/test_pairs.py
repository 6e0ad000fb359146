import numpy as np
import pytest

from bytemlperf.errors import MalformedOutputError, SpecError
from bytemlperf.metrics.pairs import masked, matched
from bytemlperf.spec import TensorSpec

SPEC = TensorSpec(name="y", shape=("batch", 3, 2), dtype="fp32", valid="mask")


def pair(shape=(2, 3, 2)):
    (found,) = matched({"y": np.zeros(shape)}, {"y": np.zeros(shape)}, ["y"])
    return found


def test_outputs_are_paired_by_name_in_the_order_of_the_specs():
    outputs = {"b": np.zeros(1), "a": np.ones(1)}
    pairs = matched(outputs, {"a": np.ones(1), "b": np.zeros(1)}, ["a", "b"])
    assert [(each.name, each.output[0], each.reference[0]) for each in pairs] == [("a", 1, 1), ("b", 0, 0)]


def test_arrays_are_not_copied():
    array = np.zeros((2, 2), np.float16)
    assert matched({"y": array}, {"y": array}, ["y"])[0].output is array


@pytest.mark.parametrize(
    ("outputs", "message", "tensor"),
    [
        ({"a": np.zeros(2)}, "no output 'b'; got .*'a'.*; expected exactly 'a', 'b'", "b"),
        ({"a": np.zeros(2), "b": np.zeros(2), "c": np.zeros(2)}, "outputs of no spec; got .*'c'", "c"),
        ({"a": np.zeros(2), "b": np.zeros((2, 1))}, r"'b' has another shape .*; got \(2, 1\); expected \(2,\)", "b"),
        ({"a": np.zeros(2), "b": np.zeros(2, complex)}, "'b' is no array of real numbers; got dtype", "b"),
        ({"a": np.zeros(2), "b": np.array(["x", "y"])}, "'b' is no array of real numbers", "b"),
        ({"a": np.zeros(2), "b": np.zeros(2, "V3")}, "'b' is no array of real numbers", "b"),
        ({"a": np.zeros(2), "b": [0.0, 0.0]}, "'b' is no array of real numbers; got <class 'list'>", "b"),
        ({"a": np.zeros(2), "b": None}, "'b' is no array of real numbers; got <class 'NoneType'>", "b"),
    ],
)
def test_malformed_outputs_are_named(outputs, message, tensor):
    reference = {"a": np.zeros(2), "b": np.zeros(2)}
    with pytest.raises(MalformedOutputError, match=message) as caught:
        matched(outputs, reference, ["a", "b"])
    assert caught.value.tensor == tensor


@pytest.mark.parametrize("reference", [{}, {"y": np.zeros(2), "z": np.zeros(2)}, {"y": np.array([None, None])}])
def test_a_wrong_reference_is_no_fault_of_the_backend(reference):
    with pytest.raises(SpecError, match="the reference "):
        matched({"y": np.zeros(2)}, reference, ["y"])


def test_a_mask_covers_what_lies_behind_its_positions():
    mask = np.array([[1, 1, 0], [7, 0, 0]])
    counts = masked(pair(), SPEC, {"mask": mask}).counts
    assert counts.shape == (2, 3, 2)
    assert counts.sum(axis=2).tolist() == [[2, 2, 0], [2, 0, 0]]


def test_a_spec_without_a_mask_counts_every_position():
    spec = TensorSpec(name="y", shape=("batch", 3, 2), dtype="fp32")
    assert masked(pair(), spec, {"mask": np.zeros((2, 3))}).counts is None


def test_a_missing_mask_is_asked_for():
    with pytest.raises(SpecError, match=r"mask of the output 'y' is missing \(at \$.valid.mask\); give the input"):
        masked(pair(), SPEC, {"other": np.ones((2, 3))})


@pytest.mark.parametrize("shape", [(2, 4), (3,), (2, 3, 2, 1)])
def test_a_mask_that_does_not_fit_is_refused(shape):
    with pytest.raises(SpecError, match="does not fit the output 'y'"):
        masked(pair(), SPEC, {"mask": np.ones(shape)})
