"""Backends that look better than they are, each in a way that an integrity check must see."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import ClassVar

import attrs
import numpy as np

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.base import Backend
from bytemlperf.backends.compiled import CompiledModel, CompileOptions
from bytemlperf.sample import Array, Batch, Chunk, Outputs
from bytemlperf.spec.fields import at_least
from bytemlperf.testing.backends import Echo, Fake, echo_of, info_of
from bytemlperf.testing.completer import wait_until

_SPIN_S = 0.0001


@attrs.define(eq=False, kw_only=True)
class Remembering:
    """An echo that knows what it was asked.

    Attributes:
        echo: What answers well.
        latency_s: What a good answer takes.
        seen: Answers by what was asked.
    """

    echo: Echo
    latency_s: float = 0.0
    seen: dict[bytes, dict[str, Array]] = attrs.field(factory=dict)

    def answer(self, batch: Batch, name: str) -> dict[str, Array]:
        """Answer well, when the time has come, and remember it."""
        due = time.perf_counter() + self.latency_s
        outputs = self.echo.answer(batch, name)
        self.seen[asked(batch)] = outputs
        wait_until(due, spin_s=_SPIN_S)
        return outputs


def asked(batch: Batch) -> bytes:
    """Return the bytes of what is asked."""
    return b"".join(np.ascontiguousarray(array).tobytes() for array in batch.inputs.values())


class CheapBackend(Fake, Backend[CompileOptions, Remembering]):
    """Answers well what it is asked for the first time, and zeros after that: good in an accuracy run, not in a timed
    one, which asks for the same samples again.
    """  # noqa: D205 - one sentence

    name: ClassVar[str] = "cheap"

    def compile(self, artifact: ModelArtifact, options: CompileOptions) -> CompiledModel[Remembering]:
        """Keep the spec."""
        return CompiledModel(Remembering(echo=echo_of(artifact)), info_of(artifact, options))

    def predict(self, compiled: CompiledModel[Remembering], batch: Batch) -> Outputs:
        """Answer a batch."""
        remembered = compiled.handle.seen.get(asked(batch))
        if remembered is None:
            return compiled.handle.answer(batch, self.name)
        return {name: np.zeros_like(array) for name, array in remembered.items()}

    def release(self, compiled: CompiledModel[Remembering]) -> None:
        """Forget everything."""
        compiled.handle.echo.spec = None
        compiled.handle.seen.clear()


@attrs.frozen(kw_only=True)
class CachingOptions(CompileOptions):
    """How long a caching backend takes.

    Attributes:
        latency_us: For an answer that is not remembered, in microseconds.
    """

    latency_us: int = attrs.field(default=2000, validator=at_least(0))


class CachingBackend(Fake, Backend[CachingOptions, Remembering]):
    """Answers well, and gives an answer again at once where it is asked for the same."""

    name: ClassVar[str] = "caching"
    options_type: ClassVar[type[CompileOptions]] = CachingOptions

    def compile(self, artifact: ModelArtifact, options: CachingOptions) -> CompiledModel[Remembering]:
        """Keep the spec and the delay."""
        remembering = Remembering(echo=echo_of(artifact), latency_s=options.latency_us / 1e6)
        return CompiledModel(remembering, info_of(artifact, options))

    def predict(self, compiled: CompiledModel[Remembering], batch: Batch) -> Outputs:
        """Answer a batch, from memory where it can."""
        remembered = compiled.handle.seen.get(asked(batch))
        return remembered if remembered is not None else compiled.handle.answer(batch, self.name)

    def release(self, compiled: CompiledModel[Remembering]) -> None:
        """Forget everything."""
        compiled.handle.echo.spec = None
        compiled.handle.seen.clear()


@attrs.frozen(kw_only=True)
class MiscountingOptions(CompileOptions):
    """How wrong a miscounting backend is.

    Attributes:
        tokens: That each answer has, one a part.
        extra: Tokens that each part is said to have besides.
        empty_first: Whether a part without a token comes first that is said to have one.
    """

    tokens: int = attrs.field(default=5, validator=at_least(1))
    extra: int = attrs.field(default=1, validator=at_least(0))
    empty_first: bool = False


@attrs.define(eq=False, kw_only=True)
class Miscounting:
    """How a miscounting backend answers.

    Attributes:
        options: How wrong it is.
    """

    options: MiscountingOptions


class MiscountingBackend(Fake, Backend[MiscountingOptions, Miscounting]):
    """Streams tokens, and says that there are more of them; honest where `extra` is 0."""

    name: ClassVar[str] = "miscounting"
    options_type: ClassVar[type[CompileOptions]] = MiscountingOptions

    def compile(self, artifact: ModelArtifact, options: MiscountingOptions) -> CompiledModel[Miscounting]:
        """Keep the options."""
        return CompiledModel(Miscounting(options=options), info_of(artifact, options))

    def stream(self, compiled: CompiledModel[Miscounting], batch: Batch) -> Iterator[Chunk]:  # noqa: ARG002 - the answer is always the same
        """Answer a query in parts of one token each."""
        options = compiled.handle.options
        if options.empty_first:
            yield Chunk({"tokens": np.zeros((1, 0), np.int32)}, 1)
        for number in range(options.tokens):
            yield Chunk({"tokens": np.full((1, 1), number + 3, np.int32)}, 1 + options.extra)

    def predict(self, compiled: CompiledModel[Miscounting], batch: Batch) -> Outputs:
        """Answer a query at once."""
        parts = [part.outputs["tokens"] for part in self.stream(compiled, batch)]
        return {"tokens": np.concatenate([np.asarray(part) for part in parts], axis=1)}
