"""Our backends under lm-evaluation-harness, against its own model of transformers on the same weights and tokens."""

import itertools

import numpy as np
import pytest
from lm_eval.models.huggingface import HFLM
from tests.lm_eval.twins import CONTEXT, TEXTS, asked
from tests.lm_eval.vendors import Deaf, Outputs, Pushing, Table, table

from bytemlperf.backends.torch_generation.backend import TorchGenerationBackend
from bytemlperf.datasets.language_tokenizing import language_tokenizer
from bytemlperf.errors import (
    CrashError,
    DatasetError,
    DatasetUnavailableError,
    SpecError,
    TimeLimitError,
    UnknownNameError,
    UnsupportedAskError,
)
from bytemlperf.lm_eval import BackendLM

LONG, SHORT = TEXTS[0], TEXTS[1][:60]
PAIRS = [
    ("The option", "s are parsed"),
    ("a space at the end ", "goes to what follows"),
    ("", "nothing before it"),
    ("word", " 北京 and 3,141.59"),
    (LONG, " after a text that is cut"),
    (SHORT, LONG[:70]),
    *((SHORT, f" {word}") for word in TEXTS[2].split()[:40] if word),  # more than go together
]


@pytest.fixture(scope="module")
def ours(pair):
    with BackendLM(**pair.ours, backend=TorchGenerationBackend()) as model:
        yield model


def relative(found, expected):
    """Largest difference over the expected magnitude, or over 1 where that is less.

    Of the logarithm of a probability near 1 the rounding of float32 logits is all that is left.
    """
    found, expected = np.array(found), np.array(expected)
    return (np.abs(found - expected) / np.maximum(np.abs(expected), 1)).max()


def test_log_likelihoods_and_greedy_flags_are_those_of_transformers(pair, ours):
    begun = [text[: 20 + 9 * length] for text in TEXTS for length in range(8)]
    words = pair.theirs.generate_until(asked("generate_until", *((each, {"max_gen_toks": 1}) for each in begun)))
    continued = zip(begun, words, strict=True)  # the likeliest token, where its text is that token again
    pairs = [*PAIRS, *(each for each in continued if pair.theirs._encode_pair(*each)[1])]
    found, expected = (model.loglikelihood(asked("loglikelihood", *pairs)) for model in (ours, pair.theirs))
    assert relative([value for value, _ in found], [value for value, _ in expected]) <= 1e-5
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    assert {greedy for _, greedy in found} == {True, False}
    assert {type(part) for each in found for part in each} == {float, bool}


def test_rolling_log_likelihoods_of_texts_beyond_the_context_are_those_of_transformers(pair, ours):
    texts = [(LONG,), (SHORT,), ("x",), (TEXTS[2],)]
    assert len(ours.tok_encode(LONG)) > 3 * CONTEXT
    found, expected = (
        model.loglikelihood_rolling(asked("loglikelihood_rolling", *texts)) for model in (ours, pair.theirs)
    )
    assert relative(found, expected) <= 1e-5


def test_greedy_answers_are_those_of_transformers(pair, ours):
    contexts = [LONG, SHORT, "The option", *(text[:200] for text in TEXTS)]
    whole = pair.theirs.generate_until(asked("generate_until", *((each, {"max_gen_toks": 24}) for each in contexts)))
    stops = [
        [text[9:12]] if len(text) > 12 else "\n" for text in whole
    ]  # strings that come, in the middle of tokens too
    settings = [
        *({"max_gen_toks": 24} for _ in contexts),
        *({"until": stop, "max_gen_toks": 24, "do_sample": False} for stop in stops),
        *({"until": ["\n\n", ".", "e"], "max_new_tokens": 9, "temperature": 0.0} for _ in contexts),
    ]
    requests = asked("generate_until", *zip(itertools.cycle(contexts), settings, strict=False))
    found, expected = (model.generate_until(requests) for model in (ours, pair.theirs))
    assert found == expected
    assert sum(map(len, found[len(contexts) : 2 * len(contexts)])) < sum(map(len, whole))


