"""Entries of the cache appear whole, are made once, and are never believed unseen."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from bytemlperf.artifact import digest_of
from bytemlperf.errors import ArtifactError, ConversionError
from bytemlperf.fetch import cache_dir, clear, items, kept, kept_by_content, verify
from bytemlperf.fetch.cache import locked
from bytemlperf.fetch.digests import BELIEVED_FROM_BYTES, remembered
from bytemlperf.fetch.entry import Record


def _write(text):
    return lambda path: path.write_text(text)


def test_the_argument_wins_over_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("BYTEMLPERF_CACHE", "/elsewhere")
    assert cache_dir(tmp_path) == tmp_path


def test_the_environment_is_read_when_called(monkeypatch, tmp_path):
    monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path / "one"))
    assert cache_dir() == tmp_path / "one"
    monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path / "two"))
    assert cache_dir() == tmp_path / "two"


@pytest.mark.parametrize("value", [None, ""])
def test_the_cache_is_in_the_home_folder_by_default(monkeypatch, tmp_path, value):
    monkeypatch.delenv("BYTEMLPERF_CACHE", raising=False)
    if value is not None:
        monkeypatch.setenv("BYTEMLPERF_CACHE", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "bytemlperf"
    assert not any(tmp_path.iterdir())


def test_a_relative_folder_becomes_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cache_dir("here") == tmp_path / "here"


def test_without_a_home_the_error_names_the_variable(monkeypatch):
    monkeypatch.delenv("BYTEMLPERF_CACHE", raising=False)
    with pytest.raises(ArtifactError, match="set BYTEMLPERF_CACHE"):
        cache_dir("~nobody-of-this-name/cache")


def test_an_entry_is_made_once_and_then_read(tmp_path):
    calls = []

    def make(path):
        calls.append(path)
        path.write_text("content")

    first, second = kept(tmp_path / "a", "x.txt", make), kept(tmp_path / "a", "x.txt", make)
    assert first == second
    assert first.path == tmp_path / "a" / "x.txt"
    assert first.sha256 == digest_of(first.path)
    assert len(calls) == 1


def test_an_entry_may_be_a_folder(tmp_path):
    def make(path):
        (path / "variables").mkdir(parents=True)
        (path / "variables" / "data").write_bytes(b"1")

    assert kept(tmp_path / "a", "model", make).sha256 == digest_of(tmp_path / "a" / "model")


def _damage_content(folder):
    (folder / "x.txt").write_text("damage!")


def _truncate(folder):
    (folder / "x.txt").write_text("")


def _lose_content(folder):
    (folder / "x.txt").unlink()


def _damage_record(folder):
    (folder / ".entry.json").write_text("{")


def _strange_record(folder):
    (folder / ".entry.json").write_text("[1]")


def _lose_record(folder):
    (folder / ".entry.json").unlink()


@pytest.mark.parametrize(
    "damage", [_damage_content, _truncate, _lose_content, _damage_record, _strange_record, _lose_record]
)
def test_a_damaged_entry_is_made_anew(tmp_path, caplog, damage):
    whole = kept(tmp_path / "a", "x.txt", _write("content"))
    damage(tmp_path / "a")
    again = kept(tmp_path / "a", "x.txt", _write("content"))
    assert again == whole
    assert again.path.read_text() == "content"
    assert "damaged" in caplog.text


def test_nothing_is_left_beside_the_entries(tmp_path):
    kept(tmp_path / "a", "x.txt", _write("content"))
    _damage_content(tmp_path / "a")
    kept(tmp_path / "a", "x.txt", _write("content"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.lock", "a"]


def test_an_error_while_making_passes_and_leaves_no_entry(tmp_path):
    def make(path):
        path.write_text("half")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        kept(tmp_path / "a", "x.txt", make)
    assert [path.name for path in tmp_path.iterdir()] == [".a.lock"]
    assert kept(tmp_path / "a", "x.txt", _write("whole")).path.read_text() == "whole"


def test_what_a_killed_maker_left_is_cleared_away(tmp_path):
    (tmp_path / ".a.dead.new").mkdir()
    (tmp_path / ".a.dead.new" / "x.txt").write_text("half")
    kept(tmp_path / "a", "x.txt", _write("whole"))
    assert not (tmp_path / ".a.dead.new").exists()


def test_many_threads_that_ask_at_once_get_one_entry(tmp_path):
    together = threading.Barrier(8)
    makers = []

    def make(path):
        makers.append(threading.get_ident())
        path.write_text("content")

    def ask(_):
        together.wait()
        return kept(tmp_path / "a", "x.txt", make)

    with ThreadPoolExecutor(8) as pool:
        entries = set(pool.map(ask, range(8)))
    assert len(entries) == 1
    assert len(makers) == 1


def _ask_from_a_process(folder, start, log):
    start.wait(30)

    def make(path):
        with Path(log).open("a") as file:
            file.write("made\n")
        path.write_text("content")

    kept(Path(folder) / "a", "x.txt", make)


def test_many_processes_that_ask_at_once_make_one_entry(tmp_path):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(3)
    log = tmp_path / "log"
    asking = [
        context.Process(target=_ask_from_a_process, args=(str(tmp_path / "cache"), start, str(log))) for _ in range(3)
    ]
    for process in asking:
        process.start()
    for process in asking:
        process.join(60)
    assert [process.exitcode for process in asking] == [0, 0, 0]
    assert log.read_text() == "made\n"


def test_a_folder_that_cannot_be_written_is_told_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArtifactError, match="BYTEMLPERF_CACHE") as caught:
        kept(tmp_path / "file" / "a", "x.txt", _write("content"))
    assert caught.value.where == str(tmp_path / "file" / "a")


def test_a_full_disk_is_told_as_such(tmp_path):
    def make(path):
        raise OSError(28, "No space left on device")

    with pytest.raises(ArtifactError, match="No space left"):
        kept(tmp_path / "a", "x.txt", make)


def _write_both(path, beside=b"weights"):
    path.write_bytes(b"graph")
    path.with_name(path.name + ".data").write_bytes(beside)


def test_files_beside_the_one_asked_for_belong_to_it(tmp_path):
    one = kept(tmp_path / "a", "m", _write_both)
    other = kept(tmp_path / "b", "m", lambda path: _write_both(path, b"others"))
    assert one.path.read_bytes() == b"graph"
    assert one.sha256 != other.sha256
    copy = tmp_path / "copy"
    copy.mkdir()
    _write_both(copy / "m")
    assert one.sha256 == digest_of(copy)


@pytest.mark.parametrize("change", ["damage", "lose", "add"])
def test_what_changed_beside_the_one_asked_for_is_noticed(tmp_path, change):
    kept(tmp_path / "a", "m", _write_both)
    data = tmp_path / "a" / "m.data"
    {
        "damage": lambda: data.write_bytes(b"weighty"),
        "lose": data.unlink,
        "add": (tmp_path / "a" / "more").touch,
    }[change]()
    kept(tmp_path / "a", "m", _write_both)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [".entry.json", "m", "m.data"]
    assert data.read_bytes() == b"weights"


def test_what_nothing_tells_beforehand_is_made_each_time_and_kept_once(tmp_path):
    calls = []

    def make(path):
        calls.append(path)
        path.write_text("content")

    first, again = (kept_by_content(tmp_path, "m", make) for _ in range(2))
    assert len(calls) == 2
    assert first == again
    assert first.path == tmp_path / first.sha256 / "m"
    assert kept_by_content(tmp_path, "m", _write("other")).path != first.path
    assert not list(tmp_path.glob("*.new"))


def test_those_who_make_the_same_at_once_get_one_entry(tmp_path):
    together = threading.Barrier(4)

    def make(path):
        together.wait()
        path.write_bytes(b"x" * 100_000)

    with ThreadPoolExecutor(4) as pool:
        entries = set(pool.map(lambda _: kept_by_content(tmp_path, "m", make), range(4)))
    assert len(entries) == 1


def test_the_error_is_of_the_kind_that_was_asked_for(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConversionError, match="cannot be written"):
        kept(tmp_path / "file" / "a", "m", _write("x"), failing=ConversionError)


def _large(path):
    """A file that takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(BELIEVED_FROM_BYTES)


