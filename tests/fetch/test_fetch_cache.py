"""Entries of the cache appear whole, are made once, and are never believed unseen."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bytemlperf.artifact import digest_of
from bytemlperf.errors import ArtifactError
from bytemlperf.fetch import cache_dir, kept


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
