"""Backends of this room's tests; workers import them by `tests.lm_eval.vendors:Name`."""

from __future__ import annotations

import itertools
import os
import signal
import time

import attrs
import numpy as np

from bytemlperf.backends import AsyncBackend, Backend, CompiledModel, CompileInfo, CompileOptions
from bytemlperf.sample import Score
from bytemlperf.spec import Format


@attrs.frozen(kw_only=True)
class TableOptions(CompileOptions):
    """What goes wrong, and how long a text may be.

    Attributes:
        dies_at: Query of a process at which it is killed; -1 for never.
        hangs_at: The same, at which it never answers.
        length: Most tokens of a text; 0 tells none.
    """

    dies_at: int = -1
    hangs_at: int = -1
    length: int = 64


def table(size):
    """Log-probabilities of each token after each: float64[size, size]."""
    logits = np.random.default_rng(7).normal(size=(size, size))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


class Table(Backend):
    """A plain backend that scores and generates from the last token alone; it blocks, one query at a time."""

    name = "table"
    formats = frozenset(Format)
    asks = ("score", "generate")
    options_type = TableOptions

    def compile(self, artifact, options):
        told = {"length": options.length} if options.length else {}
        handle = (table(artifact.spec.inputs[0].high), options, itertools.count())
        return CompiledModel(handle, CompileInfo(precision="fp32", optimizations=told))

    def predict(self, compiled, batch):
        rows, options, queries = compiled.handle
        number = next(queries)
        if number == options.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == options.hangs_at:
            time.sleep(3600)
        tokens = batch.inputs["tokens"][0]
        if isinstance(batch.ask, Score):
            return scored(rows, tokens, batch.ask)
        return {"tokens": np.array([generated(rows, tokens, batch.ask)])}


def scored(rows, tokens, ask):
    pairs = [list(itertools.pairwise([tokens[-1], *each])) for each in ask.continuations]
    likely = [sum(rows[a, b] for a, b in each) for each in pairs]
    greedy = [all(rows[a].argmax() == b for a, b in each) for each in pairs]
    return {"log_likelihood": np.array([likely]), "greedy": np.array([greedy])}


def generated(rows, tokens, ask):
    found = [int(rows[tokens[-1]].argmax())]
    while len(found) < ask.max_new_tokens and found[-1] not in ask.stop:
        found.append(int(rows[found[-1]].argmax()))
    return found


class Deaf(Table):
    """Says that it answers all, and gives outputs whatever it is asked."""

    def predict(self, compiled, batch):
        return {"logits": np.zeros((*batch.inputs["tokens"].shape, 4), np.float32)}


class Outputs(Table):
    """Says that it gives outputs alone."""

    asks = ("forward",)


class Pushing(AsyncBackend):
    """The same, pushed part by part from `submit`."""

    name = "pushing"
    formats = frozenset(Format)
    options_type = TableOptions

    def compile(self, artifact, options):
        rows = table(artifact.spec.inputs[0].high)
        info = CompileInfo(precision="fp32", max_in_flight=None, optimizations={"length": options.length})
        return CompiledModel(rows, info)

    def submit(self, compiled, batch, reply):
        tokens = batch.inputs["tokens"][0]
        if isinstance(batch.ask, Score):
            reply.done(scored(compiled.handle, tokens, batch.ask))
            return
        for token in generated(compiled.handle, tokens, batch.ask):
            reply.chunk({"tokens": np.array([[token]])})
        reply.done()
