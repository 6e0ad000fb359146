"""The client of OpenAI-compatible servers, against a server on the loopback address."""

import contextlib
import gc
import socket
import threading
import time
import weakref
from contextlib import contextmanager

import numpy as np
import pytest

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.compiled import LENGTH
from bytemlperf.backends.openai.backend import OpenAIBackend, OpenAIOptions
from bytemlperf.backends.openai.http import origin_of
from bytemlperf.errors import (
    BackendUnavailableError,
    CompileError,
    InputMismatchError,
    MalformedOutputError,
    PredictError,
    SpecError,
    UnsupportedAskError,
)
from bytemlperf.sample import Batch, Generation, Score
from bytemlperf.spec import Format, Framework, ModelSpec, TensorSpec
from bytemlperf.testing.token_server import MODEL, Script, ServerFault, TokenServer

SPEC = ModelSpec(
    name="chat-torch-fp16",
    framework=Framework.TORCH,
    format=Format.TORCH,
    precision="fp16",
    inputs=(TensorSpec(name="tokens", shape=("batch", 5), dtype="int64", high=100),),
    outputs=(TensorSpec(name="logits", shape=("batch", 5, 100), dtype="float16"),),
)
ARTIFACT = ModelArtifact(spec=SPEC, format=Format.TORCH)
PROMPT = Batch(
    inputs={"tokens": np.array([[3, 1, 4, 1, 5]])}, size=1, ask=Generation(max_new_tokens=8, stop=(2,), seed=7)
)


class Heard:
    """A reply that keeps what it is told, and when."""

    def __init__(self):
        self.cancelled = False
        self.chunks, self.total, self.error, self.ends = [], None, None, 0
        self._ended = threading.Event()

    def chunk(self, outputs, tokens=1):
        now = time.perf_counter_ns()
        self.chunks.append((now, dict(outputs), tokens() if callable(tokens) else tokens))

    def done(self, outputs=None, tokens=None, reported=None):
        self.total, self.ends, self.outputs = tokens, self.ends + 1, outputs
        self._ended.set()

    def fail(self, error):
        self.error, self.ends = error, self.ends + 1
        self._ended.set()

    def wait(self):
        assert self._ended.wait(30)
        return self

    @property
    def tokens(self):
        return [tokens for _, _, tokens in self.chunks]


@contextmanager
def serving(script=None, **options):
    backend = options.pop("backend", None) or OpenAIBackend()
    with TokenServer(script) as server:
        compiled = backend.compile(ARTIFACT, OpenAIOptions(**{"url": server.url, **options}))
        try:
            yield server, lambda batch=PROMPT: _asked(backend, compiled, batch)
        finally:
            backend.release(compiled)
            backend.release(compiled)


def _asked(backend, compiled, batch):
    heard = Heard()
    heard.cancel = backend.submit(compiled, batch, heard)
    return heard


def test_a_prompt_is_sent_as_ids_and_its_tokens_are_counted():
    with serving(Script(tokens=(1, 1, 0, 1))) as (server, ask):
        heard = ask().wait()
    assert (heard.error, heard.tokens, heard.total, heard.ends) == (None, [1, 1, 0, 1], 3, 1)
    body = server.served[0].body
    assert body["prompt"] == [3, 1, 4, 1, 5]
    assert body["model"] == MODEL
    assert (body["max_tokens"], body["temperature"], body["seed"], body["stop_token_ids"]) == (8, 0.0, 7, [2])
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert "top_k" not in body


@pytest.mark.parametrize(
    ("script", "options"),
    [
        (Script(tokens=(0, 1, 3), running_usage=True), {"running_usage": True}),
        (Script(tokens=(0, 1, 3), token_ids=True), {}),
    ],
)
def test_events_of_several_tokens_are_counted_where_the_server_tells(script, options):
    with serving(script, **options) as (_, ask):
        heard = ask().wait()
    assert (heard.tokens, heard.total) == ([0, 1, 3], 4)
    if script.token_ids:
        assert [chunk["tokens"].tolist() for _, chunk, _ in heard.chunks] == [[], [0], [1, 2, 3]]


