"""HTTP/1.1 over kept connections, on one thread that stamps what arrives as it arrives.

A general client reads a response on a task of its own, which runs when the loop comes round to it: with 32 streams
that answer together the last is seen milliseconds late. Here what a socket gives is parsed at once and handed on.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

import attrs
import httptools

from bytemlperf.errors import BackendUnavailableError, MalformedOutputError, PredictError, SpecError

_OK: Final = 200
_PORTS: Final = {"http": 80, "https": 443}
_CLOSED: Final = "the server closed the connection before the end of its answer"


class Receiver(Protocol):
    """Who hears of one response; called on the client's thread."""

    def status(self, code: int) -> None:
        """Take the status, before any of the body."""

    def body(self, data: bytes) -> None:
        """Take a part of the body as it arrives."""

    def complete(self) -> None:
        """Take the end of the response."""

    def broken(self, error: Exception) -> None:
        """Take that no more will come."""


@attrs.frozen(kw_only=True)
class Origin:
    """Where a server listens.

    Attributes:
        host: Name or address.
        port: TCP port.
        tls: Whether the connection is encrypted; certificates are verified.
        base: Path before that of a call, such as `/v1`.
    """

    host: str
    port: int
    tls: bool
    base: str

    @property
    def authority(self) -> str:
        """Host and port as the header `Host` has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.tls else "http"] else f"{host}:{self.port}"


def origin_of(url: str) -> Origin:
    """Read a base URL, such as `http://127.0.0.1:8000/v1`.

    Raises:
        SpecError: If it is no such URL, or holds a user name or password, which would end up in reports.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _no_url(url, str(error)) from error
    if parts.username or parts.password:
        raise SpecError(
            "a server's URL holds a user name or a password",
            where="$.options.url",
            expected="a URL without them",
            remedy="put the key into an environment variable and name it in key_env",
        )
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        raise _no_url(url, "")
    return _origin(parts, port)


def _origin(parts: SplitResult, port: int | None) -> Origin:
    return Origin(
        host=parts.hostname or "",
        port=_PORTS[parts.scheme] if port is None else port,
        tls=parts.scheme == "https",
        base=parts.path.rstrip("/"),
    )


def _no_url(url: str, why: str) -> SpecError:
    return SpecError(
        "a server's URL cannot be read" + (f": {why}" if why else ""),
        where="$.options.url",
        got=url,
        expected="such as 'http://127.0.0.1:8000/v1'",
    )


