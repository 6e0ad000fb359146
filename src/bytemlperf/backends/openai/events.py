"""What a server answers: events of a stream, each counted in tokens and handed on as it arrives."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from bytemlperf.backends.openai.http import succeeded
from bytemlperf.errors import MalformedOutputError, PredictError
from bytemlperf.sample import Outputs, Reply

Count = Callable[[str], int]
"""Tokens of a text, by a tokenizer."""

_DATA: Final = b"data:"
_DONE: Final = b"[DONE]"
_MOST_TOLD: Final = 500
"""Characters of a server's complaint that are told."""


class Stream:
    """Turns one streamed response into chunks of a reply.

    Tokens of an event are, in this order: ids that the server names (`token_ids`), the growth of its running total
    (`usage` in every event), the growth of a tokenizer's count over all the text so far, or else 1 for an event
    with text and 0 for one without.

    Args:
        reply: Who asked.
        count: Counts tokens of a text; None where there is no tokenizer.
    """

    def __init__(self, reply: Reply, count: Count | None) -> None:
        self._reply, self._count = reply, count
        self._code = 0
        self._rest = b""
        self._complaint = b""
        self._text = ""
        self._tokens = 0
        self._total: int | None = None
        self._finished = False
        self._failed = False

    def status(self, code: int) -> None:
        """Keep the status."""
        self._code = code

    def body(self, data: bytes) -> None:
        """Hand on every whole event."""
        if not succeeded(self._code):
            self._complaint += data[: _MOST_TOLD - len(self._complaint)]
            return
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line.startswith(_DATA) and not self._failed:
                self._take(line[len(_DATA) :].strip())

    def complete(self) -> None:
        """End the reply, with an error if the answer is none or is not whole."""
        if self._failed:
            return
        if not succeeded(self._code):
            self._reply.fail(refusal(self._code, self._complaint))
        elif not self._finished:
            self._reply.fail(MalformedOutputError("the stream ended without a reason to finish", got=self._tokens))
        else:
            self._reply.done(tokens=self._total)

    def broken(self, error: Exception) -> None:
        """End the reply with an error."""
        if not self._failed:
            self._failed = True
            self._reply.fail(error)

    def _take(self, data: bytes) -> None:
        if data == _DONE:
            self._finished = True
            return
        try:
            event = json.loads(data)
            self._hand_on(event)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            text = _told(data)
            self.broken(MalformedOutputError("an event of the stream cannot be read", got=text, expected=str(error)))

    def _hand_on(self, event: Mapping[str, Any]) -> None:
        if "error" in event:
            self.broken(PredictError("the server failed", got=_told(json.dumps(event["error"]).encode())))
            return
        usage = event.get("usage") or {}
        choice = (event.get("choices") or [None])[0]
        if "completion_tokens" in usage:
            self._total = int(usage["completion_tokens"])
        if choice is None:
            return
        ids = choice.get("token_ids")
        text = _text_of(choice)
        tokens = self._tokens_of(text, ids, running="completion_tokens" in usage)
        self._tokens += tokens
        self._finished = self._finished or choice.get("finish_reason") is not None
        if tokens or text or not choice.get("finish_reason"):
            self._reply.chunk(_outputs(text, ids), tokens)

    def _tokens_of(self, text: str, ids: list[int] | None, *, running: bool) -> int:
        if ids is not None:
            return len(ids)
        if running:
            assert self._total is not None
            return max(0, self._total - self._tokens)
        if self._count is None:
            return int(bool(text))
        if not text:
            return 0
        self._text += text
        return max(0, self._count(self._text) - self._tokens)


def _text_of(choice: Mapping[str, Any]) -> str:
    """Return an event's new text, of either API."""
    told = choice["delta"].get("content") if "delta" in choice else choice["text"]
    if told is not None and not isinstance(told, str):
        raise TypeError("text")
    return told or ""


def _outputs(text: str, ids: list[int] | None) -> Outputs:
    """Return an event's new tokens, or the text of a server that does not name them."""
    if ids is not None:
        return {"tokens": np.asarray(ids, dtype=np.int64)}
    return {"text": np.frombuffer(text.encode(), np.uint8)} if text else {}


def refusal(code: int, complaint: bytes) -> PredictError:
    """Return the error of a response that is no success."""
    return PredictError(f"the server answered with status {code}", got=_told(complaint) or None)


def _told(data: bytes) -> str:
    """Return what a server said on one line, cut to what a message can hold."""
    return " ".join(data.decode(errors="replace").split())[:_MOST_TOLD]
