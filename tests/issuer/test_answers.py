"""What counts as an answer, and how answers are kept in files."""

import json
import threading

import ml_dtypes
import numpy as np
import pytest

from bytemlperf.issuer.answers import FileSink, check, named, viewed, widened
from bytemlperf.worker import Answers

BUILTIN = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "uint64", "bool", "complex64"]
ADDED = ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e5m2fnuz", "int4", "uint4"]


@pytest.mark.parametrize("dtype", [*BUILTIN, ">f4", ">i8"])
def test_what_numpy_can_store_is_left_alone(dtype):
    value = np.ones((2, 3), dtype)
    assert widened(value) is value


@pytest.mark.parametrize("dtype", ADDED)
def test_types_that_numpy_lacks_become_float32(dtype):
    value = np.array([0, 1, 2, 3]).astype(getattr(ml_dtypes, dtype))
    assert widened(value).dtype == np.float32
    assert widened(value).tolist() == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.5,
        np.float32(1),
        [np.zeros(1)],
        "text",
        np.array(["text"]),
        np.array([None]),
        np.zeros(2, "V4"),
        np.zeros(2, [("a", "f4")]),
        np.zeros(2, "M8[s]"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(value):
    with pytest.raises(TypeError, match="an output"):
        widened(value)
    with pytest.raises(TypeError):
        check(0, {"y": value})


@pytest.mark.parametrize("outputs", [None, [np.zeros(1)], np.zeros(3), "text", 3])
def test_what_names_no_arrays_is_refused(outputs):
    with pytest.raises(TypeError, match="no mapping of names to arrays but"):
        named(outputs)


def test_an_answer_without_outputs_is_one():
    assert named({}) == {}


@pytest.mark.parametrize("dtype", ADDED)
def test_stored_bytes_get_their_type_back(dtype):
    value = np.arange(4).astype(getattr(ml_dtypes, dtype))
    assert viewed(value.view(np.uint8 if value.itemsize == 1 else np.uint16), dtype).tolist() == value.tolist()
    assert viewed(value, "") is value


ANSWERS = [
    {"y": np.arange(6, dtype=np.float32).reshape(2, 3), "label:0": np.array([1, 2])},
    {"y": np.zeros((0, 3), np.float32), "label:0": np.array(7)},
    {"y": np.asfortranarray(np.arange(12.0).reshape(3, 4)), "another": np.array([True])},
    {},
    {"y": np.arange(100)[::7], "label:0": np.ones((2, 2), ">i4")},
]


def test_answers_come_back_from_files_as_they_were(tmp_path):
    sink = FileSink(str(tmp_path))
    for query, answer in enumerate(ANSWERS):
        sink(query, answer)
    sink.close()
    kept = Answers(tmp_path)
    assert list(kept) == [0, 1, 2, 4]
    for query in kept:
        assert set(kept[query]) == set(ANSWERS[query])
        for name, array in ANSWERS[query].items():
            assert kept[query][name].dtype == array.dtype
            assert kept[query][name].shape == array.shape
            np.testing.assert_array_equal(kept[query][name], array)


def test_answers_can_be_read_while_the_sink_is_open(tmp_path):
    sink = FileSink(str(tmp_path))
    sink(0, ANSWERS[0])
    np.testing.assert_array_equal(Answers(tmp_path)[0]["y"], ANSWERS[0]["y"])
    sink.close()


def test_an_answer_that_is_none_leaves_no_trace(tmp_path):
    sink = FileSink(str(tmp_path))
    with pytest.raises(TypeError):
        sink(0, {"good": np.zeros(3), "bad": [1]})
    sink(1, ANSWERS[0])
    sink.close()
    assert list(Answers(tmp_path)) == [1]


def test_threads_write_whole_answers(tmp_path):
    sink = FileSink(str(tmp_path))

    def write(first):
        for query in range(first, first + 25):
            sink(query, {"y": np.full(100, query), "z": np.full(7, -query)})

    threads = [threading.Thread(target=write, args=(first,)) for first in range(0, 100, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.close()
    kept = Answers(tmp_path)
    assert len(kept) == 100
    for query in kept:
        assert set(kept[query]["y"]) == {query}
        assert set(kept[query]["z"]) == {-query}


def test_the_index_is_lines_of_json(tmp_path):
    sink = FileSink(str(tmp_path))
    sink(3, {"a/b": np.zeros(1)})
    sink.close()
    rows = [json.loads(line) for line in (tmp_path / "index.jsonl").read_text().splitlines()]
    assert rows == [{"query": 3, "part": 0, "name": "a/b", "file": 0, "offset": 0}]
