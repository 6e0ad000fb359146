from __future__ import annotations

import json

import pytest

from bytemlperf.datasets.json_stream import JsonStream
from bytemlperf.errors import DatasetError


@pytest.fixture(name="stream")
def _stream(tmp_path):
    def opened(content):
        path = tmp_path / "a.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return JsonStream(path, layout="a layout")

    return opened


def walked(stream):
    """Go into everything, two levels deep."""
    found = {}
    for name in stream.members():
        found[name] = [stream.value() for _ in stream.items()] if stream.peek() == "[" else stream.value()
    stream.end()
    return found


@pytest.mark.parametrize("size", [1, 400, 70_000])
def test_what_is_read_piece_by_piece_is_what_is_read_whole(stream, size):
    content = {
        "text": 'é " ] } \\ 😀 \u2028' * size,
        "numbers": [*range(size), -1.5e-3, 0.0],
        "empty": [],
        "none": {},
        "records": [{"id": number, "deep": [[{"x": "]"}]], "nothing": None} for number in range(size)],
        "last": 12345678901234567890,
    }
    assert walked(stream(content)) == content
    assert walked(stream(json.dumps(content, indent=3, ensure_ascii=False))) == content


def test_what_is_not_asked_for_is_left_out(stream):
    content = {"a": [1, {"b": 2}], "c": {"d": []}, "e": 5}
    read = stream(content)
    assert [(name, read.value()) for name in read.members() if name == "e"] == [("e", 5)]
    read = stream([1, [2], 3])
    assert [read.value() for number in read.items() if number != 1] == [1, 3]


@pytest.mark.parametrize(
    "content",
    ["", " ", "{", '{"a"', '{"a": ', '{"a": [1, 2', '{"a": [1 2]}', '{"a": [1,]}', '{"a": 1,}', '{"a": 1 "b": 2}',
     "{3: 4}", '{"a": 1} x', '{"a": nul}', '{"a": "x', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_json_is_told(stream, content):
    with pytest.raises(DatasetError, match="a file is no JSON") as caught:
        walked(stream(content))
    assert caught.value.expected == "a layout"


def test_a_value_that_is_nested_too_deep_is_told(stream):
    with pytest.raises(DatasetError, match="a file is no JSON"):
        stream("[" * 200_000).value()


def test_a_place_is_counted_from_the_beginning_of_the_file(stream):
    with pytest.raises(DatasetError, match=r"char 300011\)"):
        walked(stream('{"a": [' + "1, " * 100_000 + "1,  ]}"))
