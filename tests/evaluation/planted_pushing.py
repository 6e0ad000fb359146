"""Faults of a runtime that completes on its own, planted by someone who had not read the checks."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
from tests.evaluation.wrong import Right, WrongOptions

from bytemlperf.backends import AsyncBackend, CompiledModel, CompileInfo
from bytemlperf.spec import Format


class Pushing(AsyncBackend):
    """Answers rightly, each query on a thread of its own.

    Args:
        finish: What is done with an answer: f(outputs, reply, call); the call is the number of the query, from 1 on.
    """

    name = "pushing"
    formats = frozenset({Format.ONNX})
    options_type = WrongOptions
    dynamic_batch = True
    asks = ("forward",)

    def __init__(self, finish):
        self.right, self.finish, self.calls = Right(), finish, itertools.count(1)

    def compile(self, artifact, options):
        return CompiledModel(self.right.compile(artifact, options), CompileInfo(precision="fp32", max_in_flight=4))

    def submit(self, compiled, batch, reply):
        call = next(self.calls)

        def work():
            self.finish(dict(self.right.predict(compiled.handle, batch)), reply, call)

        threading.Thread(target=work, daemon=True).start()


def zeros_every_25th(outputs, reply, call):
    reply.done({name: array * (call % 25 > 0) for name, array in outputs.items()})


def twice(outputs, reply, call):
    reply.done(outputs)
    reply.done({name: np.zeros_like(array) for name, array in outputs.items()})


def lent(outputs, reply, call):
    """The buffer is used again once `done` has returned, as the protocol allows."""
    reply.done(outputs)
    for array in outputs.values():
        array[...] = 0


def in_halves(outputs, reply, call):
    """A part of the rows, then the rest: no answer to a question for outputs."""
    for part in (slice(None, 1), slice(1, None)):
        reply.chunk({name: array[part] for name, array in outputs.items()})
    reply.done()


def lost_every_15th(outputs, reply, call):
    if call % 15:
        reply.done(outputs)


def crossed():
    """Make a fault: of two queries under way each gets the other's answer."""
    lock, waiting = threading.Lock(), []

    def finish(outputs, reply, call):
        with lock:
            if waiting and waiting[0][0]["logits"].shape == outputs["logits"].shape:
                others, other = waiting.pop()
                other.done(outputs)
                reply.done(others)
                return
            waiting[:] = [(outputs, reply)]
        time.sleep(0.005)
        with lock:
            alone = any(other is reply for _, other in waiting)
            if alone:
                waiting.clear()
        if alone:
            reply.done(outputs)

    return finish
