"""From a batch to a request of the engine, or a typed refusal."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import attrs
import numpy as np

from bytemlperf.backends.torch_generation.sampling import Sampler
from bytemlperf.backends.torch_generation.scoring import Scoring
from bytemlperf.backends.torch_generation.times import Times
from bytemlperf.causal import CausalShape
from bytemlperf.errors import InputMismatchError
from bytemlperf.sample import Array, Ask, Batch, Generation, Reply, Score

logger = logging.getLogger(__name__)


@attrs.define(eq=False)
class Request:
    """One prompt on its way; its reply is ended once.

    Attributes:
        prompt: Its token ids.
        ask: What was asked.
        reply: Who asked.
        sampler: Its choices, where tokens were asked for.
        scoring: What it comes to, where likelihoods were asked for.
        rows: Token ids [rows, length], where the model's outputs were asked for.
        read: Tokens of the prompt that are in the cache.
        tokens: What was chosen so far.
        given_up: Whether nobody waits for the rest.
        ended: Whether the reply was ended.
        times: Where its time went.
    """

    prompt: list[int]
    ask: Ask
    reply: Reply
    sampler: Sampler | None = None
    scoring: Scoring | None = None
    rows: Array | None = None
    read: int = 0
    tokens: list[int] = attrs.field(factory=list)
    given_up: bool = False
    ended: bool = False
    times: Times = attrs.field(factory=Times)

    @property
    def positions(self) -> int:
        """Positions of the cache that hold something."""
        return self.read + max(0, len(self.tokens) - 1)

    def done(self, outputs: Mapping[str, Array] | None = None) -> None:
        """End the reply."""
        tokens = len(self.tokens) if self.sampler is not None else None
        self.reply.done(outputs, tokens=tokens, reported=self.times.reported())
        self.ended = True

    def fail(self, error: Exception) -> None:
        """End the reply with an error, unless it was ended; one that cannot be told is logged."""
        if self.ended:
            return
        self.ended = True
        try:
            self.reply.fail(error)
        except Exception:  # whatever a reply raises is no concern of the other requests
            logger.exception("a reply could not be failed by: %s", error)


def requested(batch: Batch, shape: CausalShape, length: int, reply: Reply) -> Request:
    """Return what a batch asks of the engine.

    Args:
        batch: One prompt, one text, or rows whose logits are asked for.
        shape: Of the model.
        length: Most positions of a request.
        reply: Who asks.

    Raises:
        InputMismatchError: If the batch cannot be asked so; says why.
    """
    ask = batch.ask
    if isinstance(ask, Generation):
        ids = _row(batch, shape)
        if len(ids) + ask.max_new_tokens > length:
            raise _too_long(f"{len(ids)} + {ask.max_new_tokens} tokens", length)
        return Request(ids, ask, reply, sampler=Sampler(ask))
    if isinstance(ask, Score):
        ids = _row(batch, shape)
        _check_score(ask, len(ids), shape)
        scoring = Scoring(ids, ask)
        if scoring.positions > length:
            raise _too_long(f"{scoring.positions} tokens", length)
        return Request(ids, ask, reply, scoring=scoring)
    return Request([], ask, reply, rows=_rows(batch, shape))


def _row(batch: Batch, shape: CausalShape) -> list[int]:
    tokens = _ids(batch)
    if tokens is None or tokens.ndim != 2 or tokens.shape[0] != 1:  # noqa: PLR2004 - one row
        raise InputMismatchError(
            "a prompt is asked one at a time",
            got=None if tokens is None else list(tokens.shape),
            expected="tokens [1, length]",
        )
    ids: list[int] = tokens[0].tolist()
    if not ids:
        raise InputMismatchError("a prompt is empty", expected="one token at least")
    _check_known(tokens, shape, "a prompt")
    return ids


def _rows(batch: Batch, shape: CausalShape) -> Array:
    """Return the rows of a forward as int64."""
    tokens = _ids(batch)
    if tokens is None or tokens.ndim != 2 or not tokens.size:  # noqa: PLR2004 - rows and positions
        raise InputMismatchError(
            "a forward takes rows of tokens",
            got={name: list(each.shape) for name, each in batch.inputs.items()},
            expected="one input [rows, length]",
        )
    if tokens.shape[1] > shape.context:
        raise _too_long(f"{tokens.shape[1]} tokens", shape.context)
    _check_known(tokens, shape, "a row")
    return tokens.astype(np.int64)


def _ids(batch: Batch) -> Array | None:
    """Return the token ids: the input of that name, or the only one."""
    if "tokens" in batch.inputs:
        return batch.inputs["tokens"]
    return next(iter(batch.inputs.values())) if len(batch.inputs) == 1 else None


def _check_known(tokens: Array, shape: CausalShape, what: str) -> None:
    unknown = tokens[(tokens < 0) | (tokens >= shape.vocabulary)]
    if unknown.size:
        raise InputMismatchError(
            f"{what} has an unknown token", got=int(unknown[0]), expected=f"0 to {shape.vocabulary - 1}"
        )


def _check_score(ask: Score, length: int, shape: CausalShape) -> None:
    beyond = [span for span in ask.spans if span[1] > length]
    if beyond:
        raise InputMismatchError("a span reaches beyond its text", got=beyond[0], expected=f"at most {length}")
    for each in ask.continuations:
        _check_known(np.array(each), shape, "a continuation")


def _too_long(got: str, length: int) -> InputMismatchError:
    return InputMismatchError(
        "a prompt and its answer are longer than the cache",
        got=got,
        expected=f"{length} at most",
        remedy="ask for fewer tokens, or raise cache_bytes or max_length, up to the model's context",
    )
