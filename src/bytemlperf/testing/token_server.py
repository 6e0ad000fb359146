"""A server on the loopback address that streams tokens at known times, in OpenAI's form, and fails when asked to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

import attrs

MODEL: Final = "loopback"
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class ServerFault(StrEnum):
    """What a server does instead of answering to the end."""

    NONE = "none"
    DROP = "drop"
    """Close the connection in the middle of the stream."""
    STALL = "stall"
    """Send nothing more after the first event, and keep the connection."""
    GARBAGE = "garbage"
    """Send an event that is no JSON."""
    NOT_HTTP = "not_http"
    """Answer with something that is no HTTP."""
    STATUS_500 = "status_500"
    """Answer with an error status."""
    STATUS_401 = "status_401"
    """Refuse the key, and repeat it in the message, as servers do."""
    ERROR_EVENT = "error_event"
    """Send an error as an event of the stream."""
    CUT = "cut"
    """End the stream in order, but without a reason to finish."""


@attrs.frozen(kw_only=True)
class Script:
    """What a server answers.

    Attributes:
        first_s: Time to the first event.
        gap_s: Time between events.
        tokens: Tokens of each event; an event of 0 has no text (a role header, a usage event).
        faults: What happens to each request in turn; the rest are answered.
        usage: Whether the last event tells the tokens.
        running_usage: Whether every event tells them, where the request asks for it.
        token_ids: Whether events name their tokens.
        length: Most tokens of a prompt and its answer, as the list of models tells it; None leaves it out.
        text: Of a token.
        scores: Log-probability of each token id of an echoed prompt; None where the server does not echo.
    """

    first_s: float = 0.01
    gap_s: float = 0.005
    tokens: Sequence[int] = (1, 1, 1, 1)
    faults: Sequence[ServerFault] = ()
    usage: bool = True
    running_usage: bool = False
    token_ids: bool = False
    length: int | None = None
    text: str = " tok"
    scores: Callable[[Sequence[int]], Sequence[float]] | None = None


@attrs.define(eq=False)
class Served:
    """One request as the server saw it.

    Attributes:
        body: What was asked.
        headers: In lower case.
        asked_ns: When the request was there, on the clock of `time.perf_counter_ns`, which processes of one machine
            share.
        sent_ns: When each event was written, on the same clock.
        ended: Whether it was answered to the end.
    """

    body: Mapping[str, Any]
    headers: Mapping[str, str]
    asked_ns: int
    sent_ns: list[int] = attrs.field(factory=list)
    ended: bool = False


class TokenServer:
    """Serves in a thread of its own between `with` and its end.

    Example:
        ::

            with TokenServer(Script(tokens=(0, 1, 3))) as server:
                run(..., backend="openai", options={"url": server.url})
    """

    def __init__(self, script: Script | None = None) -> None:
        """Begin when entered."""
        self.script = script or Script()
        self.served: list[Served] = []
        self.connections = 0
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="token-server", daemon=True)

    def __enter__(self) -> Self:
        """Listen on a free port."""
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection and end the thread."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            task = self._loop.create_task(self._answer_all(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the next round

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    await self._answer_next(reader, writer)
        finally:
            writer.transport.abort()

    async def _answer_next(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        asked_ns = time.perf_counter_ns()
        if head[0].startswith("GET"):
            told = {} if self.script.length is None else {"max_model_len": self.script.length}
            await _whole(writer, {"object": "list", "data": [{"id": MODEL, "object": "model", **told}]})
            return
        served = Served(json.loads(body), headers, asked_ns)
        faults = self.script.faults
        fault = faults[len(self.served)] if len(self.served) < len(faults) else ServerFault.NONE
        self.served.append(served)
        await self._answer(writer, served, fault, chat="/chat/" in head[0])

    async def _answer(self, writer: asyncio.StreamWriter, served: Served, fault: ServerFault, *, chat: bool) -> None:
        if fault is ServerFault.STATUS_500:
            await _whole(writer, {"error": {"message": "out of memory"}}, status="500 Internal Server Error")
            return
        if fault is ServerFault.STATUS_401:
            told = {"error": {"message": f"incorrect key: {served.headers.get('authorization', 'none')}"}}
            await _whole(writer, told, status="401 Unauthorized")
            return
        if fault is ServerFault.NOT_HTTP:
            writer.write(b"no such thing as a status line\r\n\r\n")
            await writer.drain()
            return
        if served.body.get("echo"):
            await self._echo(writer, served)
            return
        writer.write(_HEAD)
        await self._stream(writer, served, fault, chat=chat)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _echo(self, writer: asyncio.StreamWriter, served: Served) -> None:
        """Tell how likely each token of some prompts is; the likeliest at each place has the logarithm -0.5."""
        if self.script.scores is None:
            await _whole(writer, {"error": {"message": "echo is not supported"}}, status="400 Bad Request")
            return
        choices = []
        for index, prompt in enumerate(served.body["prompt"]):
            told = [None, *self.script.scores(prompt)[1:], -1.0]
            tops = [None, *({"it": max(each, -0.5)} for each in told[1:] if each is not None)]
            logprobs = {"token_logprobs": told, "top_logprobs": tops}
            choices.append({"index": index, "text": "", "logprobs": logprobs, "finish_reason": "length"})
        await _whole(writer, {"choices": choices[::-1]})
        served.ended = True

    async def _stream(self, writer: asyncio.StreamWriter, served: Served, fault: ServerFault, *, chat: bool) -> None:
        due, total, count = time.perf_counter() + self.script.first_s, 0, len(self.script.tokens)
        for number, tokens in enumerate(self.script.tokens):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            total += tokens
            event = self._event(
                served, tokens, total, last=number == count - 1 and fault is not ServerFault.CUT, chat=chat
            )
            data = _encoded(event)
            served.sent_ns.append(time.perf_counter_ns())
            writer.write(data)
            due += self.script.gap_s
            if number == 0 and fault is not ServerFault.CUT:
                await self._fail(writer, fault)
        if fault is ServerFault.CUT:
            return
        if self.script.usage:
            writer.write(_encoded({"choices": [], "usage": {"completion_tokens": total}}))
        writer.write(_encoded(None))
        served.ended = True

    async def _fail(self, writer: asyncio.StreamWriter, fault: ServerFault) -> None:
        if fault is ServerFault.DROP:
            writer.transport.abort()
            raise ConnectionError(fault)
        if fault is ServerFault.STALL:
            await asyncio.Event().wait()
        if fault is ServerFault.GARBAGE:
            writer.write(_chunk(b'data: {"choices": [\n\n'))
        if fault is ServerFault.ERROR_EVENT:
            writer.write(_encoded({"error": {"message": "the engine died"}}))

    def _event(self, served: Served, tokens: int, total: int, *, last: bool, chat: bool) -> dict[str, Any]:
        text = self.script.text * tokens
        choice: dict[str, Any] = {"index": 0, "finish_reason": "length" if last else None}
        choice |= {"delta": {"content": text} if tokens else {"role": "assistant"}} if chat else {"text": text}
        if self.script.token_ids:
            choice["token_ids"] = list(range(total - tokens, total))
        event: dict[str, Any] = {"id": "1", "model": served.body.get("model"), "choices": [choice]}
        if self.script.running_usage and served.body.get("stream_options", {}).get("continuous_usage_stats"):
            event["usage"] = {"completion_tokens": total}
        return event


def _encoded(event: Mapping[str, Any] | None) -> bytes:
    data = b"[DONE]" if event is None else json.dumps(event).encode()
    return _chunk(b"data: " + data + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _whole(writer: asyncio.StreamWriter, told: Mapping[str, Any], *, status: str = "200 OK") -> None:
    body = json.dumps(told).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
