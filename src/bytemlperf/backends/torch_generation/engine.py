"""The engine: a thread that steps through all requests under way together, as new ones come and old ones end."""

from __future__ import annotations

import contextlib
import copy
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from bytemlperf.backends.torch_generation.cache import Rows
from bytemlperf.backends.torch_generation.requests import Request
from bytemlperf.backends.torch_generation.scoring import Scoring
from bytemlperf.causal import CausalModel
from bytemlperf.errors import BenchmarkError, CancelledError, PredictError
from bytemlperf.sample import Array, Generation


class Engine:
    """Serves requests on a thread of its own.

    Requests that decode lie in the first rows of the cache, and at most one more, the newest, is having its prompt
    read in the row behind them. A step reads a piece of that prompt, then decodes one token for each of the others:
    a long prompt delays each of their tokens by one piece and no more.

    What goes wrong ends those whom it concerns: a sampler or a reply its own request, a pass of the model all that
    were in it. If the thread itself ends by an error, all requests fail by it, and so does each later one.

    Args:
        model: In evaluation mode, on the device of `rows`.
        rows: The cache.
        count: Rows of it.
        piece: Tokens of a prompt that are read in one step while others decode.
        whole: The same while nobody decodes.
        device: Where tokens go; a pass is waited for before it is stamped.
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
        self._broken: BenchmarkError | None = None
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
            BenchmarkError: What ended the engine, if something did.
        """
        with self._changed:
            if self._broken is not None:
                raise copy.copy(self._broken)
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
        error: Exception = PredictError("the compiled model was released while the query waited")
        try:
            with torch.inference_mode():
                while self._wait():
                    self._step()
        except BaseException as cause:  # noqa: BLE001 - nobody else would hear of it, and all would wait for ever
            error = self._broken = _typed(cause)
        with self._changed:
            self._stopped = True
            left = [*self._take_under_way(), *self._waiting]
            self._waiting.clear()
        _fail(left, error)

    def _wait(self) -> bool:
        """Wait for work; return False once stopped."""
        with self._changed:
            while not (self._stopped or self._waiting or self._decoding or self._reading):
                self._changed.wait()
            return not self._stopped

    def _step(self) -> None:
        """Let go of what was given up, take the next prompt, read a piece of it, and decode a token each."""
        self._guarded(self._drop_given_up)
        self._admit()
        if (reading := self._reading) is not None:
            try:
                self._read(reading)
            except Exception as error:  # noqa: BLE001 - whatever torch raises
                self._reading = None
                self._decoding = [each for each in self._decoding if each is not reading]
                _fail([reading], error)
        if self._decoding:
            self._guarded(self._decode)

    def _guarded(self, what: Callable[[], None]) -> None:
        """Do something for all rows together; if it fails, so do they."""
        try:
            what()
        except Exception as error:  # noqa: BLE001 - whatever torch raises
            _fail(self._take_under_way(), error)

    def _take_under_way(self) -> list[Request]:
        held = [*self._decoding, *([self._reading] if self._reading else [])]
        self._decoding, self._reading = [], None
        return held

    def _admit(self) -> None:
        with self._changed:
            if self._reading is None and self._waiting and len(self._decoding) < self._count:
                self._reading = self._waiting.popleft()
                self._reading.times.begin()

    def _drop_given_up(self) -> None:
        with self._changed:
            given_up = [each for each in self._waiting if each.given_up]
            for each in given_up:
                self._waiting.remove(each)
            if self._reading is not None and self._reading.given_up:
                given_up.append(self._reading)
                self._reading = None
        for each in (*given_up, *(each for each in self._decoding if each.given_up)):
            each.fail(CancelledError("the query was cancelled"))
        self._free_ended()

    def _read(self, request: Request) -> None:
        """Read a piece of the newest prompt; its last piece gives the first token."""
        if request.scoring is not None:
            self._score(request, request.scoring)
            return
        if request.rows is not None:
            self._forward(request, request.rows)
            return
        piece = request.prompt[request.read : request.read + self._bound]
        with self._counted([request]):
            hidden = self._hidden(piece, request.read)
            request.read += len(piece)
            if request.read < len(request.prompt):
                return
            logits = self._model.logits(hidden[0, -1:])
        self._reading = None
        self._decoding.append(request)
        self._take(request, logits[0])
        self._free_ended()

    @property
    def _bound(self) -> int:
        """Tokens that are read in one step."""
        return self._piece if self._decoding else self._whole

    def _hidden(self, piece: Sequence[int], first: int) -> Tensor:
        """Read some tokens into the row behind those that decode, from a position on."""
        row, last = len(self._decoding), first + len(piece)
        tokens = torch.tensor([piece], device=self._device)
        positions = torch.arange(first, last, device=self._device).unsqueeze(0)
        return self._model.hidden(tokens, positions, self._rows.view(row, row + 1, last))

    @contextlib.contextmanager
    def _counted(self, requests: Sequence[Request]) -> Iterator[None]:
        """Add the time that the model takes to that of the requests which it is for."""
        began = time.perf_counter_ns()
        yield
        if self._device.type != "cpu":
            torch.accelerator.synchronize(self._device)
        taken = time.perf_counter_ns() - began
        for each in requests:
            each.times.add(taken)

    def _score(self, request: Request, scoring: Scoring) -> None:
        """Read a piece of a text whose likelihood is asked for; its row is free again after the last one."""
        first, piece = scoring.piece(self._bound)
        with self._counted([request]):
            hidden = self._hidden(piece, first)
            request.read = max(request.read, first + len(piece))
            scoring.take(self._model, hidden[0])
        if request.reply.cancelled:
            request.given_up = True
        if scoring.ended:
            self._reading = None
            request.done(scoring.outputs)

    def _forward(self, request: Request, rows: Array) -> None:
        """Run the whole model once, without the cache: the others wait for it."""
        with self._counted([request]):
            logits = self._model.forward(torch.tensor(rows, device=self._device))
        self._reading = None
        request.done({"logits": logits.float().cpu().numpy()})

    def _decode(self) -> None:
        """Choose one more token for each request that decodes."""
        held = list(self._decoding)
        with self._counted(held):
            tokens = torch.tensor([[each.tokens[-1]] for each in held], device=self._device)
            positions = torch.tensor([[each.positions] for each in held], device=self._device)
            cache = self._rows.view(0, len(held), int(positions.max()) + 1)
            logits = self._model.logits(self._model.hidden(tokens, positions, cache)[:, -1])
        for row, each in enumerate(held):
            self._take(each, logits[row])
        self._free_ended()

    def _take(self, request: Request, logits: Tensor) -> None:
        """Choose a token and hand it on; a request whose sampler or reply fails ends alone."""
        try:
            self._hand_on(request, logits)
        except Exception as error:  # noqa: BLE001 - whatever a reply raises
            _fail([request], error)

    def _hand_on(self, request: Request, logits: Tensor) -> None:
        assert request.sampler is not None, "only what was asked for tokens decodes"
        assert isinstance(request.ask, Generation), "the same"
        token = request.sampler.choose(logits.float())
        request.tokens.append(token)
        request.times.chosen()
        outputs = {"tokens": np.array([[token]], dtype=np.int64)}
        if request.ask.logits:
            outputs["logits"] = logits.float().cpu().numpy()[None, None]
        if request.reply.cancelled:
            request.given_up = True
        request.reply.chunk(outputs, 1)
        if request.sampler.ends(token, len(request.tokens)):
            request.done()

    def _free_ended(self) -> None:
        """Give rows of ended requests back: the last that decodes moves into each, and the one that reads follows."""
        before = len(self._decoding)
        for row in reversed(range(before)):
            if self._decoding[row].ended:
                moved = self._decoding.pop()
                if row < len(self._decoding):
                    self._decoding[row] = moved
                    self._rows.move(len(self._decoding), row, moved.positions)
        if self._reading is not None and len(self._decoding) < before:
            self._rows.move(before, len(self._decoding), self._reading.read)


def _fail(requests: Sequence[Request], cause: Exception) -> None:
    error = _typed(cause)
    for request in requests:
        request.fail(error)


def _typed(cause: BaseException) -> BenchmarkError:
    """Return the error as one of ours; its traceback becomes text.

    A traceback's frames hold the request, which holds the error by its reply. Nothing else would free them, with
    tensors and all: the collector of such rings is held off in timed runs.
    """
    if cause.__traceback__ is not None:
        cause.add_note("".join(traceback.format_tb(cause.__traceback__)))
        cause.__traceback__ = None
    if isinstance(cause, BenchmarkError):
        return cause
    error = PredictError("the model cannot be run", got=" ".join(str(cause).split())[:500] or type(cause).__name__)
    error.__cause__ = cause
    return error
