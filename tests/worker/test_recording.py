"""Kept answers, from files or from memory, also those of a worker that was killed while it wrote."""

import numpy as np
import pytest

from bytemlperf.issuer.answers import FileSink
from bytemlperf.worker import Answers


@pytest.fixture
def folder(tmp_path):
    sink = FileSink(str(tmp_path))
    for query in (4, 0, 2):
        sink(query, {"y": np.full(3, query), "z": np.full((2, 2), query / 2)})
    sink.close()
    return tmp_path


def test_no_answers():
    assert dict(Answers()) == {}
    assert len(Answers()) == 0


def test_a_folder_that_is_empty_or_not_there_has_no_answers(tmp_path):
    assert len(Answers(tmp_path)) == len(Answers(tmp_path / "missing")) == 0


def test_answers_are_in_the_order_of_queries(folder):
    answers = Answers(folder)
    assert list(answers) == [0, 2, 4]
    assert len(answers) == 3
    assert answers[4]["y"].tolist() == [4, 4, 4]
    assert answers[2]["z"].tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_answers_in_memory():
    answers = Answers(parts={1: [{"y": np.ones(2)}]})
    assert list(answers) == [1]
    assert answers[1]["y"].tolist() == [1, 1]


@pytest.mark.parametrize("answers", [Answers(), Answers(parts={1: [{}]})])
def test_a_query_without_an_answer_is_no_key(answers):
    assert 7 not in answers
    with pytest.raises(KeyError):
        answers[7]


def test_only_whole_answers_of_a_killed_worker_are_there(folder):
    index = folder / "index.jsonl"
    whole = index.read_text()
    for length in range(len(whole)):
        index.write_text(whole[:length])
        answers = Answers(folder)
        assert len(answers) == len({line.split(",")[0] for line in whole[:length].splitlines() if line.endswith("}")})
        assert all(set(answers[query]["y"]) == {query} for query in answers)


def test_a_cut_file_is_not_read_for_the_answers_before(folder):
    data = (folder / "0.npy").read_bytes()
    (folder / "0.npy").write_bytes(data[:-1])  # the last answer's array, query 2
    assert Answers(folder)[0]["y"].tolist() == [0, 0, 0]
