from __future__ import annotations

import builtins
import json

import numpy as np
import pytest
from tests.published_layouts import cail

from bytemlperf.datasets.cail2019 import Cail2019, CailOptions, jieba_cut
from bytemlperf.datasets.cail2019_files import Triplet
from bytemlperf.datasets.cail2019_pairs import PairTokens
from bytemlperf.datasets.chinese_words import WordTokens
from bytemlperf.datasets.tokenizing import read_tokenizer
from bytemlperf.errors import DatasetError, DatasetUnavailableError


@pytest.fixture(name="published")
def _published(tmp_path, rng):
    return cail(tmp_path / "cail", rng, count=5)


@pytest.fixture(name="lines")
def _lines(published, tmp_path):
    text = (tmp_path / "cail" / "test.json").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def opened(published, **options):
    return Cail2019.open(published.spec, CailOptions(**{**published.options, **options}))


def vocabulary(tmp_path):
    words = (tmp_path / "cail" / "vocab.txt").read_text(encoding="utf-8").split("\n")
    return {word: number for number, word in enumerate(words)}


def test_pairs_come_in_turn_the_more_similar_first(published, lines, tmp_path):
    loader, ids = opened(published), vocabulary(tmp_path)
    loaded = loader.load(range(10))
    assert (len(loader), loader.metrics) == (10, ("triplet_accuracy",))
    assert loaded["input_token"].dtype == np.float32
    for number, line in enumerate(lines):
        similar, other = "BC" if line["label"] == "B" else "CB"
        for place, second in enumerate((similar, other)):
            first = [ids["[CLS]"], *(ids[letter] for letter in line["A"]), ids["[SEP]"]]
            tokens = [*first, *(ids[letter] for letter in line[second]), ids["[SEP]"]]
            row = 2 * number + place
            assert loaded["input_token"][row].tolist() == tokens + [0] * (48 - len(tokens))
            types = [0] * len(first) + [1] * (len(tokens) - len(first))
            assert loaded["input_segment"][row].tolist() == types + [0] * (48 - len(tokens))
    labels = loader.labels([0, 1, 9])
    assert (labels["triplet"].tolist(), labels["similar"].tolist()) == ([0, 0, 4], [True, False, False])
    assert loader.ids([2, 3]) == ("1/similar", "1/other")


def test_of_the_longer_text_the_last_tokens_are_dropped(published, tmp_path):
    tokenizer, ids = read_tokenizer(tmp_path / "cail"), vocabulary(tmp_path)
    long, short = "".join(chr(0x4E00 + number) for number in range(40)), chr(0x4E00) * 5
    pairs = PairTokens([Triplet(case=long, similar=short, other=long)], tokenizer, None, seq_len=30)
    found, types = pairs.pair(0)
    assert len(found) == 30
    assert found[:24] == [ids["[CLS]"], *(ids[letter] for letter in long[:22]), ids["[SEP]"]]
    assert found[24:] == [ids[chr(0x4E00)]] * 5 + [ids["[SEP]"]]
    assert sum(types) == 6
    both, _ = pairs.pair(1)
    assert [place for place, each in enumerate(both) if each == ids["[SEP]"]] == [14, 29]


def test_words_of_the_vocabulary_stay_whole(tmp_path, published):
    letters = [chr(0x4E00 + number) for number in range(4)]
    (tmp_path / "cail" / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, "".join(letters[:2])]) + "\n", encoding="utf-8"
    )
    tokenizer = read_tokenizer(tmp_path / "cail")
    text = "".join(letters)
    pairs = PairTokens(
        [Triplet(case=text, similar=letters[0], other=text)],
        tokenizer,
        WordTokens(tokenizer.get_vocab(), lambda text: [text[:2], text[2:]]),
        seq_len=20,
    )
    assert pairs.pair(0)[0] == [2, 8, 6, 7, 3, 4, 3]


def test_jieba_cuts_without_its_model_of_unknown_words():
    assert list(jieba_cut()("他来到了网易杭研大厦")) == ["他", "来到", "了", "网易", "杭", "研", "大厦"]


def test_without_jieba_it_is_told(monkeypatch, published):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "jieba":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DatasetUnavailableError, match=r"jieba is not installed.*bytemlperf\[cail\]"):
        opened(published, words="jieba")


@pytest.mark.parametrize("even", [False, True])
def test_the_originals_arrays_are_read_without_running_a_pickle(published, tmp_path, rng, even):
    folder = tmp_path / "arrays"
    folder.mkdir()
    lengths = [7, 7, 7, 7] if even else [5, 9, 7, 6]
    ids = [rng.integers(1, 50, length).tolist() for length in lengths]
    types = [[0] * 3 + [1] * (length - 3) for length in lengths]
    for name, rows in (("batch_token_ids", ids), ("batch_segment_ids", types), ("label", [[1], [0]] * 2)):
        array = np.array(rows) if even or name == "label" else np.array(rows, object)
        np.save(folder / f"{name}.npy", array, allow_pickle=True)
    loader = opened(published, path=str(folder))
    loaded = loader.load(range(4))
    assert len(loader) == 4
    for row, (tokens, segments) in enumerate(zip(ids, types, strict=True)):
        assert loaded["input_token"][row].tolist() == tokens + [0] * (48 - len(tokens))
        assert loaded["input_segment"][row].tolist() == segments + [0] * (48 - len(tokens))
    np.save(folder / "label.npy", np.array([[1], [1]] * 2))
    with pytest.raises(DatasetError, match="a pair cannot be used") as caught:
        opened(published, path=str(folder))
    assert caught.value.where == f"{folder / 'label.npy'}:1"
    np.save(folder / "label.npy", np.array([[1], [0]]))
    with pytest.raises(DatasetError, match="differ in length"):
        opened(published, path=str(folder))
    np.save(folder / "label.npy", np.array([Runs(), 1, 2, 3], object), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"an array cannot be read.*it names"):
        opened(published, path=str(folder))
    (folder / "label.npy").write_bytes(b"no array")
    with pytest.raises(DatasetError, match="an array cannot be read"):
        opened(published, path=str(folder))


class Runs:
    def __reduce__(self):
        return print, ("ran",)


@pytest.mark.parametrize(
    "line",
    ["{", '{"A": "x", "B": "y", "C": "z"}', '{"A": "x", "B": "y", "C": "z", "label": "A"}', '{"label": "B"}', "[]"],
)
def test_a_line_that_cannot_be_used_is_named_or_counted(published, tmp_path, line):
    path = tmp_path / "cail" / "test.json"
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="a triplet cannot be used") as caught:
        opened(published)
    assert caught.value.where == f"{path}:6"
    loader = opened(published, skip_unusable=True)
    assert (len(loader), len(loader.skipped)) == (10, 1)
    path.write_text("\n")
    with pytest.raises(DatasetError, match="has no triplet"):
        opened(published)


def test_the_last_triplets_may_be_held_out(published):
    loader = opened(published, held_out=2)
    assert (len(loader), list(loader.calibration())) == (6, [6, 7, 8, 9])
    assert loader.load(loader.calibration())["input_token"].shape == (4, 48)
    assert loader.fingerprint() != opened(published).fingerprint()
