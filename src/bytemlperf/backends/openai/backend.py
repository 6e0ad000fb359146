"""A backend whose engine is a server somewhere: it compiles nothing and streams tokens over HTTP."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, ClassVar, Final

import attrs

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.base import AsyncBackend, Cancel
from bytemlperf.backends.compiled import LENGTH, CompiledModel, CompileInfo, CompileOptions
from bytemlperf.backends.openai.counting import Count
from bytemlperf.backends.openai.discretion import Discretion
from bytemlperf.backends.openai.events import Stream, refusal
from bytemlperf.backends.openai.http import Client, Request, origin_of, succeeded
from bytemlperf.backends.openai.scores import Echo, score_fields, score_request
from bytemlperf.errors import (
    BackendUnavailableError,
    CompileError,
    InputMismatchError,
    PredictError,
    SpecError,
    UnsupportedAskError,
)
from bytemlperf.sample import Batch, Generation, Reply, Score
from bytemlperf.spec import Format
from bytemlperf.spec.fields import at_least, positive

_PATHS: Final = {"completions": "/completions", "chat": "/chat/completions"}


def _api(_: object, __: object, value: str) -> None:
    if value not in _PATHS:
        raise SpecError("unknown API", where="$.options.api", got=value, expected=" or ".join(_PATHS))


def _json_object(_: object, __: object, value: str) -> None:
    try:
        read = json.loads(value)
    except ValueError as error:
        raise SpecError(
            "extra is no JSON", where="$.options.extra", got=value, expected="such as '{\"ignore_eos\": true}'"
        ) from error
    if not isinstance(read, dict):
        raise SpecError("extra is no JSON object", where="$.options.extra", got=value)


def _url(_: object, __: object, value: str) -> None:
    origin_of(value)


@attrs.frozen(kw_only=True)
class OpenAIOptions(CompileOptions):
    """What to ask of which server.

    Attributes:
        url: Base URL, such as `http://127.0.0.1:8000/v1`.
        model: Name of the model there; empty for the first that the server lists.
        api: `completions` sends the prompt's token ids as they are; `chat` sends them as the text of one message,
            for which a tokenizer is needed.
        key_env: Environment variable that holds the key; an unset one sends none. A worker's environment holds no
            secrets unless they are given to it: `Worker(env={...})`.
        tokenizer: Path of a `tokenizer.json`: counts tokens where the server does not tell them.
        usage: Ask for the server's own count of tokens.
        running_usage: Ask for that count in every event (vLLM), for servers that send several tokens in one.
        extra: Further fields of the request as a JSON object, such as `{"ignore_eos": true}`.
        connect_s: Bound of the time to connect.
        connections: Most calls at once; 0 for no bound.
    """

    url: str = attrs.field(default="http://127.0.0.1:8000/v1", validator=_url)
    model: str = ""
    api: str = attrs.field(default="completions", validator=_api)
    key_env: str = "OPENAI_API_KEY"
    tokenizer: str = ""
    usage: bool = True
    running_usage: bool = False
    extra: str = attrs.field(default="{}", validator=_json_object)
    connect_s: float = attrs.field(default=10.0, validator=positive())
    connections: int = attrs.field(default=0, validator=at_least(0))


@attrs.define(eq=False, kw_only=True)
class Endpoint:
    """A server and how it is asked; emptied by release."""

    client: Client | None
    path: str
    fields: dict[str, Any]
    headers: dict[str, str] = attrs.field(repr=False)
    discretion: Discretion
    count: Count | None
    decode: Callable[[list[int]], str] | None


class OpenAIBackend(AsyncBackend[OpenAIOptions, Endpoint]):
    """Any server that speaks OpenAI's API over HTTP/1.1; streams, with one thread for all connections.

    A call that fails is never tried again. The key is read from the environment, or from `key` where an instance is
    made by hand; it stands in no option, report or message.

    Args:
        key: Gives the key when a model is compiled.
    """

    name: ClassVar[str] = "openai"
    formats: ClassVar[frozenset[Format]] = frozenset(Format)
    options_type: ClassVar[type[CompileOptions]] = OpenAIOptions
    dynamic_batch: ClassVar[bool] = True
    remote: ClassVar[bool] = True
    asks: ClassVar[tuple[str, ...]] = ("generate", "score")
    tried_on: ClassVar[tuple[str, ...]] = ("a loopback server",)

    def __init__(self, *, key: Callable[[], str] | None = None) -> None:
        self._key = key

    def compile(self, artifact: ModelArtifact, options: OpenAIOptions) -> CompiledModel[Endpoint]:
        """Ask the server which models it has, and keep a connection.

        Raises:
            BackendUnavailableError: If the server cannot be reached, or refuses to tell.
            CompileError: If it does not have the model, or the tokenizer cannot be read.
        """
        tokenizer = _tokenizer(options.tokenizer)
        if options.api == "chat" and tokenizer is None:
            raise CompileError("chat takes text", where="$.options.tokenizer", expected="a path of a tokenizer.json")
        key = self._key() if self._key else os.environ.get(options.key_env, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        client = Client(origin_of(options.url), connect_s=options.connect_s)
        try:
            model, length = _model(client, headers, options, Discretion(key))
        except BaseException:
            client.close()
            raise
        endpoint = Endpoint(
            client=client,
            path=_PATHS[options.api],
            fields=_fields(model, options),
            headers=headers,
            discretion=Discretion(key),
            count=None if tokenizer is None else tokenizer.count,
            decode=None if tokenizer is None or options.api != "chat" else tokenizer.decode,
        )
        return CompiledModel(
            endpoint,
            CompileInfo(
                precision=options.precision or artifact.spec.precision,
                devices=(f"server {origin_of(options.url).authority}",),
                max_in_flight=options.connections or None,
                optimizations={"model": model, "api": options.api, **({LENGTH: length} if length else {})},
            ),
        )

    def submit(self, compiled: CompiledModel[Endpoint], batch: Batch, reply: Reply) -> Cancel | None:
        """Send one prompt, or a text whose likelihood is asked; events are stamped on the client's thread as they come.

        Raises:
            InputMismatchError: If the batch holds more than one prompt, or no tokens.
            UnsupportedAskError: If the model's outputs are asked, or a score of a chat.
            PredictError: If the model was released.
        """
        endpoint = compiled.handle
        if endpoint.client is None:
            raise PredictError("the compiled model was released", remedy="compile it again")
        if isinstance(batch.ask, Score):
            return _ask_score(endpoint, endpoint.client, _tokens(batch), batch.ask, reply)
        body = {**endpoint.fields, **_prompt(endpoint, _tokens(batch)), **_sampling(batch)}
        return endpoint.client.call(_post(endpoint, body), Stream(reply, endpoint.count, endpoint.discretion))

    def release(self, compiled: CompiledModel[Endpoint]) -> None:
        """Close the connections."""
        client, compiled.handle.client = compiled.handle.client, None
        if client is not None:
            client.close()

    def version(self) -> str:
        """Return the version of the HTTP parser; what serves is the server's to tell."""
        return f"httptools {version('httptools')}"


