"""Files of vocabularies are read line by line as transformers reads them; ids are places of lines."""

from __future__ import annotations

import pytest
from tests.datasets import small_vocabularies as small
from transformers import BertTokenizer, RobertaTokenizer
from transformers.models.bert.tokenization_bert import load_vocab

from bytemlperf.datasets.tokenizing import read_tokenizer

SEPARATORS = ["\u2028", "\u2029", "\u0085", "\v", "\f", "\x1c", "\x1d", "\x1e"]
"""What `str.splitlines` takes for the end of a line, and a vocabulary may have within one."""
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *SEPARATORS, *(f"a{each}b" for each in SEPARATORS)]
WORDS += ["hello", "##lo", "", "world", "北", "x", "."]
TEXTS = ["hello world x.", "Hello\u2028world\u0085x", "hellolo 北 a b", *(f"x{each}world" for each in SEPARATORS)]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "one more"])
def test_each_line_of_a_vocabulary_is_one_word(tmp_path, newline, last):
    path = tmp_path / "vocab.txt"
    path.write_bytes((newline.join(WORDS) + newline + last).encode())
    ours, theirs = read_tokenizer(tmp_path), BertTokenizer.from_pretrained(tmp_path)
    assert ours.get_vocab() == load_vocab(path)
    assert ours.token_to_id("world") == WORDS.index("world") == theirs.convert_tokens_to_ids("world")
    for text in TEXTS:
        assert ours.encode(text).ids == theirs(text)["input_ids"], text


def test_merges_may_end_their_lines_with_a_carriage_return(tmp_path):
    texts = small.paragraphs(count=3)
    small.bpe(tmp_path, texts, ("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
    theirs = RobertaTokenizer.from_pretrained(tmp_path)
    merges = tmp_path / "merges.txt"
    merges.write_bytes(merges.read_bytes().replace(b"\n", b"\r\n"))
    ours = read_tokenizer(tmp_path)
    for text in texts:
        assert ours.encode(text).ids == theirs(text)["input_ids"]
