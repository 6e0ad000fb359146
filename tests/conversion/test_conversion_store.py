"""A kept file is believed only while it is what was made, and is never seen half written."""

from __future__ import annotations

import threading

import pytest

from bytemlperf.artifact import digest_of
from bytemlperf.conversion.store import RECORD, stored
from bytemlperf.errors import ConversionError


class Writer:
    """Writes a file and counts how often."""

    def __init__(self, content: bytes = b"graph", beside: bytes | None = None) -> None:
        self.content, self.beside, self.calls = content, beside, 0

    def __call__(self, path) -> None:
        self.calls += 1
        path.write_bytes(self.content)
        if self.beside is not None:
            path.with_name(path.name + ".data").write_bytes(self.beside)


def test_a_file_is_made_once(tmp_path):
    write = Writer()
    first = stored(tmp_path / "store", "key", "model.onnx", write)
    again = stored(tmp_path / "store", "key", "model.onnx", write)
    assert write.calls == 1
    assert first == again
    assert first.path.read_bytes() == b"graph"
    assert first.sha256 == digest_of(first.path)


def test_another_key_is_another_file(tmp_path):
    write = Writer()
    assert stored(tmp_path, "a", "m", write).path != stored(tmp_path, "b", "m", write).path
    assert write.calls == 2


def test_without_a_key_the_file_is_made_every_time_and_kept_once(tmp_path):
    write = Writer()
    first, again = (stored(tmp_path, None, "m", write) for _ in range(2))
    assert write.calls == 2
    assert first == again
    assert stored(tmp_path, None, "m", Writer(b"other")).path != first.path


def test_data_beside_the_file_counts_in_its_digest(tmp_path):
    first = stored(tmp_path, "a", "m", Writer(beside=b"1"))
    other = stored(tmp_path, "b", "m", Writer(beside=b"2"))
    assert first.sha256 != other.sha256
    assert first.sha256 == digest_of(first.path.parent)


@pytest.mark.parametrize("name", ["m", "m.data", "record"])
def test_what_was_damaged_is_made_anew(tmp_path, name):
    write = Writer(beside=b"weights")
    first = stored(tmp_path, "key", "m", write)
    damaged = tmp_path / "key" / RECORD if name == "record" else first.path.with_name(name)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    again = stored(tmp_path, "key", "m", write)
    assert write.calls == 2
    assert again == first
    assert stored(tmp_path, "key", "m", write).path.read_bytes() == b"graph"
    assert write.calls == 2


@pytest.mark.parametrize("gone", ["model/m", "record.json"])
def test_what_is_missing_is_made_anew(tmp_path, gone):
    write = Writer()
    stored(tmp_path, "key", "m", write)
    (tmp_path / "key" / gone).unlink()
    assert stored(tmp_path, "key", "m", write).path.read_bytes() == b"graph"
    assert write.calls == 2


def test_a_failed_making_leaves_nothing(tmp_path):
    def fail(path) -> None:
        path.write_bytes(b"half")
        raise ConversionError("no")

    with pytest.raises(ConversionError, match="no"):
        stored(tmp_path, "key", "m", fail)
    assert not list(tmp_path.iterdir())


def test_those_who_come_together_get_the_same_whole_file(tmp_path):
    everyone = threading.Barrier(4)
    found = []

    def write(path) -> None:
        everyone.wait()
        path.write_bytes(b"x" * 100_000)

    threads = [threading.Thread(target=lambda: found.append(stored(tmp_path, "key", "m", write))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "store").write_text("a file")
    with pytest.raises(ConversionError, match="cannot be kept") as caught:
        stored(tmp_path / "store", "key", "m", Writer())
    assert caught.value.where == str(tmp_path / "store")
