"""What many files hold: read once, and again when anything has touched them."""

from __future__ import annotations

import hashlib
import os

import pytest

from bytemlperf.datasets import contents
from bytemlperf.datasets.contents import content_of_files, content_of_members
from bytemlperf.errors import DatasetError, DatasetUnavailableError


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path / "cache"))
    made = [tmp_path / name for name in ("a", "b", "c")]
    for path in made:
        path.write_bytes(path.name.encode() * 1000)
    return made


def replaced_in_place(path, content):
    """Other bytes of the same number, with the time of writing that the file had."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_the_digest_is_that_of_all_contents_in_order(paths):
    each = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert content_of_files(paths) == hashlib.sha256("\n".join(each).encode()).hexdigest()
    assert content_of_files(paths[::-1]) != content_of_files(paths)
    assert content_of_files(paths, workers=3) == content_of_files(paths)


def test_a_file_of_the_same_size_and_time_is_noticed(paths):
    first = content_of_files(paths)
    replaced_in_place(paths[1], b"x" * 1000)
    assert content_of_files(paths) != first
    replaced_in_place(paths[1], b"b" * 1000)
    assert content_of_files(paths) == first


def test_what_nothing_has_touched_is_read_once(tmp_path, paths):
    read = []

    def sha256(name):
        read.append(name)
        return name

    for _ in range(3):
        content_of_members(paths[0], ["p", "q"], sha256)
    assert read == ["p", "q"]
    content_of_members(paths[0], ["p"], sha256)
    paths[0].write_bytes(b"another archive")
    content_of_members(paths[0], ["p", "q"], sha256)
    assert read == ["p", "q", "p", "p", "q"]


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, paths, monkeypatch, caplog):
    first = content_of_files(paths)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path / "file"))
    assert content_of_files(paths) == first
    assert "read in every run" in caplog.text


def test_a_missing_or_unreadable_file_is_named(tmp_path, paths):
    with pytest.raises(DatasetUnavailableError, match="none"):
        content_of_files([*paths, tmp_path / "none"])
    with pytest.raises(DatasetError, match=str(tmp_path)):
        contents.sha256_of(tmp_path)
