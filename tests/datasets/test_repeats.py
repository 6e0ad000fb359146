from __future__ import annotations

import numpy as np

from bytemlperf.datasets.repeats import Repeats


def test_a_name_is_told_the_second_time_and_every_time_after(rng):
    names = [str(number) for number in rng.integers(0, 4_000, 10_000)]
    repeats, seen, start = Repeats(), set(), 0
    while start < len(names):
        block = names[start : start + int(rng.integers(0, 60))]
        expected = []
        for name in block:
            expected.append(name in seen)
            seen.add(name)
        assert repeats.among(block).tolist() == expected
        start += len(block)


def test_memory_is_some_bytes_a_name():
    repeats = Repeats()
    for start in range(0, 50_000, 500):
        repeats.among([f"a rather long name of a file {number}" for number in range(start, start + 500)])
    assert sum(each.nbytes for each in repeats._sorted) == 8 * 50_000
    assert np.all([(np.diff(each.astype(np.float64)) > 0).all() for each in repeats._sorted])
