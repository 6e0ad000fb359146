"""Tokens of a text that is read in pieces are those of the whole text."""

from __future__ import annotations

import numpy as np
import pytest
from tests.datasets import small_vocabularies as small
from tests.published_layouts import language_model

from bytemlperf.datasets.language_tokenizing import language_tokenizer
from bytemlperf.datasets.token_pieces import token_blocks

ODD = [
    " " * 300 + "many spaces\n\n\n\n" + "\t" * 90,
    "北京欢迎你" * 120,
    "😀👩‍👩‍👧 é e\u0301 ﬁ " * 40,
    "word" * 200,
    "line one\r\nline two\r\n\r\n" * 60,
    "3,141.59265 1e-10 don't we'll " * 40,
    "<s> </s> <|endoftext|> [MASK] " * 20,
]
MAKERS = {
    "bert": small.bert,
    "gpt2": lambda folder, texts: small.bpe(folder, texts, ("<|endoftext|>",)),
    "albert": small.albert,
    "llama": small.llama,
}


@pytest.fixture(scope="module")
def text():
    paragraphs = small.paragraphs(count=30)
    odd = [ODD[number % len(ODD)] for number in range(len(paragraphs))]
    return "".join(part for pair in zip(paragraphs, odd, strict=True) for part in pair)


@pytest.fixture(scope="module", params=sorted(MAKERS))
def tokenizer(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    MAKERS[request.param](folder, small.paragraphs(count=20))
    return language_tokenizer(language_model(size=10_000), str(folder))


@pytest.mark.parametrize(("piece", "overlap"), [(900, 300), (1_500, 700), (4_096, 512), (10**6, 10)])
def test_pieces_have_the_tokens_of_the_whole(tokenizer, text, rng, piece, overlap):
    cuts = np.sort(rng.integers(0, len(text), 40)).tolist()
    blocks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
    found = list(token_blocks(tokenizer, blocks, piece=piece, overlap=overlap))
    assert np.concatenate(found).tolist() == tokenizer.encode(text)
    assert (len(found) > 5) == (piece < len(text))


@pytest.mark.parametrize("text", ["", " ", "a", "word " * 7])
def test_a_short_text_is_one_piece(tokenizer, text):
    (found,) = token_blocks(tokenizer, [text])
    assert found.tolist() == tokenizer.encode(text)


def test_what_agrees_nowhere_is_tokenized_as_one(tokenizer):
    text = "".join(chr(97 + number * number % 23) for number in range(4_000)) * 2
    found = list(token_blocks(tokenizer, [text], piece=500, overlap=20))
    assert np.concatenate(found).tolist() == tokenizer.encode(text)


def test_places_are_characters_of_the_text(tokenizer):
    text = "Élodie 北京 café, 3.14 and so on"
    (found,) = tokenizer.encode_many([text])
    assert found.ids.tolist() == tokenizer.encode(text)
    assert (np.diff(found.starts) >= 0).all()
    assert 0 <= found.starts.min() <= found.starts.max() <= len(text)
    assert text.index("3") in found.starts.tolist() or text.index("3") - 1 in found.starts.tolist()
