from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.datasets.row_files import RaggedFile, RowFile, add_array, add_rows, add_texts
from bytemlperf.errors import DatasetError


def test_rows_may_be_asked_for_near_and_far_in_any_shape(tmp_path, rng):
    rows = rng.integers(0, 99, (1000, 3))
    add_array(tmp_path / "rows", rows[:400])
    add_array(tmp_path / "rows", rows[400:])
    file = RowFile(tmp_path / "rows", np.int64, (3,))
    assert len(file) == 1000
    for where in (
        np.array([7, 3, 3, 9]),
        np.array([999, 0]),
        np.arange(12).reshape(3, 4) * 80,
        slice(5, 5),
        slice(990),
    ):
        np.testing.assert_array_equal(file[where], rows[where])
    np.testing.assert_array_equal(np.concatenate(list(file.blocks(77))), rows)


def test_rows_may_lie_within_a_file(tmp_path):
    (tmp_path / "rows").write_bytes(b"head" + np.arange(6, dtype=np.int16).tobytes() + b"foot!")
    file = RowFile(tmp_path / "rows", np.int16, (2,), offset=4, length=3)
    assert file[0:3].tolist() == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(DatasetError, match="is cut off"):
        RowFile(tmp_path / "rows", np.int16, (2,), offset=4, length=9)
    with pytest.raises(DatasetError, match="is cut off"):
        RowFile(tmp_path / "rows", np.int16, (2,), offset=4)
    with pytest.raises(DatasetError, match="is cut off"):
        RowFile(tmp_path / "rows", np.int16, offset=400)


def test_a_file_that_is_cut_off_later_gives_no_fewer_rows(tmp_path):
    add_array(tmp_path / "rows", np.arange(100))
    file = RowFile(tmp_path / "rows", np.int64)
    (tmp_path / "rows").write_bytes(b"12345678")
    with pytest.raises(DatasetError, match="cut off"):
        file[0:2]


@pytest.mark.parametrize("spread", [1, 40_000])
def test_rows_of_different_lengths_keep_them(tmp_path, rng, spread):
    rows = [rng.integers(0, 9, int(length) * spread).astype(np.int32) for length in rng.integers(0, 5, 30)]
    add_rows(tmp_path / "rows", rows[:10], np.int32)
    add_rows(tmp_path / "rows", [], np.int32)
    add_rows(tmp_path / "rows", rows[10:], np.int32)
    file = RaggedFile(tmp_path / "rows", np.int32)
    assert len(file) == 30
    for chosen in ([29, 0, 7, 7], range(3, 12), []):
        found = file.rows(chosen)
        assert [each.tolist() for each in found] == [rows[number].tolist() for number in chosen]
    assert sum((len(block) for block in file.blocks(7)), 0) == 30


def test_texts_come_back_whatever_they_hold(tmp_path):
    texts = ["", "é北京😀", "a\x00b\n", "\ud800 alone"]
    add_texts(tmp_path / "texts", texts)
    assert RaggedFile(tmp_path / "texts", np.uint8).texts([3, 1, 0, 2]) == [texts[number] for number in (3, 1, 0, 2)]
