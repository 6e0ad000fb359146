from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.datasets.listed_files import LabelledFile, ListedFiles, add_files, write_turns


@pytest.fixture(name="files")
def _files():
    return [
        LabelledFile(name=f"n{number % 7}/é {number}.jpg", label=number % 7, size_bytes=2**33 + number, offset=offset)
        for number, offset in enumerate([None, 2**40, *[None] * 2_998])
    ]


def test_a_list_holds_what_was_written(tmp_path, files):
    assert add_files(tmp_path, files[:1_500]) + add_files(tmp_path, files[1_500:]) == 3_000
    listed = ListedFiles(tmp_path)
    assert len(listed) == 3_000
    assert list(listed) == files
    assert [listed[1], listed[-1], *listed[5:8], *listed.of([2_999, 0])] == [
        files[1], files[-1], *files[5:8], files[2_999], files[0],
    ]  # fmt: skip
    with pytest.raises(IndexError):
        listed[3_000]


def test_some_may_be_left_out_twice(tmp_path, files):
    add_files(tmp_path, files)
    some = ListedFiles(tmp_path).without({0, 5}).without([1])
    assert list(some) == [files[1], *files[3:5], *files[6:]]


@pytest.mark.parametrize("counts", [[3, 0, 2, 4], [1], [0, 0], [1, 700, 3], [2] * 1_100])
def test_groups_take_turns(tmp_path, counts):
    turns = np.random.default_rng(1).permutation(len(counts))
    groups = [[f"{group}/{rank}" for rank in range(count)] for group, count in enumerate(counts)]
    add_files(tmp_path, (LabelledFile(name=name, label=0, size_bytes=1) for group in groups for name in group))
    write_turns(tmp_path, np.array(counts), turns)
    expected = [groups[group][rank] for rank in range(max(counts)) for group in turns if rank < counts[group]]
    assert [file.name for file in ListedFiles(tmp_path)] == expected


def test_a_list_of_none_is_one(tmp_path):
    assert add_files(tmp_path, []) == 0
    assert list(ListedFiles(tmp_path)) == []
