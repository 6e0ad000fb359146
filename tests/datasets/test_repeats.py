from __future__ import annotations

from bytemlperf.datasets.repeats import Repeats, name_digests, repeated_digests


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
    kept = [each for part in repeats._sorted for each in part]
    assert sum(each.nbytes for each in kept) == 8 * 50_000
    assert max(map(len, kept)) < 2_000  # so that sorting one part anew copies little


def test_names_that_come_twice_are_found_in_a_file(tmp_path, rng):
    names = [f"n{number}" for number in rng.permutation(70_000)]
    for repeated in ([], [names[7]], [names[3], names[3], names[-1]]):
        blocks = [names[:40_000], [], names[40_000:], repeated]
        found = repeated_digests(tmp_path / "digests", blocks)
        assert found.tolist() == sorted(name_digests(sorted(set(repeated))).tolist())
        assert not (tmp_path / "digests").exists()
    assert repeated_digests(tmp_path / "digests", []).tolist() == []
