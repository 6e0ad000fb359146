"""The engine: a thread that steps through all requests under way together, as new ones come and old ones end."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque

import attrs
import numpy as np
import torch
from torch import Tensor

from bytemlperf.backends.torch_generation.cache import Rows
from bytemlperf.backends.torch_generation.sampling import Sampler
from bytemlperf.backends.torch_generation.scoring import Scoring
from bytemlperf.causal import CausalModel
from bytemlperf.errors import BenchmarkError, CancelledError, PredictError
from bytemlperf.sample import Array, Ask, Generation, Reply


@attrs.define(eq=False)
class Request:
    """One prompt on its way.

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
        came_ns: When it came, by `time.perf_counter_ns`.
        begun_ns: When its prompt was begun; 0 before.
        first_ns: When its first token was chosen; 0 before.
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
    came_ns: int = attrs.field(factory=time.perf_counter_ns)
    begun_ns: int = 0
    first_ns: int = 0

    @property
    def reported(self) -> dict[str, float]:
        """The engine's own times of a request that has just ended: waiting, reading its prompt, answering."""
        now = time.perf_counter_ns()
        first = self.first_ns or now
        return {
            "queue_ms": (self.begun_ns - self.came_ns) / 1e6,
            "prefill_ms": (first - self.begun_ns) / 1e6,
            "decode_ms": (now - first) / 1e6,
        }

    @property
    def positions(self) -> int:
        """Positions of the cache that hold something."""
        return self.read + max(0, len(self.tokens) - 1)