def _post(endpoint: Endpoint, body: dict[str, Any]) -> Request:
    return Request(method="POST", path=endpoint.path, body=json.dumps(body).encode(), headers=endpoint.headers)


def _ask_score(endpoint: Endpoint, client: Client, ids: list[int], ask: Score, reply: Reply) -> Cancel:
    if endpoint.path != _PATHS["completions"]:
        raise UnsupportedAskError("a chat has no score", where="$.options.api", got="chat", expected="completions")
    beyond = [span for span in ask.spans if span[1] > len(ids)]
    if beyond:
        raise InputMismatchError("a span reaches beyond its text", got=beyond[0], expected=f"at most {len(ids)}")
    prompts, columns = score_request(ids, ask)
    kept = {name: value for name, value in endpoint.fields.items() if name != "stream_options"}
    return client.call(
        _post(endpoint, {**kept, **score_fields(prompts)}), Echo(reply, prompts, columns, endpoint.discretion)
    )


def _tokens(batch: Batch) -> list[int]:
    tokens = batch.inputs.get("tokens")
    if tokens is None or tokens.ndim != 2 or tokens.shape[0] != 1 or not tokens.shape[1]:  # noqa: PLR2004 - a row
        raise InputMismatchError(
            "a prompt is asked one at a time",
            got=None if tokens is None else list(tokens.shape),
            expected="tokens [1, length]",
        )
    ids: list[int] = tokens[0].tolist()
    return ids


