"""Choose the next token of one request: greedy, or drawn from a seeded stream of its own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bytemlperf.sample import Generation


class Sampler:
    """The choices of one request.

    Draws come from the request's seed alone, one number for each token, so that they do not depend on what else the
    engine does. A token is drawn by inverting the cumulated probabilities of the tokens that are left, likeliest
    first (of equal ones the lower id).

    Args:
        ask: What was asked.
        stream: Where draws come from; None for a new one by the request's seed.
    """

    def __init__(self, ask: Generation, stream: np.random.Generator | None = None) -> None:
        self._ask = ask
        self._stream = np.random.Generator(np.random.PCG64(ask.seed)) if stream is None else stream

    def choose(self, logits: Tensor) -> int:
        """Return the next token of logits [vocabulary]: the first of the highest where the temperature is 0."""
        if self._ask.temperature == 0:
            return int(logits.argmax())
        return int(self._drawn(logits.double()))

    def _drawn(self, logits: Tensor) -> int:
        ask = self._ask
        ordered, tokens = torch.sort(logits / ask.temperature, descending=True, stable=True)
        if ask.top_k:
            ordered, tokens = ordered[: ask.top_k], tokens[: ask.top_k]
        shares = torch.softmax(ordered, dim=0).cumsum(0)
        if ask.top_p < 1:  # the fewest tokens that together reach it
            kept = int(torch.searchsorted(shares, ask.top_p)) + 1
            shares, tokens = shares[:kept], tokens[:kept]
        drawn = self._stream.random() * float(shares[-1])
        place = min(int(torch.searchsorted(shares, drawn, right=True)), len(tokens) - 1)
        return int(tokens[place])

    def ends(self, token: int, count: int) -> bool:
        """Tell whether the answer ends with its `count`-th token."""
        if count >= self._ask.max_new_tokens:
            return True
        return count >= self._ask.min_new_tokens and token in self._ask.stop