class Engine:
    """Serves requests on a thread of its own.

    Requests that decode lie in the first rows of the cache, and at most one more, the newest, is having its prompt
    read in the row behind them. A step reads a piece of that prompt, then decodes one token for each of the others:
    a long prompt delays each of their tokens by one piece and no more.

    Args:
        model: In evaluation mode, on the device of `rows`.
        rows: The cache.
        count: Rows of it.
        piece: Tokens of a prompt that are read in one step while others decode.
        whole: The same while nobody decodes.
        device: Where tokens go; reading a chosen token from it waits until it is computed, before it is stamped.
    """

    def __init__(
        self, model: CausalModel, rows: Rows, *, count: int, piece: int, whole: int, device: torch.device
    ) -> None:
        self._model, self._rows, self._count = model, rows, count
        self._piece, self._whole, self._device = piece, whole, device
        self._waiting: deque[Request] = deque()
        self._decoding: list[Request] = []
        self._reading: Request | None = None
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="generation", daemon=True)
        self._thread.start()

    @property
    def under_way(self) -> int:
        """Requests that wait or hold a row."""
        with self._changed:
            return len(self._waiting) + len(self._decoding) + (self._reading is not None)

    def add(self, request: Request) -> None:
        """Take a request; its reply is ended later, on the engine's thread.

        Raises:
            PredictError: If the engine was stopped.
        """
        with self._changed:
            if self._stopped:
                raise PredictError("the compiled model was released", remedy="compile it again")
            self._waiting.append(request)
            self._changed.notify()

    def give_up(self, request: Request) -> None:
        """Free what a request holds, at the next step; from any thread."""
        request.given_up = True
        with self._changed:
            self._changed.notify()

    def stop(self) -> None:
        """End the thread; requests that have not ended fail. Twice is harmless."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while self._admit():
            with torch.inference_mode():
                self._step()
        error = PredictError("the compiled model was released while the query waited")
        self._fail([*self._take_under_way(), *self._waiting], error)

    def _step(self) -> None:
        """Read a piece of a prompt and decode a token each; what goes wrong ends those whom it concerns."""
        if (reading := self._reading) is not None:
            try:
                self._read(reading)
            except Exception as error:  # noqa: BLE001 - whatever torch raises
                self._reading = None
                self._decoding = [each for each in self._decoding if each is not reading]
                self._fail([reading], error)
        if self._decoding:
            try:
                self._decode()
            except Exception as error:  # noqa: BLE001 - whatever torch raises
                self._fail(self._take_under_way(), error)

    def _take_under_way(self) -> list[Request]:
        held = [*self._decoding, *([self._reading] if self._reading else [])]
        self._decoding, self._reading = [], None
        return held

    def _admit(self) -> bool:
        """Wait for work, drop what was given up, take the next prompt; return False once stopped."""
        with self._changed:
            self._drop_given_up()
            while not (self._stopped or self._waiting or self._decoding or self._reading):
                self._changed.wait()
                self._drop_given_up()
            if self._reading is None and self._waiting and len(self._decoding) < self._count:
                self._reading = self._waiting.popleft()
                self._reading.begun_ns = time.perf_counter_ns()
            return not self._stopped

    def _drop_given_up(self) -> None:
        for request in [each for each in self._waiting if each.given_up]:
            self._waiting.remove(request)
            request.reply.fail(CancelledError("the query was cancelled"))
        if self._reading is not None and self._reading.given_up:
            self._reading.reply.fail(CancelledError("the query was cancelled"))
            self._reading = None
        for row in reversed(range(len(self._decoding))):
            if self._decoding[row].given_up:
                self._decoding[row].reply.fail(CancelledError("the query was cancelled"))
                self._free(row)

    def _read(self, request: Request) -> None:
        """Read a piece of the newest prompt; its last piece gives the first token."""
        if request.scoring is not None:
            self._score(request, request.scoring)
            return
        if request.rows is not None:
            self._forward(request, request.rows)
            return
        row, bound = len(self._decoding), self._piece if self._decoding else self._whole
        piece = request.prompt[request.read : request.read + bound]
        last = request.read + len(piece)
        tokens = torch.tensor([piece], device=self._device)
        positions = torch.arange(request.read, last, device=self._device).unsqueeze(0)
        hidden = self._model.hidden(tokens, positions, self._rows.view(row, row + 1, last))
        request.read = last
        if last < len(request.prompt):
            return
        self._reading = None
        self._decoding.append(request)
        if self._take(request, self._model.logits(hidden[0, -1:])[0]):
            self._free(row)

    def _score(self, request: Request, scoring: Scoring) -> None:
        """Read a piece of a text whose likelihood is asked for; its row is free again after the last one."""
        row, bound = len(self._decoding), self._piece if self._decoding else self._whole
        first, piece = scoring.piece(bound)
        tokens = torch.tensor([piece], device=self._device)
        positions = torch.arange(first, first + len(piece), device=self._device).unsqueeze(0)
        hidden = self._model.hidden(tokens, positions, self._rows.view(row, row + 1, first + len(piece)))
        request.read = max(request.read, first + len(piece))
        scoring.take(self._model, hidden[0])
        if request.reply.cancelled:
            request.given_up = True
        if scoring.ended:
            self._reading = None
            request.reply.done(scoring.outputs, reported=request.reported)

    def _forward(self, request: Request, rows: Array) -> None:
        """Run the whole model once, without the cache: the others wait for it."""
        logits = self._model.forward(torch.tensor(rows, device=self._device))
        self._reading = None
        request.reply.done({"logits": logits.float().cpu().numpy()})

    def _decode(self) -> None:
        """Choose one more token for each request that decodes."""
        held = self._decoding
        tokens = torch.tensor([[each.tokens[-1]] for each in held], device=self._device)
        positions = torch.tensor([[each.positions] for each in held], device=self._device)
        cache = self._rows.view(0, len(held), int(positions.max()) + 1)
        logits = self._model.logits(self._model.hidden(tokens, positions, cache)[:, -1])
        ended = [row for row, each in enumerate(list(held)) if self._take(each, logits[row])]
        for row in reversed(ended):
            self._free(row)

    def _take(self, request: Request, logits: Tensor) -> bool:
        """Choose a token and hand it on; return whether the answer has ended."""
        assert request.sampler is not None, "only what was asked for tokens decodes"
        assert isinstance(request.ask, Generation), "the same"
        token = request.sampler.choose(logits.float())
        request.tokens.append(token)
        request.first_ns = request.first_ns or time.perf_counter_ns()
        outputs = {"tokens": np.array([[token]], dtype=np.int64)}
        if request.ask.logits:
            outputs["logits"] = logits.float().cpu().numpy()[None, None]
        if request.reply.cancelled:
            request.given_up = True
        request.reply.chunk(outputs, 1)
        if not request.sampler.ends(token, len(request.tokens)):
            return False
        request.reply.done(tokens=len(request.tokens), reported=request.reported)
        return True

    def _free(self, row: int) -> None:
        """Give a row back: the last that decodes moves into it, and the one that reads follows."""
        last = len(self._decoding) - 1
        moved = self._decoding[last]
        if row != last:
            self._rows.move(last, row, moved.positions)
            self._decoding[row] = moved
        self._decoding.pop()
        if self._reading is not None:
            self._rows.move(last + 1, last, self._reading.read)

    def _fail(self, requests: list[Request], cause: Exception) -> None:
        _let_go(cause)
        for request in requests:
            error = cause
            if not isinstance(cause, BenchmarkError):
                error = PredictError("the model cannot be run", got=" ".join(str(cause).split())[:500])
                error.__cause__ = cause
            request.reply.fail(error)


def _let_go(cause: Exception) -> None:
    """Turn a traceback into text: its frames hold the request, which holds the error by its reply.

    Nothing else would free them, with tensors and all: the collector of such rings is held off in timed runs.
    """
    if cause.__traceback__ is not None:
        cause.add_note("".join(traceback.format_tb(cause.__traceback__)))
        cause.__traceback__ = None
