"""Files of vocabularies are read line by line as transformers reads them; ids are places of lines."""

from __future__ import annotations

import attrs
import pytest
from tests.datasets import small_vocabularies as small
from tests.fetch.hub_server import REPOSITORY, serving_hub
from transformers import BertTokenizer, RobertaTokenizer
from transformers.models.bert.tokenization_bert import load_vocab

from bytemlperf import zoo
from bytemlperf.datasets.tokenizing import found_tokenizer, read_tokenizer
from bytemlperf.errors import WeightsUnavailableError

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


@pytest.fixture
def hub(monkeypatch, tmp_path):
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path / "cache"))
    with serving_hub({"vocab.txt": b"[PAD]\n[UNK]\n"}) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


def of_bert(*repositories):
    spec = zoo.get("bert-torch-fp32")
    sources = [attrs.evolve(each, location=name) for name in repositories for each in spec.sources]
    return attrs.evolve(spec, sources=sources)


def test_a_tokenizer_is_fetched_without_the_weights(hub):
    assert found_tokenizer(of_bert(REPOSITORY), None, names=("vocab.txt",)).read_text() == "[PAD]\n[UNK]\n"
    assert {name for _, name, _ in hub.requests} == {"vocab.txt"}


def test_a_tokenizer_comes_from_the_first_source_that_has_it(hub):
    assert found_tokenizer(of_bert("nobody/nothing", REPOSITORY), None, names=("vocab.txt",)) is not None
    with pytest.raises(WeightsUnavailableError):
        found_tokenizer(of_bert("nobody/nothing"), None, names=("vocab.txt",))
    assert found_tokenizer(of_bert(REPOSITORY), None, names=("spiece.model",)) is None
