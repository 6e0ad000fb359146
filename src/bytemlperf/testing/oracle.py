"""A backend that knows the labels: with it every data set and metric is seen end to end with a known score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import attrs
import numpy as np

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.base import Backend
from bytemlperf.backends.checking import InputCheck, released
from bytemlperf.backends.compiled import CompiledModel, CompileInfo, CompileOptions
from bytemlperf.datasets import DatasetLoader, open_dataset
from bytemlperf.datasets.axes import join_samples, sample_shape, split_samples
from bytemlperf.datasets.casting import numpy_dtype
from bytemlperf.errors import CompileError, PredictError, SpecError
from bytemlperf.sample import Array, Batch, Outputs
from bytemlperf.spec import Format, ModelSpec, TensorSpec
from bytemlperf.spec.fields import choice
from bytemlperf.testing.echo import output_dtype
from bytemlperf.testing.oracle_answers import Answers, BoxError, answers_of
from bytemlperf.workload import DatasetRequest

_AT_ONCE: Final = 64


def _is_share(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 1:
        raise SpecError("value out of range", where=f"$.{attribute.name}", got=value, expected="a number from 0 to 1")


def _as_box_error(value: str | BoxError) -> BoxError:
    return choice(BoxError)(value)


@attrs.frozen(kw_only=True)
class OracleOptions(CompileOptions):
    """Which labels an oracle knows, and how often it is wrong.

    Attributes:
        dataset: Name of the data set.
        dataset_options: Its options, as JSON.
        error_rate: Share of units that are answered wrongly: exactly round(error_rate x units) of them, chosen by
            `seed`. A unit is what the metric counts: a sample, a question, a triplet, a token, an object.
        box_errors: What becomes of an object that is answered wrongly: `missed`, or found in another `class` or
            another `place`, louder than what is right.
    """

    dataset: str = ""
    dataset_options: str = "{}"
    error_rate: float = attrs.field(default=0.0, validator=_is_share)
    box_errors: BoxError = attrs.field(default=BoxError.MISSED, converter=_as_box_error)


@attrs.define(eq=False, kw_only=True)
class Oracle:
    """What an oracle knows.

    Attributes:
        spec: The model; None once released.
        check: What a batch must be.
        answers: To samples by index.
        index: Of each sample by the digest of its inputs.
    """

    spec: ModelSpec | None
    check: InputCheck
    answers: Answers
    index: Mapping[bytes, int]

    def answer(self, batch: Batch, name: str) -> dict[str, Array]:
        """Look the samples of a batch up and answer them.

        Raises:
            InputMismatchError: If the batch does not fit the spec.
            PredictError: If it has a sample that is none of the data set's, or the model was released.
        """
        if self.spec is None:
            raise released(name)
        self.check.arrays(batch)
        rows = [self._found(digest) for digest in _digests(self.spec, batch.inputs, batch.size)]
        return {tensor.name: _joined(rows, tensor, batch.size) for tensor in self.spec.outputs}

    def _found(self, digest: bytes) -> Mapping[str, Array]:
        if digest not in self.index:
            raise PredictError("a sample is none of the oracle's data set")
        return self.answers.of(self.index[digest])


class OracleBackend(Backend[OracleOptions, Oracle]):
    """Answers from the labels of a data set that it opens itself, in a worker as well as inline.

    A sample is known by its inputs, so order and batch size change nothing. A right answer scores best; with a planted
    `error_rate` the score is known exactly. It is named `bytemlperf.testing.oracle:OracleBackend`, and is no way to
    measure anything but the path from files to figures.
    """

    name: ClassVar[str] = "oracle"
    formats: ClassVar[frozenset[Format]] = frozenset(Format)
    options_type: ClassVar[type[CompileOptions]] = OracleOptions
    dynamic_batch: ClassVar[bool] = True

    def version(self) -> str:
        """Return that it is made for tests."""
        return "for tests"

    def compile(self, artifact: ModelArtifact, options: OracleOptions) -> CompiledModel[Oracle]:
        """Open the data set, read every sample, and plant errors.

        Raises:
            CompileError: If the data set has no labels, samples with other labels have the same inputs, or the model
                has not the outputs that the labels are for.
        """
        spec = artifact.spec
        asked = DatasetRequest(name=options.dataset, options=json.loads(options.dataset_options))
        loader = open_dataset(asked, spec)
        labels = loader.labels(range(len(loader)))
        if labels is None:
            raise CompileError("the data set has no labels to answer with", got=options.dataset)
        answers = answers_of(
            spec,
            labels,
            options.error_rate,
            seed=options.seed,
            metrics=loader.metrics,
            box_errors=options.box_errors,
        )
        oracle = Oracle(spec=spec, check=InputCheck(spec.inputs), answers=answers, index=_index(spec, loader, labels))
        return CompiledModel(oracle, CompileInfo(precision=options.precision or spec.precision))

    def predict(self, compiled: CompiledModel[Oracle], batch: Batch) -> Outputs:
        """Answer a batch.

        Raises:
            InputMismatchError: If it does not fit the spec.
            PredictError: If a sample is none of the data set's, or the model was released.
        """
        return compiled.handle.answer(batch, self.name)

    def release(self, compiled: CompiledModel[Oracle]) -> None:
        """Forget the spec."""
        compiled.handle.spec = None


def _index(spec: ModelSpec, loader: DatasetLoader, labels: Array) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for start in range(0, len(loader), _AT_ONCE):
        part = range(start, min(start + _AT_ONCE, len(loader)))
        for index, digest in zip(part, _digests(spec, loader.load(part), len(part)), strict=True):
            if digest in found and not _equal(labels[found[digest]], labels[index]):
                both = loader.ids([found[digest], index])
                raise CompileError("samples with other labels have the same inputs", got=both)
            found.setdefault(digest, index)
    return found


def _equal(one: Any, other: Any) -> bool:  # noqa: ANN401 - labels of any kind
    return type(one) is type(other) and isinstance(one, np.ndarray | np.generic) and bool(np.all(one == other))


def _digests(spec: ModelSpec, inputs: Mapping[str, Array], size: int) -> Iterator[bytes]:
    """Yield a digest of each sample's own inputs, in the model's types."""
    batched = [tensor for tensor in spec.inputs if tensor.batch_axis is not None]
    rows = [
        split_samples(np.asarray(inputs[each.name]).astype(numpy_dtype(each.dtype), copy=False), each, samples=size)
        for each in batched
    ]
    for sample in range(size):
        digest = hashlib.sha256()
        for array in rows:
            digest.update(np.ascontiguousarray(array[sample]).tobytes())
        yield digest.digest()


def _joined(rows: list[Mapping[str, Array]], tensor: TensorSpec, size: int) -> Array:
    dtype = output_dtype(tensor)
    if tensor.batch_axis is None:
        return np.zeros(tensor.sized(size), dtype)
    empty = np.zeros(sample_shape(tensor))
    return join_samples(np.stack([row.get(tensor.name, empty) for row in rows]).astype(dtype), tensor)
