"""Answer at once: what is left of a query's time is the harness' own cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs
import numpy as np

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.base import AsyncBackend, Backend, Cancel
from bytemlperf.backends.compiled import CompiledModel, CompileInfo, CompileOptions
from bytemlperf.errors import CompileError
from bytemlperf.sample import Array, Batch, Outputs, Reply
from bytemlperf.spec import DType, Format, TensorSpec


@attrs.frozen(kw_only=True)
class NullOptions(CompileOptions):
    """What a null backend can be asked beyond the common options.

    Attributes:
        zeros: Answer zeros of the spec's shapes and types instead of nothing. They are made once for
            each batch size, in the first query of that size, and cannot be written to.
    """

    zeros: bool = False


@attrs.define(eq=False, kw_only=True)
class Nothing:
    """Prepared answers.

    Attributes:
        outputs: What the spec declares, where zeros are asked for.
        answers: An answer for each batch size that was asked for so far.
    """

    outputs: tuple[TensorSpec, ...]
    answers: dict[int, Mapping[str, Array]] = attrs.field(factory=dict)


class NullBackend(Backend[NullOptions, Nothing]):
    """Computes nothing and takes any model; blocks for no time."""

    name: ClassVar[str] = "null"
    formats: ClassVar[frozenset[Format]] = frozenset(Format)
    options_type: ClassVar[type[CompileOptions]] = NullOptions
    dynamic_batch: ClassVar[bool] = True
    tried_on: ClassVar[tuple[str, ...]] = ("cpu",)

    def compile(self, artifact: ModelArtifact, options: NullOptions) -> CompiledModel[Nothing]:
        """Prepare empty answers or zeros; the model's file is not opened.

        Raises:
            CompileError: If zeros are asked of an output whose type numpy does not have.
        """
        return _compiled(artifact, options)

    def predict(self, compiled: CompiledModel[Nothing], batch: Batch) -> Outputs:
        """Answer what was prepared; the inputs are not looked at."""
        return _answer(compiled.handle, batch.size)

    def version(self) -> str:
        """Return that it has none of its own."""
        return "none"


class NullAsyncBackend(AsyncBackend[NullOptions, Nothing]):
    """Computes nothing and takes any model; each query is done before `submit` returns."""

    name: ClassVar[str] = "null-async"
    formats: ClassVar[frozenset[Format]] = frozenset(Format)
    options_type: ClassVar[type[CompileOptions]] = NullOptions
    dynamic_batch: ClassVar[bool] = True
    tried_on: ClassVar[tuple[str, ...]] = ("cpu",)

    def compile(self, artifact: ModelArtifact, options: NullOptions) -> CompiledModel[Nothing]:
        """Do as `NullBackend.compile` does.

        Raises:
            CompileError: If zeros are asked of an output whose type numpy does not have.
        """
        return _compiled(artifact, options)

    def submit(self, compiled: CompiledModel[Nothing], batch: Batch, reply: Reply) -> Cancel | None:
        """Answer what was prepared, on the calling thread."""
        reply.done(_answer(compiled.handle, batch.size))
        return None

    def version(self) -> str:
        """Return that it has none of its own."""
        return "none"


def _compiled(artifact: ModelArtifact, options: NullOptions) -> CompiledModel[Nothing]:
    outputs = artifact.spec.outputs if options.zeros else ()
    for tensor in outputs:
        _numpy(tensor)
    nothing = Nothing(outputs=outputs)
    if options.batch_size is not None:
        _answer(nothing, options.batch_size)
    precision = options.precision or artifact.spec.precision
    return CompiledModel(nothing, CompileInfo(precision=precision, max_in_flight=None))


def _answer(nothing: Nothing, size: int) -> Mapping[str, Array]:
    prepared = nothing.answers.get(size)
    if prepared is None:
        prepared = {tensor.name: _zeros(tensor, size) for tensor in nothing.outputs}
        nothing.answers[size] = prepared
    return prepared


def _zeros(tensor: TensorSpec, size: int) -> Array:
    zeros = np.zeros(tensor.sized(size), _numpy(tensor))
    zeros.flags.writeable = False
    return zeros


def _numpy(tensor: TensorSpec) -> np.dtype[np.generic]:
    if tensor.dtype is DType.BFLOAT16:
        return np.dtype(np.float32)
    try:
        return np.dtype(tensor.dtype.value)
    except TypeError as error:
        raise CompileError(
            f"output {tensor.name!r} has no zeros", got=str(tensor.dtype), expected="a type that numpy has"
        ) from error
