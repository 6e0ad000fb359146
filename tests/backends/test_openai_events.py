"""What a server's stream is read as, byte for byte, and how the tokens of a growing text are counted."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.backends.test_openai import Heard
from tests.datasets import small_vocabularies as small
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from bytemlperf.backends.openai.counting import Growing
from bytemlperf.backends.openai.discretion import Discretion
from bytemlperf.backends.openai.events import Stream
from bytemlperf.errors import MalformedOutputError, PredictError


def event(text=None, *, reason=None, usage=None, delta=None, ids=None, **further):
    choice = {"index": 0, "finish_reason": reason}
    choice |= {"delta": delta} if delta is not None else {"text": text}
    choice |= {} if ids is None else {"token_ids": ids}
    return (
        b"data: " + json.dumps({"choices": [choice], **further, **({} if usage is None else {"usage": usage})}).encode()
    )


DONE = b"data: [DONE]"


class Counting(Heard):
    """A reply that counts when it has been stamped, as the harness' does."""

    def __init__(self):
        super().__init__()
        self.log = []

    def chunk(self, outputs, tokens=1):
        self.log.append("stamped")
        super().chunk(outputs, tokens)


def heard(*pieces, count=None, reply=None):
    reply = reply or Counting()
    stream = Stream(reply, count, Discretion(""))
    stream.status(200)
    for piece in pieces:
        stream.body(piece)
    stream.complete()
    return reply


def stream_of(*events, end=b"\n\n"):
    return end.join([*events, DONE, b""])


WORDS = stream_of(
    event(delta={"role": "assistant"}),
    b": a comment",
    event(delta={"content": "Grüße, 世界"}),
    event(delta={"content": " \N{SLIGHTLY SMILING FACE} ok"}, ids=[1, 2, 3]),
    event(delta={}, reason="stop"),
    b'data: {"choices": [], "usage": {"completion_tokens": 7}}',
)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_a_stream_cut_at_any_byte_is_the_same_stream(end):
    whole = WORDS.replace(b"\n\n", end)
    expected = heard(whole)
    assert (expected.tokens, expected.total, expected.error) == ([0, 1, 3], 7, None)
    for place in range(len(whole) + 1):
        found = heard(whole[:place], whole[place:])
        assert (found.tokens, found.total, found.error, found.ends) == ([0, 1, 3], 7, None, 1)
    found = heard(*(whole[place : place + 1] for place in range(len(whole))))
    assert (found.tokens, found.total, found.error) == ([0, 1, 3], 7, None)


@pytest.mark.parametrize(
    "usage", [None, {}, {"completion_tokens": None}, {"prompt_tokens": 3, "completion_tokens": None}]
)
def test_a_count_that_is_not_told_is_no_failure(usage):
    found = heard(stream_of(event("a", usage=usage), event("b", reason="length", usage=usage)))
    assert (found.tokens, found.total, found.error) == ([1, 1], None, None)


@pytest.mark.parametrize("usage", [{"completion_tokens": "many"}, {"completion_tokens": [1]}])
def test_a_count_that_is_none_is_a_failure(usage):
    assert isinstance(heard(stream_of(event("a", usage=usage))).error, MalformedOutputError)


@pytest.mark.parametrize(
    ("delta", "text"),
    [
        ({"reasoning_content": "so"}, True),
        ({"reasoning": "so"}, True),
        ({"reasoning_content": "so", "reasoning": "so", "content": None}, True),
        ({"content": ""}, False),
        ({"content": None, "reasoning_content": None}, False),
        (None, False),
    ],
)
def test_what_a_model_thinks_counts_as_text(delta, text):
    one = b'data: {"choices": [{"index": 0, "delta": %s}]}' % json.dumps(delta).encode()
    counted = []
    for count in (None, lambda whole: counted.append(whole) or len(whole.split())):
        found = heard(stream_of(one, event(delta={}, reason="stop")), count=count)
        assert (found.tokens, found.error) == ([int(text)], None)
    assert set(counted) == ({"so"} if text else set())


@pytest.mark.parametrize("wrong", [{"text": 5}, {"delta": {"content": ["x"]}}, {"delta": {"reasoning": 1}}, {}])
def test_text_that_is_none_is_a_failure(wrong):
    one = b"data: " + json.dumps({"choices": [{"index": 0, **wrong}]}).encode()
    assert isinstance(heard(stream_of(one)).error, MalformedOutputError)


