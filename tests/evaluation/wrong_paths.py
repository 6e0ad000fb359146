"""Backends that are right for one query at a time on their first device, and wrong deeper or elsewhere."""

from __future__ import annotations

import threading
import time

import attrs
import numpy as np
from tests.evaluation.wrong import Right, SwappedChannels, Tired, TiredOptions

from bytemlperf.backends import AsyncBackend, CompiledModel

GATHER_S = 0.02
"""What the engine waits for others, so that all that are sent at once are under way together."""


@attrs.define(eq=False)
class Engine:
    """An engine with a thread that completes what has come: of several at once the answers are exchanged."""

    model: CompiledModel
    worst_from: int
    pending: list = attrs.field(factory=list)
    changed: threading.Event = attrs.field(factory=threading.Event)
    stopped: bool = False


class Overlapping(AsyncBackend):
    """Right where one query is under way; with several, each gets the answer to another one of its size."""

    name = "overlapping"
    formats = Right.formats
    options_type = Right.options_type
    dynamic_batch = True
    max_in_flight: int | None = None
    worst_from = 2

    def compile(self, artifact, options):
        model = Right().compile(artifact, options)
        engine = Engine(model, self.worst_from)
        threading.Thread(target=self._complete, args=(engine,), daemon=True).start()
        return CompiledModel(engine, attrs.evolve(model.info, max_in_flight=self.max_in_flight))

    def submit(self, compiled, batch, reply):
        compiled.handle.pending.append((batch, reply))
        compiled.handle.changed.set()

    def release(self, compiled):
        compiled.handle.stopped = True
        compiled.handle.changed.set()

    def _complete(self, engine):
        while not engine.stopped:
            engine.changed.wait()
            threading.Event().wait(GATHER_S)
            engine.changed.clear()
            taken, engine.pending = engine.pending, []
            answers = [Right.predict(self, engine.model, batch) for batch, _ in taken]
            for size in {batch.size for batch, _ in taken}:
                alike = [number for number, (batch, _) in enumerate(taken) if batch.size == size]
                turned = alike[1:] + alike[:1] if len(taken) >= engine.worst_from else alike
                for one, other in zip(alike, turned, strict=True):
                    taken[one][1].done(answers[other])


class OverlappingOfFour(Overlapping):
    """The same, of an engine that takes four at once, and goes wrong only with all four."""

    max_in_flight = 4
    worst_from = 4


class OnSecondDevice(SwappedChannels):
    """Channels are exchanged on the device `b`, and nowhere else."""

    def compile(self, artifact, options):
        return super().compile(artifact, options if options.devices == ("b",) else attrs.evolve(options, at=""))


class TiredOnSecondDevice(Tired):
    """Answers in another order after some right ones, on the device `b` alone."""

    options_type = TiredOptions
    max_in_flight = 1

    def compile(self, artifact, options):
        device = options.devices[0]
        model = Right.compile(self, artifact, options)
        return CompiledModel((*model.handle, device, [0], options.after), model.info)

    def predict(self, compiled, batch):
        session, spec, device, count, after = compiled.handle
        time.sleep(0.002)  # so that the other device is asked meanwhile
        own = Right.predict(self, CompiledModel((session, spec), compiled.info), batch)
        count[0] += 1
        if device == "b" and count[0] > after:
            return {name: np.ascontiguousarray(array[::-1]) for name, array in own.items()}
        return own
