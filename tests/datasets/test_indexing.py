from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.datasets.indexing import positions
from bytemlperf.errors import DatasetError


@pytest.mark.parametrize("indices", [[0, 2, 2], range(3), np.array([1], np.uint8), (), np.arange(3)])
def test_indices_within_the_data_come_back_in_their_order(indices):
    found = positions(indices, total=3, dataset="d")
    assert found.tolist() == list(indices)
    assert found.dtype == np.int64


@pytest.mark.parametrize(("indices", "wrong"), [([0, 3], 3), ([-1], -1)])
def test_an_index_outside_the_data_is_named(indices, wrong):
    with pytest.raises(DatasetError, match="'d' has no such sample") as caught:
        positions(indices, total=3, dataset="d")
    assert caught.value.got == wrong
    assert caught.value.expected == "an index from 0 to 2"


@pytest.mark.parametrize("indices", [[0.0, 1.0], [[0, 1]], [True, False], ["0"], 1])
def test_what_is_no_list_of_whole_numbers_is_refused(indices):
    with pytest.raises(DatasetError, match="no list of whole numbers"):
        positions(indices, total=3, dataset="d")
