"""Events by themselves: numbers, files that a killed process has left, disks that are full."""

from __future__ import annotations

import json

import pytest

from bytemlperf.evaluation.events import EventKind, Events, last_number


def _numbers(path):
    return [json.loads(line)["seq"] for line in path.read_text().splitlines()]


def test_what_was_told_before_there_was_a_file_comes_first(tmp_path):
    events = Events("key")
    events.tell(EventKind.JOB_STARTED)
    events.write_to(tmp_path / "events.jsonl")
    events.tell(EventKind.JOB_FINISHED)
    assert _numbers(tmp_path / "events.jsonl") == [1, 2]


def test_without_a_file_nothing_is_kept(tmp_path):
    heard = []
    events = Events("key", listener=heard.append)
    events.tell(EventKind.JOB_STARTED)
    events.write_to(None)
    events.tell(EventKind.JOB_FINISHED)
    assert [event.seq for event in heard] == [1, 2]
    assert events._unwritten is None


@pytest.mark.parametrize("left", ["", '{"seq": 7, "ti', "no event at all", '{"other": 1}\n{"se', "x" * 10_000])
def test_half_a_line_of_a_killed_process_is_no_event_and_spoils_none(tmp_path, left):
    path = tmp_path / "events.jsonl"
    path.write_text('{"seq": 5}\n{"seq": 6}\n' + left)
    assert last_number(path) == 6
    events = Events("key", after=last_number(path))
    events.write_to(path)
    events.tell(EventKind.JOB_STARTED)
    numbers = [json.loads(line).get("seq") for line in path.read_text().splitlines()]
    assert [number for number in numbers if number] == [5, 6, 7]


def test_a_file_of_one_half_line_is_begun_anew(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\xff" * 5000)
    assert last_number(path) == 0
    events = Events("key")
    events.write_to(path)
    events.tell(EventKind.JOB_STARTED)
    assert _numbers(path) == [1]


def test_what_cannot_be_written_is_kept_for_later(tmp_path, caplog):
    folder = tmp_path / "gone"
    events = Events("key")
    events.write_to(folder / "events.jsonl")
    events.tell(EventKind.JOB_STARTED)
    assert "1 events are not in events.jsonl yet" in caplog.text
    folder.mkdir()
    events.tell(EventKind.STEP_STARTED, "load")
    assert _numbers(folder / "events.jsonl") == [1, 2]
