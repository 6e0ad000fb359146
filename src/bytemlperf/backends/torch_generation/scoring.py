"""How likely the tokens of one request are: what has to be read, and what its hidden states come to."""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np
import torch
from torch import Tensor

from bytemlperf.causal import CausalModel
from bytemlperf.sample import Array, Score

_LOGITS_BYTES: Final = 32 * 2**20
"""Bound of the logits in float64 that are held at a time."""


@attrs.frozen(kw_only=True)
class Passage:
    """Tokens that are read one after another into a row of the cache.

    Attributes:
        start: Position of the first.
        tokens: Token ids.
        wanted: (index of a token, id of the next one, column of the answer), by index.
    """

    start: int
    tokens: tuple[int, ...]
    wanted: tuple[tuple[int, int, int], ...]


class Scoring:
    """Takes hidden states passage by passage, and reduces them to log-likelihoods.

    The logarithm of the softmax is taken in float64, so that what an answer lies off is what the logits lie off:
    for one token at most twice their largest error.

    Args:
        tokens: The input.
        ask: What is asked of it.
    """

    def __init__(self, tokens: list[int], ask: Score) -> None:
        columns = len(ask.spans) + len(ask.continuations)
        self._sums, self._greedy = np.zeros((1, columns)), np.ones((1, columns), np.bool_)
        self._passages = [each for each in _passages(tokens, ask) if each.wanted]
        self._read = 0

    @property
    def positions(self) -> int:
        """Positions of the cache that the longest passage reaches."""
        return max(each.start + len(each.tokens) for each in self._passages)

    @property
    def ended(self) -> bool:
        """Whether everything was read."""
        return not self._passages

    def piece(self, bound: int) -> tuple[int, list[int]]:
        """Return the position and the ids of the next tokens to be read, `bound` at most."""
        passage = self._passages[0]
        return passage.start + self._read, list(passage.tokens[self._read : self._read + bound])

    def take(self, model: CausalModel, hidden: Tensor) -> None:
        """Take the hidden states [read, width] of the tokens that `piece` gave."""
        passage, first = self._passages[0], self._read
        self._read += len(hidden)
        here = [each for each in passage.wanted if first <= each[0] < self._read]
        step = max(1, _LOGITS_BYTES // (8 * model.shape.vocabulary))
        for start in range(0, len(here), step):
            part = here[start : start + step]
            rows = torch.tensor([index - first for index, _, _ in part], device=hidden.device)
            self._add(model.logits(hidden[rows]), part)
        if self._read == len(passage.tokens):
            self._passages.pop(0)
            self._read = 0

    def _add(self, logits: Tensor, part: list[tuple[int, int, int]]) -> None:
        wide = logits.double()
        tokens = torch.tensor([token for _, token, _ in part], device=wide.device)
        chosen = wide.gather(1, tokens[:, None])[:, 0] - wide.logsumexp(dim=1)
        likeliest = wide.argmax(dim=1) == tokens
        for value, best, (_, _, column) in zip(chosen.tolist(), likeliest.tolist(), part, strict=True):
            self._sums[0, column] += value
            self._greedy[0, column] &= best

    @property
    def outputs(self) -> dict[str, Array]:
        """The answer."""
        return {"log_likelihood": self._sums, "greedy": self._greedy}


def _passages(tokens: list[int], ask: Score) -> list[Passage]:
    """Return what is to be read: the input as far as it is needed, then all but the last token of continuations."""
    wanted = [
        (place - 1, tokens[place], column)
        for column, (first, end) in enumerate(ask.spans)
        for place in range(first, end)
    ]
    later = list(enumerate(ask.continuations, start=len(ask.spans)))
    wanted += [(len(tokens) - 1, each[0], column) for column, each in later]
    needed = max(index for index, _, _ in wanted) + 1
    whole = Passage(start=0, tokens=tuple(tokens[:needed]), wanted=tuple(sorted(wanted)))
    return [whole, *(_after(len(tokens), each, column) for column, each in later)]


def _after(start: int, continuation: tuple[int, ...], column: int) -> Passage:
    wanted = tuple((index, token, column) for index, token in enumerate(continuation[1:]))
    return Passage(start=start, tokens=continuation[:-1], wanted=wanted)
