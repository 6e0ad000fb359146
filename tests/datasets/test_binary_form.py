from __future__ import annotations

import pytest

from bytemlperf.datasets.binary_form import binary_form, content_digest, listing, read_skipped, write_skipped
from bytemlperf.errors import DatasetError
from bytemlperf.fetch import Kind, clear, items, verify


def writer(text, made):
    def make(folder):
        made.append(text)
        (folder / "text").write_text(text)
        write_skipped(folder, [f"no {text}"])

    return make


def test_a_form_is_made_once_for_each_key(tmp_path):
    made = []
    one = binary_form("data", writer("one", made), key=("v1", 2), cache=tmp_path)
    again = binary_form("data", writer("again", made), key=("v1", 2), cache=tmp_path)
    other = binary_form("data", writer("other", made), key=("v1", 3), cache=tmp_path)
    assert (made, one, one.path == other.path) == (["one", "other"], again, False)
    assert (again.path / "text").read_text() == "one"
    assert read_skipped(other.path) == ("no other",)


def test_a_form_that_fails_leaves_nothing_and_is_made_the_next_time(tmp_path):
    def failing(folder):
        (folder / "text").write_text("half")
        raise DatasetError("damaged")

    made = []
    with pytest.raises(DatasetError, match="damaged"):
        binary_form("data", failing, key=("v1",), cache=tmp_path)
    entry = binary_form("data", writer("whole", made), key=("v1",), cache=tmp_path)
    assert (entry.path / "text").read_text() == "whole"


def test_a_form_that_was_damaged_is_made_anew(tmp_path, caplog):
    made = []
    entry = binary_form("data", writer("one", made), key=("v1",), cache=tmp_path)
    (entry.path / "text").write_text("two")
    assert binary_form("data", writer("one", made), key=("v1",), cache=tmp_path) == entry
    assert (len(made), (entry.path / "text").read_text()) == (2, "one")
    assert "damaged" in caplog.text


def test_a_listing_is_made_each_time_and_kept_by_what_it_holds(tmp_path):
    made = []
    first, same, other = (listing("data", writer(text, made), cache=tmp_path) for text in ("a", "a", "b"))
    assert (made, first == same, first.path == other.path) == (["a", "a", "b"], True, False)


def test_the_cache_tells_what_was_made_of_data(tmp_path):
    entry = binary_form("squad-1.1", writer("one", []), key=("v1",), cache=tmp_path)
    (item,) = items(tmp_path)
    assert (item.kind, item.name, item.path) == (Kind.DATASETS, "squad-1.1", entry.path.parent)
    assert verify(tmp_path) == {}
    (entry.path / "text").write_text("changed")
    assert list(verify(tmp_path)) == [item.path]
    assert clear(tmp_path, kinds=["datasets"]) == (item,)
    assert items(tmp_path) == ()


def test_a_file_that_cannot_be_read_has_no_digest(tmp_path):
    (tmp_path / "a").write_text("a")
    assert len(content_digest(tmp_path / "a", cache=tmp_path)) == 64
    with pytest.raises(DatasetError, match="a file cannot be read"):
        content_digest(tmp_path / "none", cache=tmp_path)
