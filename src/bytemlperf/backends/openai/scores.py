"""Scores from a server that echoes a prompt with the log-probabilities of its tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import numpy as np

from bytemlperf.backends.openai.discretion import Discretion
from bytemlperf.backends.openai.events import refusal
from bytemlperf.backends.openai.http import succeeded
from bytemlperf.errors import MalformedOutputError, PredictError, UnsupportedAskError
from bytemlperf.sample import Array, Reply, Score

_REFUSED: Final = (400, 404, 405, 422, 501)
"""Statuses of a request that is not understood, rather than of a server in trouble."""


@attrs.frozen
class Column:
    """One score: which prompt has it, and which of its tokens."""

    prompt: int
    first: int
    end: int


def score_request(tokens: Sequence[int], ask: Score) -> tuple[list[list[int]], tuple[Column, ...]]:
    """Return the prompts that are to be echoed, and where the scores are found in them.

    Example:
        >>> prompts, columns = score_request([5, 6], Score(continuations=[(7,), (8, 9)]))
        >>> prompts, columns[1]
        ([[5, 6, 7], [5, 6, 8, 9]], Column(prompt=1, first=2, end=4))
    """
    prompts = [list(tokens)] if ask.spans else []
    columns = [Column(0, first, end) for first, end in ask.spans]
    for each in ask.continuations:
        columns.append(Column(len(prompts), len(tokens), len(tokens) + len(each)))
        prompts.append([*tokens, *each])
    return prompts, tuple(columns)


def score_fields(prompts: list[list[int]]) -> dict[str, Any]:
    """Return the fields of a request that has prompts echoed; a token has to be asked for, and is left out."""
    return {"prompt": prompts, "max_tokens": 1, "echo": True, "logprobs": 1, "temperature": 0, "stream": False}


class Echo:
    """Turns one response into scores.

    Args:
        reply: Who asked.
        prompts: What is echoed.
        columns: Where the scores are.
        discretion: What may be told of the server's words.
    """

    def __init__(
        self, reply: Reply, prompts: list[list[int]], columns: tuple[Column, ...], discretion: Discretion
    ) -> None:
        self._reply, self._prompts, self._columns = reply, prompts, columns
        self._discretion = discretion
        self._code, self._data = 0, b""

    def status(self, code: int) -> None:
        """Keep the status."""
        self._code = code

    def body(self, data: bytes) -> None:
        """Keep what comes."""
        self._data += data

    def complete(self) -> None:
        """End the reply by the scores, or by what is wrong with the response."""
        try:
            outputs = self._outputs()
        except (MalformedOutputError, PredictError, UnsupportedAskError) as error:
            self._reply.fail(error)
            return
        self._reply.done(outputs)

    def broken(self, error: Exception) -> None:
        """End the reply with an error."""
        self._reply.fail(error)

    def _outputs(self) -> dict[str, Array]:
        if self._code in _REFUSED:
            raise _unsupported(str(refusal(self._code, self._discretion.told(self._data))))
        if not succeeded(self._code):
            raise refusal(self._code, self._discretion.told(self._data))
        try:
            told = sorted(json.loads(self._data)["choices"], key=lambda each: int(each.get("index", 0)))
            echoes = [each.get("logprobs") for each in told]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise MalformedOutputError(
                "a response cannot be read", got=self._discretion.told(self._data)[:200], expected=str(error)
            ) from error
        if len(echoes) != len(self._prompts) or not all(map(_is_echo, echoes, self._prompts)):
            raise _unsupported("a response without the log-probability of each token of the prompt")
        scored = [_score(echoes[each.prompt], each) for each in self._columns]
        return {
            "log_likelihood": np.array([[value for value, _ in scored]], np.float64),
            "greedy": np.array([[likeliest for _, likeliest in scored]], np.bool_),
        }


def _is_echo(told: object, prompt: list[int]) -> bool:
    if not isinstance(told, Mapping):
        return False
    values = told.get("token_logprobs")
    return isinstance(values, list) and len(values) >= len(prompt) and None not in values[1 : len(prompt)]


def _score(told: Mapping[str, Any], column: Column) -> tuple[float, bool]:
    """Return the sum over a span, and whether no other token is likelier anywhere in it."""
    values = [float(each) for each in told["token_logprobs"][column.first : column.end]]
    best = told.get("top_logprobs") or []
    tops = [max(each.values()) if each else value for each, value in zip(best[column.first : column.end], values)]  # noqa: B905 - servers leave the list out, or cut it
    return sum(values), len(tops) == len(values) and all(map(float.__ge__, values, map(float, tops)))


def _unsupported(got: str) -> UnsupportedAskError:
    return UnsupportedAskError(
        "the server does not score",
        got=got,
        expected="completions with `echo` and `logprobs`, as vLLM and SGLang have them",
        remedy="ask for tokens, or have scores from a backend with the weights, such as torch",
    )