def test_a_large_file_is_read_once_and_believed_while_nothing_touches_it(tmp_path):
    entry = kept(tmp_path / "random" / "a", "m", _large)
    record = Record.read(tmp_path / "random" / "a")
    told = attrs.evolve(record.files["m"], sha256="0" * 64)  # what is believed shows by a digest that is wrong
    attrs.evolve(record, files={"m": told}).write(tmp_path / "random" / "a")
    assert kept(tmp_path / "random" / "a", "m", _large).sha256 == "0" * 64
    assert list(verify(tmp_path)) == [tmp_path / "random" / "a"]
    os.utime(entry.path)
    assert kept(tmp_path / "random" / "a", "m", _large).sha256 == entry.sha256


def test_the_digest_of_a_large_file_elsewhere_is_remembered(tmp_path):
    file = tmp_path / "mine.safetensors"
    _large(file)
    first = remembered(file, cache=tmp_path / "cache")
    (record,) = (tmp_path / "cache" / "digests").iterdir()
    record.write_text(record.read_text().replace(first.sha256, "0" * 64))
    assert remembered(file, cache=tmp_path / "cache").sha256 == "0" * 64
    assert remembered(file, cache=tmp_path / "cache", anew=True) == first
    with file.open("r+b") as opened:
        opened.write(b"other")
    assert remembered(file, cache=tmp_path / "cache").sha256 == digest_of(file)