def test_an_error_in_the_stream_ends_it_once():
    found = heard(stream_of(event("a"), b'data: {"error": {"message": "no memory"}}', event("b", reason="stop")))
    assert isinstance(found.error, PredictError)
    assert "no memory" in str(found.error)
    assert (found.tokens, found.ends) == ([1], 1)


def test_an_event_is_stamped_before_its_tokens_are_counted():
    reply = Counting()

    def count(text):
        reply.log.append("counted")
        return len(text.split())

    heard(stream_of(event("one two"), event(" three", reason="length")), count=count, reply=reply)
    assert reply.tokens == [2, 1]
    assert reply.log[0] == "stamped"
    assert reply.log.index("counted") == 1
    assert reply.log.count("stamped") == 2


def byte_level():
    """GPT-2's kind: words are cut by a pattern, then bytes are merged."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trained(made, trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, show_progress=False))


def word_start():
    """LLaMA's kind: no words are cut, spaces are letters, and one is put before the text."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # only to learn merges within words
    made = trained(made, trainers.BpeTrainer(vocab_size=900, special_tokens=["<unk>"], show_progress=False))
    made.pre_tokenizer = pre_tokenizers.Sequence([])
    return made


def likeliest():
    """SentencePiece's unigrams: the likeliest cutting of all, words with their spaces before."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    return trained(
        made, trainers.UnigramTrainer(vocab_size=400, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    )


def digits():
    """Numbers in groups of three from their left, as newer tokenizers cut them."""
    made = Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(pre_tokenizers_pattern(r"\d{1,3}| ?\w+|\s+|[^\s\w]+"), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trained(made, trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, show_progress=False))


def pre_tokenizers_pattern(pattern):
    from tokenizers import Regex

    return Regex(pattern)


def trained(made, trainer):
    made.train_from_iterator([*small.paragraphs(count=30), CHINESE * 3, "123 4567 89 0 " * 30], trainer)
    return made


CHINESE = "我们来看一下这个模型的速度,以及它在不同长度上的表现。"
ALPHABETS = [
    ["speed", "model", "tokens", "a", "the", "of", "counting", "longest", "12", "3456", "7", ",.", ""],
    list(CHINESE),
    list("abc  \n\t.,1234567890éß世\N{SLIGHTLY SMILING FACE}"),
]
KINDS = {"byte_level": byte_level, "word_start": word_start, "likeliest": likeliest, "digits": digits}


@pytest.fixture(scope="module", params=sorted(KINDS))
def counts(request):
    made = KINDS[request.param]()
    return lambda text: len(made.encode(text, add_special_tokens=False).ids)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.integers(0, len(ALPHABETS) - 1), length=st.integers(1, 250))
def test_a_growing_text_is_counted_as_the_whole_of_it(counts, seed, kind, length):
    drawn = random.Random(seed)
    growing, whole = Growing(counts), ""
    for _ in range(length):
        part = " ".join(drawn.choices(ALPHABETS[kind], k=drawn.randint(1, 3))) + " " * drawn.randint(0, 1)
        part = part if kind == 0 else part.replace(" ", "", drawn.randint(0, 9))
        whole += part
        assert growing.add(part) == counts(whole)


@pytest.mark.parametrize("word", [" word", "字", "7"])
def test_what_is_counted_anew_does_not_grow_with_the_answer(word):
    def looked_at(length):
        seen = []
        growing = Growing(lambda text: seen.append(len(text)) or len(text))
        for _ in range(length):
            growing.add(word)
        return sum(seen) / length

    assert looked_at(8_000) < 1.1 * looked_at(2_000) < 250


def test_a_place_that_will_not_do_is_looked_for_again_seldom():
    """A tokenizer that never leaves the count as it is when a text is cut: right all the same, and not for ever."""
    looked = []

    def count(text):
        looked.append(text)
        return len(text) ** 2

    growing = Growing(count)
    for number in range(1, 2_000):
        assert growing.add("x") == number**2
    assert len(looked) < 2_000 + 5 * 12


@pytest.mark.parametrize("status", [200, 401])
def test_a_key_that_a_server_repeats_is_not_told_wherever_it_stands(status):
    for padding in range(470, 520):  # across the place where a message is cut
        complaint = b"data: " + json.dumps({"error": "x" * padding + " Bearer s3cret-key ended"}).encode() + b"\n"
        for place in range(0, len(complaint), 7):
            reply = Counting()
            stream = Stream(reply, None, Discretion("s3cret-key"))
            stream.status(status)
            stream.body(complaint[:place])
            stream.body(complaint[place:])
            stream.complete()
            assert isinstance(reply.error, PredictError)
            assert "s3c" not in str(reply.error)