@pytest.mark.slow
def test_a_worker_answers_as_this_process_does(plain):
    pairs, texts = asked("loglikelihood", *PAIRS), asked("loglikelihood_rolling", (LONG,))
    prompts = asked("generate_until", *((text[:150], {"until": ["e"], "max_gen_toks": 16}) for text in TEXTS))
    with BackendLM(**plain.ours, backend="torch") as model:
        assert relative(*([value for value, _ in each.loglikelihood(pairs)] for each in (model, plain.theirs))) <= 1e-5
        assert relative(*(each.loglikelihood_rolling(texts) for each in (model, plain.theirs))) <= 1e-5
        assert model.generate_until(prompts) == plain.theirs.generate_until(prompts)


def test_each_draw_has_a_stream_of_its_own_that_the_seed_gives(plain):
    settings = {"do_sample": True, "temperature": 30.0, "top_p": 0.9, "top_k": 200, "max_gen_toks": 8}
    requests = asked("generate_until", *[(SHORT, settings)] * 5)
    found = []
    for seed in (1, 1, 2):
        with BackendLM(**plain.ours, backend=TorchGenerationBackend(), seed=seed) as model:
            found.append(model.generate_until(requests))
    assert found[0] == found[1] != found[2]
    assert len(set(found[0])) == 5


def expected_of(spec, tokenizer, context, continuation):
    """Log-likelihood and greediness by the table, which looks at the last token alone."""
    rows = table(spec.inputs[0].high)
    ids = [*tokenizer.encode(context), *tokenizer.encode(continuation)]
    steps = list(itertools.pairwise(ids))[len(tokenizer.encode(context)) - 1 :]
    return sum(rows[a, b] for a, b in steps), all(rows[a].argmax() == b for a, b in steps)


@pytest.mark.parametrize("backend", [Table(), Pushing()], ids=["plain", "pushing"])
def test_a_vendors_backend_is_asked_by_its_own_contract(plain, backend):
    tokenizer = language_tokenizer(plain.spec, plain.tokenizer)
    with BackendLM(**plain.ours, backend=backend) as model:
        found = model.loglikelihood(asked("loglikelihood", ("a text.", " option"), ("a text.", "\n"), ("b.", " the")))
        (text,) = model.generate_until(asked("generate_until", ("a text.", {"max_gen_toks": 6})))
    for (value, greedy), each in zip(found, (("a text.", " option"), ("a text.", "\n"), ("b.", " the")), strict=True):
        assert (value, greedy) == pytest.approx(expected_of(plain.spec, tokenizer, *each))
    rows, token, ids = table(plain.spec.inputs[0].high), tokenizer.encode("a text.")[-1], []
    for _ in range(6):
        token = int(rows[token].argmax())
        ids.append(token)
    assert text == tokenizer.decode(ids)


def test_a_runtime_that_dies_is_a_typed_error_and_the_next_request_is_asked_of_a_fresh_worker(plain):
    requests = asked("loglikelihood", *((f"{number}.", " a") for number in range(6)))
    with BackendLM(**plain.ours, backend="tests.lm_eval.vendors:Table", options={"dies_at": 3}) as model:
        with pytest.raises(CrashError) as caught:
            model.loglikelihood(requests)
        assert caught.value.signal == "SIGKILL"
        assert len(model.loglikelihood(requests[:3])) == 3


def test_a_runtime_that_hangs_is_a_typed_error(plain):
    limits = {"query_s": 1.0, "grace_s": 0.5}
    with (
        BackendLM(**plain.ours, backend="tests.lm_eval.vendors:Table", options={"hangs_at": 1}, limits=limits) as model,
        pytest.raises(TimeLimitError, match="query_s"),
    ):
        model.generate_until(asked("generate_until", ("a", {"max_gen_toks": 2}), ("b", {"max_gen_toks": 2})))