def test_small_files_leave_no_digests(tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    assert remembered(tmp_path / "x", cache=tmp_path / "cache").sha256 == digest_of(tmp_path / "x")
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def stocked(tmp_path):
    """A cache with an export of three months ago and random weights of today."""
    kept(tmp_path / "converted" / "a", "m", _write("graph"), about={"model": "resnet50-onnx-fp32"})
    kept(tmp_path / "random" / "b", "m", _write("weights"), about={"model": "bert-torch-fp32"})
    old = (dt.datetime.now(dt.UTC) - dt.timedelta(days=90)).timestamp()
    os.utime(tmp_path / "converted" / "a" / ".entry.json", (old, old))
    return tmp_path


def test_what_the_cache_holds_is_listed(stocked):
    old, new = items(stocked)
    assert (old.kind, old.name, old.size_bytes) == ("converted", "resnet50-onnx-fp32", 5)
    assert (new.kind, new.name, new.size_bytes) == ("random", "bert-torch-fp32", 7)
    assert 89 < (dt.datetime.now(dt.UTC) - old.used_utc).days < 91
    assert new.about["sha256"] == digest_of(new.path / "m")


@pytest.mark.parametrize(
    ("which", "gone"),
    [
        ({}, {"resnet50-onnx-fp32", "bert-torch-fp32"}),
        ({"kinds": ["random"]}, {"bert-torch-fp32"}),
        ({"model": "resnet50"}, {"resnet50-onnx-fp32"}),
        ({"unused_for": dt.timedelta(days=30)}, {"resnet50-onnx-fp32"}),
        ({"unused_for": dt.timedelta(days=30), "kinds": ["random"]}, set()),
    ],
)
def test_the_cache_is_cleared_by_kind_model_and_age(stocked, which, gone):
    assert {item.name for item in clear(stocked, **which)} == gone
    assert {item.name for item in items(stocked)} == {"resnet50-onnx-fp32", "bert-torch-fp32"} - gone


def test_reading_an_entry_makes_it_young_again(stocked):
    kept(stocked / "converted" / "a", "m", _write("graph"))
    assert clear(stocked, unused_for=dt.timedelta(days=30)) == ()


def test_what_somebody_is_making_is_not_cleared(stocked):
    with locked(stocked / "random" / "b"):
        assert {item.name for item in clear(stocked)} == {"resnet50-onnx-fp32"}


def test_what_a_killed_maker_left_is_listed_and_cleared(tmp_path):
    left = tmp_path / "converted" / ".a.dead.new"
    left.mkdir(parents=True)
    (left / "m").write_text("half")
    (item,) = items(tmp_path)
    assert (item.kind, item.size_bytes) == ("partial", 4)
    clear(tmp_path)
    assert not left.exists()


def test_a_damaged_cache_is_verified(stocked):
    assert verify(stocked) == {}
    (stocked / "random" / "b" / "m").write_text("damaged")
    (stocked / "converted" / "a" / ".entry.json").write_text("{")
    assert set(verify(stocked)) == {stocked / "random" / "b", stocked / "converted" / "a"}
    assert len(items(stocked)) == 2


def test_a_cache_that_is_not_there_holds_nothing(tmp_path):
    assert items(tmp_path / "none") == ()
    assert verify(tmp_path / "none") == {}
