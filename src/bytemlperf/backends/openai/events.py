"""What a server answers: events of a stream, each counted in tokens and handed on as it arrives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import numpy as np

from bytemlperf.backends.openai.counting import Count, Growing
from bytemlperf.backends.openai.discretion import Discretion
from bytemlperf.backends.openai.http import succeeded
from bytemlperf.errors import MalformedOutputError, PredictError
from bytemlperf.sample import Outputs, Reply

_DATA: Final = b"data:"
_DONE: Final = b"[DONE]"


class Stream:
    """Turns one streamed response into chunks of a reply.

    Tokens of an event are, in this order: ids that the server names (`token_ids`), the growth of its running total
    (`usage` in every event), the growth of a tokenizer's count over all the text so far, or else 1 for an event
    with text and 0 for one without. Where a tokenizer counts, an event is stamped before it does.

    Args:
        reply: Who asked.
        count: Counts tokens of a text; None where there is no tokenizer.
        discretion: What may be told of the server's words.
    """

    def __init__(self, reply: Reply, count: Count | None, discretion: Discretion) -> None:
        self._reply, self._discretion = reply, discretion
        self._text = None if count is None else Growing(count)
        self._code = 0
        self._rest = b""
        self._complaint = b""
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
            self._complaint += data[: Discretion.most_read - len(self._complaint)]
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
            self._reply.fail(refusal(self._code, self._discretion.told(self._complaint)))
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
            text = self._discretion.told(data)
            self.broken(MalformedOutputError("an event of the stream cannot be read", got=text, expected=str(error)))

    def _hand_on(self, event: Mapping[str, Any]) -> None:
        if "error" in event:
            self.broken(
                PredictError("the server failed", got=self._discretion.told(json.dumps(event["error"]).encode()))
            )
            return
        running = (event.get("usage") or {}).get("completion_tokens")
        choice = (event.get("choices") or [None])[0]
        if running is not None:
            self._total = int(running)
        if choice is None:
            return
        text, ids = _text_of(choice), choice.get("token_ids")
        self._finished = self._finished or choice.get("finish_reason") is not None
        if text and ids is None and running is None and self._text is not None:
            self._reply.chunk(_outputs(text, None), partial(self._counted, self._text, text))
            return
        tokens = len(ids) if ids is not None else int(bool(text)) if running is None else self._grown(int(running))
        self._tokens += tokens
        if tokens or text or not choice.get("finish_reason"):
            self._reply.chunk(_outputs(text, ids), tokens)

    def _counted(self, whole: Growing, text: str) -> int:
        """Count what a further text brings; called when its event has been stamped."""
        tokens = self._grown(whole.add(text))
        self._tokens += tokens
        return tokens

    def _grown(self, total: int) -> int:
        return max(0, total - self._tokens)


def _text_of(choice: Mapping[str, Any]) -> str:
    """Return an event's new text, of either API; what a model thinks is generated as the rest is."""
    if "delta" not in choice:
        parts = [choice["text"]]
    else:
        delta = choice["delta"] or {}
        parts = [delta.get("reasoning_content") or delta.get("reasoning"), delta.get("content")]
    if not all(each is None or isinstance(each, str) for each in parts):
        raise TypeError("text")
    return "".join(each for each in parts if each)


def _outputs(text: str, ids: list[int] | None) -> Outputs:
    """Return an event's new tokens, or the text of a server that does not name them."""
    if ids is not None:
        return {"tokens": np.asarray(ids, dtype=np.int64)}
    return {"text": np.frombuffer(text.encode(), np.uint8)} if text else {}


def refusal(code: int, complaint: str) -> PredictError:
    """Return the error of a response that is no success."""
    return PredictError(f"the server answered with status {code}", got=complaint or None)
