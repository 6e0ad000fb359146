"""Tokenizers of language models against transformers' own classes, on real text."""

import json

import numpy as np
import pytest
from tests.datasets import small_vocabularies as small
from tests.published_layouts import language_model

from bytemlperf.datasets.language_tokenizing import language_tokenizer, prefix_of
from bytemlperf.datasets.text import Text, TextOptions
from bytemlperf.errors import DatasetError, DatasetUnavailableError

TEXTS = [
    "Élodie’s naïve café — “quoted”, 北京 and 3,141.59 $; ½ ﬁne",  # noqa: RUF001 - real text has such characters
    "  two spaces before, three   between, one behind ",
    "a line\nanother\n\n\tand a tab\r\n",
    "def f(x):\n    return x ** 2  # 😀 emoji\n",
    "",
    " ",
    "\n",
    "don't we'll I'd 1234567890 <s> </s> <|endoftext|> [gMASK]",
]


@pytest.fixture(scope="module")
def paragraphs():
    return small.paragraphs(count=3)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory, paragraphs):
    folder = tmp_path_factory.mktemp("llama")
    small.llama(folder, paragraphs)
    return folder


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory, paragraphs):
    folder = tmp_path_factory.mktemp("gpt2")
    small.bpe(folder, paragraphs, ("<|endoftext|>",), size=400)
    return folder


def published_llama(folder):
    """transformers' class with a sentencepiece model, as the published configuration has it."""
    from transformers import LlamaTokenizer

    return LlamaTokenizer.from_pretrained(folder, add_bos_token=True, legacy=True)


def test_sentencepiece_is_transformers_llama_tokenizer(pieces, paragraphs):
    ours = language_tokenizer(language_model(size=1000), str(pieces))
    theirs = published_llama(pieces)
    assert ours.prefix == (1,)
    for text in [*paragraphs, *(text for text in TEXTS if "<s>" not in text)]:
        # The model puts a space before each text; transformers 5 leaves it out where a text begins with one.
        published = theirs(" " + text if text.startswith(" ") else text)["input_ids"]
        assert [*ours.prefix, *ours.encode(text)] == published, text
        assert ours.decode(ours.encode(text)) == text
    special = [1, 0, *ours.encode("a word"), 0, 2]
    assert ours.decode(special) == theirs.decode(special, skip_special_tokens=True) == "a word"


def test_byte_level_bpe_is_transformers_gpt2_tokenizer(gpt2, paragraphs):
    from transformers import GPT2Tokenizer

    ours = language_tokenizer(language_model(size=1000), None, beside=gpt2)
    theirs = GPT2Tokenizer(vocab=str(gpt2 / "vocab.json"), merges=str(gpt2 / "merges.txt"))
    assert ours.prefix == ()
    for text in [*paragraphs, *TEXTS]:
        assert ours.encode(text) == theirs(text)["input_ids"], text
        if "<|" not in text:
            assert ours.decode(ours.encode(text)) == text


def test_chatglms_tokens_lie_behind_those_of_its_model(pieces, tmp_path):
    (tmp_path / "tokenizer.model").write_bytes((pieces / "tokenizer.model").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ChatGLMTokenizer"}))
    tokenizer = language_tokenizer(language_model(size=1000), str(tmp_path / "tokenizer.model"))
    assert (tokenizer.size, tokenizer.prefix) == (425, (421, 423))  # [gMASK] sop, as the published 64790 64792
    assert [tokenizer.token_id(name) for name in ("[MASK]", "[sMASK]", "eop")] == [420, 422, 424]
    text = "[gMASK] sop is text where a text says so"
    assert max(tokenizer.encode(text)) < 420
    assert tokenizer.decode([421, 423, *tokenizer.encode(text)]) == text
    (tmp_path / "long.txt").write_text("A text to be read. " * 20)
    spec = language_model(size=1000)
    for begin, first in ((None, [421, 423]), ("", []), ("[gMASK]", [421]), ("<s>", [1])):
        loader = Text.open(spec, TextOptions(path=str(tmp_path / "long.txt"), begin=begin))
        ids = loader.load([0])["input_ids"][0].tolist()
        assert ids[: len(first)] == first
        assert ids[len(first) : len(first) + 3] == tokenizer.encode("A text to be read. ")[:3]


def test_a_missing_tokenizer_says_what_to_do(tmp_path, pieces):
    spec = language_model(size=1000)
    with pytest.raises(DatasetUnavailableError, match="option `tokenizer`"):
        language_tokenizer(spec, None, beside=tmp_path)
    with pytest.raises(DatasetUnavailableError, match=r"a tokenizer is missing.*tokenizer\.model"):
        language_tokenizer(spec, str(tmp_path))
    (tmp_path / "tokenizer.model").write_bytes(b"no model")
    with pytest.raises(DatasetError, match="no sentencepiece model"):
        language_tokenizer(spec, None, beside=tmp_path)
    tokenizer = language_tokenizer(spec, str(pieces))
    with pytest.raises(DatasetError, match="lacks a token"):
        tokenizer.token_id("[gMASK]")
    with pytest.raises(DatasetError, match="lacks a token"):
        prefix_of(tokenizer, "<s> nothing")
    assert np.diff([len(prefix_of(tokenizer, begin)) for begin in ("", "<s>", "<s> </s>")]).tolist() == [1, 1]


def test_a_whole_file_puts_before_a_text_what_it_says_itself(pieces, gpt2, tmp_path):
    theirs = published_llama(pieces)
    theirs.save_pretrained(tmp_path)
    ours = language_tokenizer(language_model(size=1000), str(tmp_path / "tokenizer.json"))
    assert ours.prefix == (1,)
    assert [*ours.prefix, *ours.encode("a text")] == theirs("a text")["input_ids"]
    plain = language_tokenizer(language_model(size=1000), str(gpt2))
    assert plain.prefix == ()


def test_the_token_that_ends_a_text_is_known_where_a_file_says_so(pieces, gpt2, tmp_path):
    spec = language_model(size=1000)
    llama2, smallest = language_tokenizer(spec, str(pieces)), language_tokenizer(spec, str(gpt2))
    assert (llama2.end, llama2.token_id(llama2.end)) == ("</s>", 2)
    assert (smallest.end, smallest.token_id(smallest.end)) == ("<|endoftext|>", published_end(gpt2))
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_bytes((gpt2 / name).read_bytes())
    for told, end in (({"content": "!"}, "!"), ("!", "!"), ("no such token", ""), (None, "<|endoftext|>")):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": told}))
        assert language_tokenizer(spec, str(tmp_path)).end == end


def published_end(folder):
    from transformers import GPT2Tokenizer

    return GPT2Tokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt")).eos_token_id