def test_the_text_of_a_server_that_names_no_tokens_is_handed_on():
    with serving(Script(tokens=(0, 1, 2), text=" né")) as (_, ask):
        heard = ask().wait()
    parts = [chunk for _, chunk, _ in heard.chunks]
    assert [sorted(each) for each in parts] == [[], ["text"], ["text"]]
    assert b"".join(each["text"].tobytes() for each in parts[1:]).decode() == " né né né"


@pytest.mark.parametrize("length", [None, 4096])
def test_how_long_a_text_a_server_takes_is_told_where_it_says_so(length):
    with TokenServer(Script(length=length)) as server:
        backend = OpenAIBackend()
        compiled = backend.compile(ARTIFACT, OpenAIOptions(url=server.url))
        backend.release(compiled)
    assert compiled.info.optimizations.get(LENGTH) == length


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"tok": 0, "a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "?": 6}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return str(path)


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_a_tokenizer_counts_where_the_server_does_not_tell(tokenizer, api):
    with serving(Script(tokens=(0, 1, 3), usage=False), tokenizer=tokenizer, api=api, usage=False) as (server, ask):
        heard = ask().wait()
    assert (heard.error, heard.tokens, heard.total) == (None, [0, 1, 3], None)
    asked = server.served[0].body
    assert "stream_options" not in asked
    if api == "chat":
        assert asked["messages"] == [{"role": "user", "content": "c a d a e"}]


def test_who_asks_without_the_harness_gets_counts_too(tokenizer):
    backend = OpenAIBackend()
    with TokenServer(Script(tokens=(0, 1, 3), usage=False)) as server:
        compiled = backend.compile(ARTIFACT, OpenAIOptions(url=server.url, tokenizer=tokenizer, usage=False))
        assert [chunk.tokens for chunk in backend.stream(compiled, PROMPT)] == [0, 1, 3]
        backend.release(compiled)


def test_connections_are_used_again_and_calls_run_side_by_side():
    with serving(Script(first_s=0.05, tokens=(1,))) as (server, ask):
        started = [ask() for _ in range(8)]
        assert all(heard.wait().error is None for heard in started)
        together = server.connections
        assert ask().wait().error is None
        assert server.connections == together <= 8


def test_further_fields_are_sent_and_bound_calls():
    with serving(extra='{"ignore_eos": true}', connections=4) as (server, ask):
        ask().wait()
    assert server.served[0].body["ignore_eos"] is True
    with TokenServer() as server:
        backend = OpenAIBackend()
        compiled = backend.compile(ARTIFACT, OpenAIOptions(url=server.url, connections=4))
        assert compiled.info.max_in_flight == 4
        assert compiled.info.devices == (f"server 127.0.0.1:{origin_of(server.url).port}",)
        backend.release(compiled)
        with pytest.raises(PredictError, match="released"):
            backend.submit(compiled, PROMPT, Heard())


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (ServerFault.DROP, PredictError, "closed the connection"),
        (ServerFault.GARBAGE, MalformedOutputError, "cannot be read"),
        (ServerFault.NOT_HTTP, MalformedOutputError, "no HTTP"),
        (ServerFault.STATUS_500, PredictError, "status 500.*out of memory"),
        (ServerFault.STATUS_401, PredictError, "status 401.*incorrect key"),
        (ServerFault.ERROR_EVENT, PredictError, "the engine died"),
        (ServerFault.CUT, MalformedOutputError, "without a reason to finish"),
    ],
)
def test_what_goes_wrong_at_the_server_fails_one_query(fault, kind, words):
    with serving(Script(faults=(fault,))) as (_, ask):
        failed, fine = ask().wait(), ask().wait()
    assert type(failed.error) is kind
    assert failed.ends == 1
    with pytest.raises(kind, match=words):
        raise failed.error
    assert (fine.error, fine.total) == (None, 4)


