"""Drives the issuer alone: backends are plain functions here."""

from __future__ import annotations

from bytemlperf.issuer.buffer import TraceBuffer
from bytemlperf.issuer.issue import Run
from bytemlperf.issuer.verbs import blocking_submit
from bytemlperf.trace import from_buffer


class Plain:
    """A backend whose `predict` is a function of the batch."""

    def __init__(self, predict):
        self._predict = predict

    def predict(self, compiled, batch):
        return self._predict(batch)

    stream = None


class Streams(Plain):
    """A backend whose `stream` is a function of the batch."""

    def stream(self, compiled, batch):
        return self._predict(batch)


def run_of(predict, batches=range(4), *, sizes=None, **options):
    """A run of a backend that blocks."""
    batches = list(batches)
    return Run(
        submit=blocking_submit(Plain(predict), streams=False),
        flush=None,
        compiled=None,
        batches=batches,
        sizes=sizes or [1] * len(batches),
        **options,
    )


def streaming_run_of(stream, **options):
    batches = list(range(4))
    submit = blocking_submit(Streams(stream), streams=True)
    return Run(submit=submit, flush=None, compiled=None, batches=batches, sizes=[1] * 4, **options)


def pushing_run_of(submit, *, flush=lambda compiled: None, **options):
    """A run of a backend that completes by itself."""
    batches = list(range(4))
    return Run(
        submit=lambda compiled, batch, reply: submit(batch, reply),
        flush=flush,
        compiled=None,
        batches=batches,
        sizes=[1] * 4,
        max_in_flight=options.pop("max_in_flight", None),
        **options,
    )


def issued(run, order, clients=1, *, chunks=0):
    """Issue and return the trace."""
    buffer = TraceBuffer(len(order), chunks=chunks)
    run.closed_loop(order, clients, buffer)
    return from_buffer(memoryview(buffer.map))
