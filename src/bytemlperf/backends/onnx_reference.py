"""Run ONNX files on ONNX's own reference evaluator: numpy, operator by operator, as the standard defines them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, Final

import attrs
import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.base import Backend
from bytemlperf.backends.checking import (
    InputCheck,
    match_tensors,
    model_file,
    one_device,
    one_line,
    operator_in,
    own_precision,
    owned,
    refuse_device,
    released,
)
from bytemlperf.backends.compiled import CompiledModel, CompileInfo, CompileOptions, Device, Segment
from bytemlperf.conversion.onnx_file import read_signature
from bytemlperf.errors import BackendError, BenchmarkError, CompileError, PredictError, UnsupportedOperatorError
from bytemlperf.sample import Batch, Outputs, Value
from bytemlperf.spec import Format, TensorSpec

DEVICE: Final = "cpu"
_UNKNOWN_OPERATOR: Final = (
    re.compile(r"Node type '(\S+)' from domain '\S*' is unknown"),
    re.compile(r"No registered (?:schema|implementation) for operator '(\S+)'"),
)


@attrs.define(eq=False, kw_only=True)
class Evaluated:
    """A graph that is walked through; emptied by release.

    Attributes:
        evaluator: ONNX's own object; None once released.
        inputs: What a batch must be.
        input_names: The file's names of the inputs, in the order of the spec.
        output_names: The file's names of the outputs, by canonical name.
    """

    evaluator: ReferenceEvaluator | None
    inputs: InputCheck
    input_names: tuple[str, ...]
    output_names: Mapping[str, str]


class OnnxReferenceBackend(Backend[CompileOptions, Evaluated]):
    """What the ONNX standard says a file means. It is slow, and independent of every runtime."""

    name: ClassVar[str] = "onnx-reference"
    formats: ClassVar[frozenset[Format]] = frozenset({Format.ONNX})
    dynamic_batch: ClassVar[bool] = True
    tried_on: ClassVar[tuple[str, ...]] = (DEVICE,)

    def compile(self, artifact: ModelArtifact, options: CompileOptions) -> CompiledModel[Evaluated]:
        """Read the file and look up an implementation of each operator.

        Raises:
            BackendUnavailableError: If another device than `cpu` is asked for.
            CompileError: If another precision than the model's own is asked for, the file does not
                have the spec's inputs and outputs, or the evaluator refuses it.
            UnsupportedOperatorError: If the evaluator does not know an operator.
            ArtifactError: If the file is no ONNX model.
        """
        device = one_device(options, DEVICE)
        if device != DEVICE:
            raise refuse_device(self.name, device, (DEVICE,))
        precision = own_precision(artifact, options, self.name)
        inputs = _engine_inputs(artifact)
        with _told(f"ONNX's reference evaluator refuses {artifact.name}", CompileError):
            model = onnx.load(model_file(artifact))
            evaluator = ReferenceEvaluator(model)
        return CompiledModel(
            Evaluated(
                evaluator=evaluator,
                inputs=InputCheck(inputs),
                input_names=tuple(tensor.file_name for tensor in inputs),
                output_names={tensor.name: tensor.file_name for tensor in artifact.spec.outputs},
            ),
            CompileInfo(
                precision=precision,
                segments=(Segment(name="graph", device=DEVICE, operators=len(model.graph.node)),),
                devices=(DEVICE,),
                inputs=None if inputs == artifact.spec.inputs else inputs,
            ),
        )

    def predict(self, compiled: CompiledModel[Evaluated], batch: Batch) -> Outputs:
        """Evaluate the graph on the batch.

        Raises:
            InputMismatchError: If the batch is not what the file takes.
            PredictError: If an operator fails, or the graph was released.
        """
        graph = compiled.handle
        if graph.evaluator is None:
            raise released(self.name)
        feed = dict(zip(graph.input_names, graph.inputs.arrays(batch), strict=True))
        with _told("ONNX's reference evaluator cannot run the model", PredictError):
            answers = graph.evaluator.run(list(graph.output_names.values()), feed)
        return {name: _copied(answer) for name, answer in zip(graph.output_names, answers, strict=True)}

    def release(self, compiled: CompiledModel[Evaluated]) -> None:
        """Let go of the graph."""
        compiled.handle.evaluator = None

    def version(self) -> str:
        """Return the version of ONNX."""
        return f"onnx {onnx.__version__}"

    def devices(self) -> tuple[Device, ...]:
        """Return the CPU."""
        return (Device(id=DEVICE, name=DEVICE),)


def _engine_inputs(artifact: ModelArtifact) -> tuple[TensorSpec, ...]:
    """Return the spec's inputs with the types that the file has them in."""
    signature = read_signature(model_file(artifact))
    types = {tensor.name: tensor.dtype for tensor in signature.inputs}
    match_tensors(artifact, "inputs", artifact.spec.inputs, types, all_of_them=True)
    match_tensors(artifact, "outputs", artifact.spec.outputs, [tensor.name for tensor in signature.outputs])
    return tuple(attrs.evolve(tensor, dtype=types[tensor.file_name]) for tensor in artifact.spec.inputs)


def _copied(answer: Value) -> Value:
    """Own an answer: a graph may hand out its inputs or its weights as they are."""
    kept: Value = np.array(owned(answer)) if isinstance(answer, np.ndarray | np.generic) else answer
    return kept


@contextmanager
def _told(what: str, kind: type[BackendError]) -> Iterator[None]:
    """Turn what the evaluator raises into the typed errors of a backend."""
    try:
        yield
    except BenchmarkError:
        raise
    except Exception as error:  # its operators are plain numpy, which raises whatever it likes
        text = one_line(error)
        unknown = operator_in(text, _UNKNOWN_OPERATOR)
        made = (UnsupportedOperatorError if unknown else kind)(what, got=text)
        made.operator = unknown
        raise made from error