def test_a_stalled_query_can_be_cancelled_and_others_go_on():
    with serving(Script(faults=(ServerFault.STALL,))) as (server, ask):
        stalled = ask()
        while not stalled.chunks:
            time.sleep(0.001)
        stalled.cancel()
        stalled.cancel()
        assert ask().wait().error is None
        assert stalled.ends == 0  # the harness has ended it itself
    assert not server.served[0].ended


def test_a_query_given_up_late_harms_no_other():
    with serving() as (_, ask):
        first = ask().wait()
        second = ask()
        first.cancel()  # its connection serves the second now
        assert second.wait().error is None


def test_the_key_is_sent_and_never_told(monkeypatch):
    monkeypatch.setenv("MY_KEY", "s3cret")
    with serving(key_env="MY_KEY") as (server, ask):
        ask().wait()
        assert server.served[0].headers["authorization"] == "Bearer s3cret"
    with TokenServer() as server:
        backend = OpenAIBackend(key=lambda: "s3cret")
        compiled = backend.compile(ARTIFACT, OpenAIOptions(url=server.url))
        assert "s3cret" not in repr(compiled)
        assert "s3cret" not in repr(compiled.info)
        backend.release(compiled)


def test_a_key_that_the_server_repeats_is_left_out_of_the_failure(monkeypatch):
    monkeypatch.setenv("MY_KEY", "s3cret")
    with serving(Script(faults=[ServerFault.STATUS_401]), key_env="MY_KEY") as (_, ask):
        error = ask().wait().error
    assert "incorrect key: Bearer (the key)" in str(error)
    assert "s3cret" not in repr(vars(error))


def test_a_server_that_takes_no_connection_or_says_nothing_is_given_up_in_time():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        began = time.monotonic()
        with pytest.raises(BackendUnavailableError, match=r"does not answer; expected an answer in 0\.6 s"):
            OpenAIBackend().compile(ARTIFACT, OpenAIOptions(url=url, connect_s=0.3))
        with contextlib.ExitStack() as stack:
            for _ in range(8):  # the system takes no more of them then
                waits = stack.enter_context(socket.socket())
                waits.setblocking(False)
                waits.connect_ex(full.getsockname())
            with pytest.raises(BackendUnavailableError, match=r"cannot be reached.*not within 0\.3 s"):
                OpenAIBackend().compile(ARTIFACT, OpenAIOptions(url=url, connect_s=0.3))
        assert time.monotonic() - began < 5


def test_a_server_that_is_not_there_or_lacks_the_model():
    with TokenServer() as server:
        url = server.url
        with pytest.raises(CompileError, match=f"one of: {MODEL}"):
            OpenAIBackend().compile(ARTIFACT, OpenAIOptions(url=url, model="other"))
    with pytest.raises(BackendUnavailableError, match="cannot be reached"):
        OpenAIBackend().compile(ARTIFACT, OpenAIOptions(url=url))


@pytest.mark.parametrize(
    "options",
    [
        {"url": "ftp://host/v1"},
        {"url": "http://user:password@host/v1"},
        {"url": "http://host:port/v1"},
        {"url": "host"},
        {"api": "telepathy"},
        {"extra": "[1]"},
        {"extra": "{"},
        {"connect_s": 0},
    ],
)
def test_options_that_cannot_be(options):
    with pytest.raises(SpecError) as caught:
        OpenAIOptions(**options)
    assert "password@" not in str(caught.value)


@pytest.mark.parametrize(
    "tokens", [np.zeros((2, 3), np.int64), np.zeros((1, 0), np.int64), np.zeros(3, np.int64), None]
)
def test_a_batch_that_is_no_prompt(tokens):
    with serving() as (_, ask), pytest.raises(InputMismatchError, match="one at a time"):
        ask(Batch(inputs={} if tokens is None else {"tokens": tokens}, size=1, ask=PROMPT.ask))