def _prompt(endpoint: Endpoint, ids: list[int]) -> dict[str, Any]:
    if endpoint.decode is None:
        return {"prompt": ids}
    return {"messages": [{"role": "user", "content": endpoint.decode(ids)}]}


def _sampling(batch: Batch) -> dict[str, Any]:
    ask = batch.ask
    if not isinstance(ask, Generation):
        raise UnsupportedAskError("a server gives no outputs", got=type(ask).__name__, expected="Generation or Score")
    fields: dict[str, Any] = {
        "max_tokens": ask.max_new_tokens,
        "temperature": ask.temperature,
        "top_p": ask.top_p,
        "seed": ask.seed,
    }
    further = {"min_tokens": ask.min_new_tokens, "top_k": ask.top_k, "stop_token_ids": list(ask.stop)}
    return fields | {name: value for name, value in further.items() if value}  # what OpenAI's own API does not know


def _fields(model: str, options: OpenAIOptions) -> dict[str, Any]:
    told = {"include_usage": True} if options.usage or options.running_usage else {}
    running = {"continuous_usage_stats": True} if options.running_usage else {}
    fields: dict[str, Any] = {"model": model, "stream": True}
    if told:
        fields["stream_options"] = {**told, **running}
    return {**fields, **json.loads(options.extra)}


def _model(
    client: Client, headers: dict[str, str], options: OpenAIOptions, discretion: Discretion
) -> tuple[str, int | None]:
    """Return the model's name at the server, which has to list it, and how long a text it takes, if that is told."""
    listed = _Whole(discretion)
    client.call(Request(method="GET", path="/models", headers=headers), listed)
    models = listed.models(options.connect_s)
    if not models or (options.model and options.model not in models):
        raise CompileError(
            "the server does not have the model",
            where="$.options.model",
            got=options.model or None,
            expected="one of: " + (", ".join(models) or "none"),
        )
    name = options.model or next(iter(models))
    return name, models[name]


class _Whole:
    """Waits for a response that is not streamed."""

    def __init__(self, discretion: Discretion) -> None:
        self._code, self._data, self._discretion = 0, b"", discretion
        self._error: Exception | None = None
        self._ended = threading.Event()

    def status(self, code: int) -> None:
        self._code = code

    def body(self, data: bytes) -> None:
        self._data += data

    def complete(self) -> None:
        self._ended.set()

    def broken(self, error: Exception) -> None:
        self._error = error
        self._ended.set()

    def models(self, timeout_s: float) -> dict[str, int | None]:
        """Return the models that the response lists, and the most tokens of each (`max_model_len`, of vLLM, SGLang)."""
        if not self._ended.wait(timeout_s * 2):
            raise BackendUnavailableError("the server does not answer", expected=f"an answer in {2 * timeout_s:g} s")
        if isinstance(self._error, BackendUnavailableError):
            raise self._error
        if self._error is not None or not succeeded(self._code):
            cause = self._error or refusal(self._code, self._discretion.told(self._data))
            raise BackendUnavailableError("the server does not tell its models", got=str(cause)) from cause
        try:
            listed = json.loads(self._data)["data"]
            return {str(each["id"]): _whole_number(each.get("max_model_len")) for each in listed}
        except (ValueError, TypeError, KeyError) as error:
            raise BackendUnavailableError("the server's list of models cannot be read", got=str(error)) from error


def _whole_number(told: object) -> int | None:
    return told if isinstance(told, int) and not isinstance(told, bool) else None


class _Tokenizer:
    """A fast tokenizer of a file."""

    def __init__(self, path: str) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(path)

    def count(self, text: str) -> int:
        """Count a text's tokens, without special ones."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: list[int]) -> str:
        """Write tokens as text."""
        text: str = self._tokenizer.decode(ids)
        return text


def _tokenizer(path: str) -> _Tokenizer | None:
    if not path:
        return None
    try:
        return _Tokenizer(path)
    except Exception as error:  # the library raises plain exceptions
        raise CompileError("the tokenizer cannot be read", where="$.options.tokenizer", got=str(error)) from error
