"""Texts cut by jieba, from JSON on disk to token ids, against bert4keras' algorithm, written out for single characters.

Source: J. Su, bert4keras 0.11.5, `tokenizers.py` (Tokenizer.encode) and `snippets.py` (truncate_sequences).
"""

# ruff: noqa: RUF001 - Chinese has such marks, and odd texts odd letters
from __future__ import annotations

import json
import unicodedata

import jieba
import numpy as np
import pytest

from bytemlperf.datasets.cail2019 import Cail2019, CailOptions
from bytemlperf.datasets.chinese_words import WordTokens
from bytemlperf.errors import DatasetError

SENTENCES = [
    "原告王某诉称，被告于2016年3月15日向原告借款人民币50000元，约定月利率2%，借款期限为六个月。",
    "被告李某辩称，其已于2017年归还本金30,000元，并提供银行转账记录（No.A-1024）予以证明。",
    "本院认为，合法的借贷关系受法律保护，债务应当清偿；逾期不还的，应当支付违约金。",
    "判决如下：一、被告于本判决生效之日起十日内偿还原告借款本金及利息；二、驳回原告的其他诉讼请求。",
    "上诉人认为一审法院认定事实不清，适用法律错误，请求依法改判。",
]
ODD = [
    "café Élodie　ＡＢＣ，ｆｕｌｌ　ｗｉｄｔｈ",
    "unaffable LAWYERS law-yer [SEP] [unk] a\u0301b",
    "\ue5e5私有\ue001区 \u200b零宽\ufeff \x07铃\ufffd换\x00行\u2028段\u0085末",
    "𠀀𪜀𫠠㐀豈 扩展区",
    "x" * 120 + " " + "z" * 201 + " " + "y" * 230,
    "İstanbul ǅ ß ﬁ ½ ² № 😀 가 が",
    "“引号”‘单’—…·《书名》【】",
    "   ",
]
PIECES = [
    "un",
    "##aff",
    "##able",
    "law",
    "##yer",
    "##s",
    "cafe",
    "elo",
    "##die",
    "x",
    "##x",
    "20",
    "##16",
    "50",
    "##000",
    "no",
    "z" * 201,
]
SEQ_LEN = 64


def write_vocabulary(folder):
    """Write words that jieba finds, single letters of some sentences, and pieces of Latin words."""
    cut = {word for text in SENTENCES[:3] for word in jieba.cut(text, HMM=False) if word.strip()}
    letters = {letter for text in [*SENTENCES[:4], "扩展区私有引号书名𠀀"] for letter in text if not letter.isspace()}
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *sorted(cut | letters | set(PIECES))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return {word: number for number, word in enumerate(words)}


def texts_of(rng, count):
    """Return texts of sentences and odd ones, of very different lengths; some of equal lengths."""
    found = []
    for number in range(count):
        pieces = rng.choice(SENTENCES + ODD, rng.integers(1, 4)).tolist()
        found.append("".join(pieces) if number % 3 else SENTENCES[number % 5])
    return [text if text.strip() else SENTENCES[0] for text in found]


class Bert4Keras:
    """The tokenizer, as its source has it: every decision on a single character, recursion and all."""

    def __init__(self, vocabulary):
        self.vocabulary = vocabulary

    def tokens(self, text, *, whole=True):
        text = unicodedata.normalize("NFD", text.lower())
        text = "".join(letter for letter in text if unicodedata.category(letter) != "Mn")
        if whole:
            found = []
            for word in jieba.cut(text, HMM=False):
                found += [word] if word in self.vocabulary else self.tokens(word, whole=False)
            return found
        spaced = ""
        for letter in text:
            if self.is_mark(letter) or self.is_ideograph(letter):
                spaced += " " + letter + " "
            elif letter in " \n\r\t" or unicodedata.category(letter) == "Zs":
                spaced += " "
            elif ord(letter) in {0, 0xFFFD} or unicodedata.category(letter) in {"Cc", "Cf"}:
                continue
            else:
                spaced += letter
        return [piece for word in spaced.strip().split() for piece in self.pieces(word)]

    def pieces(self, word):
        if len(word) > 200:
            return [word]
        found, start = [], 0
        while start < len(word):
            end = len(word)
            while end > start:
                piece = ("##" if start else "") + word[start:end]
                if piece in self.vocabulary:
                    break
                end -= 1
            if start == end:
                return [word]
            found.append(piece)
            start = end
        return found

    @staticmethod
    def is_mark(letter):
        code = ord(letter)
        ascii_mark = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
        return ascii_mark or unicodedata.category(letter).startswith("P")

    @staticmethod
    def is_ideograph(letter):
        blocks = [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F)]
        blocks += [(0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)]
        return any(first <= ord(letter) <= last for first, last in blocks)

    def encode(self, first, second, longest):
        """Both texts have begin and end while they are cut to length; then the second's begin goes."""
        pair = [["[CLS]", *self.tokens(text), "[SEP]"] for text in (first, second)]
        while len(pair[0]) + len(pair[1]) > longest + 1:
            lengths = [len(tokens) for tokens in pair]
            pair[int(np.argmax(lengths))].pop(-2)
        tokens = pair[0] + pair[1][1:]
        ids = [self.vocabulary.get(token, self.vocabulary["[UNK]"]) for token in tokens]
        return ids, [0] * len(pair[0]) + [1] * (len(pair[1]) - 1)


@pytest.fixture(name="vocabulary")
def _vocabulary(tmp_path):
    return write_vocabulary(tmp_path)


@pytest.mark.parametrize("seq_len", [SEQ_LEN, 65, 512])
def test_pairs_are_those_of_bert4keras(tmp_path, rng, tensor, model, vocabulary, seq_len):  # noqa: PLR0917 - fixtures
    texts = texts_of(rng, 90)
    records = [
        dict(zip("ABC", texts[start : start + 3], strict=True), label="BC"[start % 2]) for start in range(0, 90, 3)
    ]
    lines = [json.dumps(record, ensure_ascii=bool(number % 2)) for number, record in enumerate(records)]
    (tmp_path / "test.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = model(*(tensor(name, ("batch", seq_len)) for name in ("input_segment", "input_token")))
    loader = Cail2019.open(spec, CailOptions(path=str(tmp_path), words="jieba"))
    loaded, witness, cut = loader.load(range(60)), Bert4Keras(vocabulary), 0
    for number, record in enumerate(records):
        similar, other = "BC" if record["label"] == "B" else "CB"
        for place, second in enumerate((similar, other)):
            ids, types = witness.encode(record["A"], record[second], seq_len)
            cut += len(ids) == seq_len
            padding = [0] * (seq_len - len(ids))
            row = 2 * number + place
            assert loaded["input_token"][row].tolist() == ids + padding, (record["A"], record[second])
            assert loaded["input_segment"][row].tolist() == types + padding
    assert cut > 20 or seq_len == 512


def test_each_odd_text_is_cut_as_bert4keras_does(vocabulary):
    words = WordTokens(vocabulary, lambda text: jieba.cut(text, HMM=False))
    witness = Bert4Keras(vocabulary)
    for text in SENTENCES + ODD:
        expected = [vocabulary.get(token, vocabulary["[UNK]"]) for token in witness.tokens(text)]
        assert words.ids(text) == expected, text
    assert words.ids(ODD[-1]) == []


def test_a_vocabulary_without_an_unknown_token_is_refused():
    with pytest.raises(DatasetError, match="lacks a token"):
        WordTokens({"[CLS]": 0}, str.split)