@attrs.frozen(kw_only=True)
class Request:
    """One call.

    Attributes:
        method: `GET` or `POST`.
        path: Behind the origin's base, with a leading slash.
        body: JSON, or empty.
        headers: Besides those that every call has.
    """

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)  # the key is among them

    def encoded(self, origin: Origin) -> bytes:
        """Return the bytes that are sent."""
        headers = {
            "Host": origin.authority,
            "Accept": "text/event-stream, application/json",
            "Content-Type": "application/json",
            "Content-Length": str(len(self.body)),
            **self.headers,
        }
        lines = [f"{self.method} {origin.base}{self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


@attrs.define(eq=False)
class _Call:
    """A call on its way."""

    data: bytes
    receiver: Receiver
    connection: _Connection | None = None
    given_up: bool = False


class _Connection(asyncio.Protocol):
    """One connection, which carries one call at a time."""

    def __init__(self, idle: Callable[[_Connection], None], lost: Callable[[_Connection], None]) -> None:
        self._idle, self._lost = idle, lost
        self._transport: asyncio.Transport | None = None
        self._call: _Call | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._stays = True

    @property
    def open(self) -> bool:
        """Whether another call may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, call: _Call) -> None:
        """Send a call; its response goes to the call's receiver."""
        assert self._transport is not None
        self._call, call.connection = call, self
        self._transport.write(call.data)

    def close(self) -> None:
        """Drop the connection; nobody hears of it."""
        self._taken()
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._break(MalformedOutputError("the server's answer is no HTTP/1.1", got=repr(data[:80])), error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._parser = None  # the two hold each other, and the collector that would find it is held off in timed runs
        self._lost(self)
        self._break(PredictError(_CLOSED, got=str(exc) if exc else None), exc)

    def _break(self, error: Exception, cause: Exception | None) -> None:
        error.__cause__ = cause
        receiver = self._taken()
        if self._transport is not None:
            self._transport.abort()
        if receiver is not None:
            receiver.broken(error)

    def _taken(self) -> Receiver | None:
        """Let go of the call; return who hears of it."""
        call, self._call = self._call, None
        if call is None:
            return None
        call.connection = None
        return call.receiver

    def on_headers_complete(self) -> None:
        """Hear from the parser that the headers are there."""
        assert self._parser is not None
        self._stays = self._parser.should_keep_alive()
        if self._call is not None:
            self._call.receiver.status(self._parser.get_status_code())

    def on_body(self, data: bytes) -> None:
        """Hear from the parser of a part of the body."""
        if self._call is not None:
            self._call.receiver.body(data)

    def on_message_complete(self) -> None:
        """Hear from the parser that the response is whole."""
        receiver = self._taken()
        if self._stays and self.open:
            self._parser = httptools.HttpResponseParser(self)
            self._idle(self)
        elif self._transport is not None:
            self._transport.close()
        if receiver is not None:
            receiver.complete()


class Client:
    """Calls to one server, from any thread; one thread of its own does all input and output.

    Connections are kept and used again. Nothing is tried twice: a call that fails has failed.

    Args:
        origin: The server.
        connect_s: Bound of the time to connect.
    """

    def __init__(self, origin: Origin, *, connect_s: float) -> None:
        self._origin, self._connect_s = origin, connect_s
        self._tls = ssl.create_default_context() if origin.tls else None
        self._free: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="openai-client", daemon=True)
        self._thread.start()

    def call(self, request: Request, receiver: Receiver) -> Callable[[], None]:
        """Start a call; return what gives it up, from any thread: its connection is closed then.

        Raises:
            PredictError: If the client was closed.
        """
        call = _Call(request.encoded(self._origin), receiver)
        try:
            self._loop.call_soon_threadsafe(self._start, call)
        except RuntimeError as error:
            raise PredictError("the compiled model was released", remedy="compile it again") from error
        return lambda: self._give_up(call)

    def close(self) -> None:
        """Drop all connections and end the thread. Twice is harmless."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _drop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self._open):
            connection.close()
        await asyncio.sleep(0)  # transports tell in the next round that they are gone

    def _start(self, call: _Call) -> None:
        while self._free:
            connection = self._free.pop()  # the one used last is the likeliest to be open still
            if connection.open:
                connection.send(call)
                return
        task = self._loop.create_task(self._connect(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, call: _Call) -> None:
        origin = self._origin
        connecting = self._loop.create_connection(self._made, origin.host, origin.port, ssl=self._tls)
        try:
            _, connection = await asyncio.wait_for(connecting, self._connect_s)
        except (OSError, TimeoutError) as error:
            reason = str(error) or f"not within {self._connect_s:g} s"
            call.receiver.broken(
                BackendUnavailableError("the server cannot be reached", where=origin.authority, got=reason)
            )
            return
        self._open.add(connection)
        if call.given_up:
            self._free.append(connection)
        else:
            connection.send(call)

    def _made(self) -> _Connection:
        return _Connection(self._free.append, self._forget)

    def _forget(self, connection: _Connection) -> None:
        self._open.discard(connection)

    def _give_up(self, call: _Call) -> None:
        def drop() -> None:
            call.given_up = True
            if call.connection is not None:
                call.connection.close()

        with contextlib.suppress(RuntimeError):  # the client was closed, and the call with it
            self._loop.call_soon_threadsafe(drop)


def succeeded(code: int) -> bool:
    """Tell whether a status means success."""
    return code == _OK