@pytest.mark.parametrize("backend", [Outputs(), Deaf()], ids=["says so", "does something else"])
def test_a_backend_that_does_not_answer_what_is_asked_is_a_typed_error(plain, backend):
    with BackendLM(**plain.ours, backend=backend) as model:
        with pytest.raises(UnsupportedAskError):
            model.loglikelihood(asked("loglikelihood", ("a", " b")))
        with pytest.raises(UnsupportedAskError):
            model.generate_until(asked("generate_until", ("a", {"max_gen_toks": 2})))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"tokenizer": None}, DatasetUnavailableError, "no tokenizer of model"),
        ({"end": "no such"}, DatasetError, "lacks a token"),
        ({"options": {"length": 0}}, SpecError, "how long a text .* max_length"),
        ({"options": {"length": 20}, "max_length": 21}, SpecError, "room for 20 tokens"),
        ({"options": {"lenght": 20}}, SpecError, "did you mean 'length'"),
        ({"limits": {"query": 20}}, SpecError, "query_s"),
        ({"model": "no-such-model"}, UnknownNameError, "no-such-model"),
        ({"pass_env": "NO_SUCH_VARIABLE"}, SpecError, "NO_SUCH_VARIABLE"),
    ],
)
def test_what_cannot_be_is_refused_at_once(plain, given, error, words):
    with pytest.raises(error, match=words):
        BackendLM(**{**plain.ours, "backend": "tests.lm_eval.vendors:Table", **given})


def test_contexts_are_not_cut_for_want_of_room_unless_that_is_meant(plain):
    small = {"cache_bytes": 8 * 2 * 2 * 32 * 4 * 50}  # slots, layers, keys and values, width, bytes, positions
    with pytest.raises(
        SpecError, match=f"got 'room for 50 tokens'; expected {CONTEXT} tokens.*cache_bytes.*max_length"
    ):
        BackendLM(**plain.ours, backend=TorchGenerationBackend(), options=small)
    theirs = HFLM(pretrained=plain.theirs.model, tokenizer=plain.theirs.tokenizer, max_length=50, batch_size=1)
    with BackendLM(**plain.ours, backend=TorchGenerationBackend(), options=small, max_length=50) as model:
        pairs, texts = asked("loglikelihood", (LONG, " a")), asked("loglikelihood_rolling", (LONG,))
        prompts = asked("generate_until", (LONG, {"max_gen_toks": 8}))
        assert relative(*(each.loglikelihood(pairs)[0][0] for each in (model, theirs))) <= 1e-5
        assert relative(*(each.loglikelihood_rolling(texts) for each in (model, theirs))) <= 1e-5
        assert model.generate_until(prompts) == theirs.generate_until(prompts)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_beams": 4, "max_gen_toks": 8}, "num_beams=4"),
        ({"repetition_penalty": 1.2, "max_gen_toks": 8}, "repetition_penalty"),
        ({"max_gen_toks": CONTEXT}, "no room for its context"),
    ],
)
def test_a_way_to_generate_that_backends_are_not_asked_for_is_refused(plain, settings, words):
    with BackendLM(**plain.ours, backend=Table(), max_length=64) as model, pytest.raises(SpecError, match=words):
        model.generate_until(asked("generate_until", (SHORT, settings)))


def test_what_is_not_scored_or_templated_is_refused(plain):
    with BackendLM(**plain.ours, backend=Table()) as model:
        with pytest.raises(SpecError, match="cannot be scored"):
            model.loglikelihood(asked("loglikelihood", ("a", "")))
        with pytest.raises(SpecError, match="longer than what the model reads"):
            model.loglikelihood(asked("loglikelihood", ("a", LONG)))
        with pytest.raises(SpecError, match="chat templates"):
            model.apply_chat_template([{"role": "user", "content": "a"}])
        model.close()
        model.close()