def test_outputs_are_not_asked_of_a_server():
    with serving() as (_, ask), pytest.raises(UnsupportedAskError, match="no outputs"):
        ask(Batch(inputs=PROMPT.inputs, size=1))


def scored(ask, **script):
    with serving(Script(**script)) as (server, call):
        heard = call(Batch(inputs=PROMPT.inputs, size=1, ask=ask)).wait()
        return heard, [each.body for each in server.served]


def by_id(prompt):
    return [-token / 10 for token in prompt]


def test_scores_come_from_echoed_prompts():
    ask = Score(spans=[(1, 3), (4, 5)], continuations=[(9,), (2, 6)])
    heard, (body,) = scored(ask, scores=by_id)
    assert heard.error is None
    np.testing.assert_allclose(heard.outputs["log_likelihood"], [[-0.5, -0.5, -0.9, -0.8]])
    assert heard.outputs["greedy"].tolist() == [[True, True, False, False]]  # the server's likeliest has -0.5
    assert body["prompt"] == [[3, 1, 4, 1, 5], [3, 1, 4, 1, 5, 9], [3, 1, 4, 1, 5, 2, 6]]
    assert (body["echo"], body["stream"], body["max_tokens"]) == (True, False, 1)
    heard, (body,) = scored(Score(continuations=[(9,)]), scores=by_id)
    assert heard.outputs["log_likelihood"].tolist() == [[-0.9]]
    assert body["prompt"] == [[3, 1, 4, 1, 5, 9]]


@pytest.mark.parametrize("scores", [None, lambda prompt: [0.0] * (len(prompt) - 2)])
def test_a_server_that_does_not_score_is_told_so(scores):
    heard, _ = scored(Score(spans=[(1, 5)]), scores=scores)
    assert isinstance(heard.error, UnsupportedAskError)
    assert "does not score" in str(heard.error)


def test_a_score_that_cannot_be_asked(tokenizer):
    with serving(api="chat", tokenizer=tokenizer) as (_, ask), pytest.raises(UnsupportedAskError, match="no score"):
        ask(Batch(inputs=PROMPT.inputs, size=1, ask=Score(spans=[(1, 5)])))
    with serving() as (_, ask), pytest.raises(InputMismatchError, match="beyond its text"):
        ask(Batch(inputs=PROMPT.inputs, size=1, ask=Score(spans=[(1, 6)])))


def test_no_thread_or_connection_is_left():
    before = set(threading.enumerate())
    with serving() as (_, ask):
        for _ in range(3):
            ask().wait()
    assert set(threading.enumerate()) <= before


def test_a_thousand_failed_and_cancelled_queries_leave_nothing():
    """Every fault in turn; what only a collector would free counts as left: timed runs hold it off."""
    faults = [fault for fault in ServerFault if fault is not ServerFault.NONE] * 125
    gc.collect()
    gc.disable()
    try:
        with serving(Script(first_s=0, gap_s=0, tokens=(1, 1), faults=faults)) as (_, ask):
            threads = threading.active_count()
            left = [weakref.ref(one_that_fails(ask, fault)) for fault in faults]
            assert ask().wait().total == 2
            assert threading.active_count() == threads
            assert sum(type(each).__name__ == "_Connection" for each in gc.get_objects()) <= 2
            assert [reply() for reply in left] == [None] * len(faults)
    finally:
        gc.enable()


def one_that_fails(ask, fault):
    heard = ask()
    if fault is ServerFault.STALL:
        while not heard.chunks:
            time.sleep(0.0005)
        heard.cancel()
    else:
        assert isinstance(heard.wait().error, PredictError)
    del heard.cancel  # else the reply would hold itself
    return heard


def test_origins():
    assert origin_of("https://example.org/v1/").base == "/v1"
    assert origin_of("https://example.org").authority == "example.org"
    assert origin_of("http://[::1]:81/v1").authority == "[::1]:81"
