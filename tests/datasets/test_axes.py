from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.datasets.axes import join_samples, sample_shape, split_samples
from bytemlperf.errors import SpecError

CASES = [
    (("batch", 3, 4), (1, 3, 4)),
    (("26*batch", 2), (26, 2)),
    ((5, "batch", 2), (1, 5, 2)),
    ((5, "3*batch"), (3, 5)),
    (("batch",), (1,)),
]


@pytest.mark.parametrize(("shape", "one"), CASES)
def test_samples_are_joined_in_the_models_axes_and_split_again(tensor, rng, shape, one):
    spec = tensor("x", shape)
    rows = rng.standard_normal((4, *one))
    joined = join_samples(rows, spec)
    assert sample_shape(spec) == one
    assert joined.shape == spec.sized(4)
    assert joined.flags.c_contiguous
    np.testing.assert_array_equal(split_samples(joined, spec, samples=4), rows)


def test_the_rows_of_a_sample_stay_together(tensor):
    rows = np.arange(4).reshape(2, 2, 1)
    assert join_samples(rows, tensor("x", ("2*batch", 1))).tolist() == [[0], [1], [2], [3]]


def test_a_batch_axis_in_the_middle_takes_the_samples(tensor):
    rows = np.array([[1, 2, 3], [4, 5, 6]])
    assert join_samples(rows, tensor("x", (3, "batch"))).tolist() == [[1, 4], [2, 5], [3, 6]]


@pytest.mark.parametrize("shape", [(3, 4), ("batch", "batch")])
def test_an_input_needs_a_single_batch_axis(tensor, shape):
    with pytest.raises(SpecError, match="tensor 'x' has no single batch axis"):
        sample_shape(tensor("x", shape))
