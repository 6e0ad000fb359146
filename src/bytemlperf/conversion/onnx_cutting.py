"""Cut an ONNX model into prefixes: the model up to some operator, as a model of its own that any backend takes."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

import attrs
import onnx
from onnx import AttributeProto, TensorProto, helper, shape_inference

from bytemlperf.conversion.cutting import Operator, live_after
from bytemlperf.conversion.onnx_file import DTYPES, data_files, digest_with_data, loaded
from bytemlperf.errors import ConversionError
from bytemlperf.spec import DType, Format, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

    from bytemlperf.artifact import ModelArtifact

CUT_FILE: Final = "cut.onnx"
_HANDED_ON: Final = ".handed_on"
"""Ending of the name under which an input is an output too."""


class OnnxCuts:
    """An ONNX file that can be cut after any of its operators, in the file's own order; see `Cuts`.

    Args:
        artifact: In ONNX.
        batch_size: Samples in the batches that the cuts will be run with.

    Raises:
        ConversionError: If the artifact is no ONNX file.
        ArtifactError: If the file cannot be read.
    """

    def __init__(self, artifact: ModelArtifact, *, batch_size: int) -> None:
        """Read the graph."""
        if artifact.format is not Format.ONNX or artifact.path is None:
            raise ConversionError(
                f"{artifact.name} cannot be cut", got=str(artifact.format), expected="a model in ONNX, in a file"
            )
        self._artifact, self._path = artifact, artifact.path
        self._model = loaded(artifact.path)
        self._types = _types(self._model, artifact, batch_size)
        self._inputs = frozenset(tensor.file_name for tensor in artifact.spec.inputs)
        self.operators = tuple(_operators(self._model.graph))

    def live_after(self, count: int) -> tuple[str, ...]:
        """Return the tensors that the first `count` operators make and that are needed after them."""
        ends = frozenset(value.name for value in self._model.graph.output)
        comparable = {name: self.is_comparable(name) for name in self._types}
        return live_after(self.operators, count, ends=ends, comparable=comparable)

    def is_made(self, tensor: str) -> bool:
        """Whether an operator makes a tensor; the model's inputs are made by none."""
        return any(tensor in operator.outputs for operator in self.operators)

    def is_comparable(self, tensor: str) -> bool:
        """Whether a tensor is an array of numbers, as far as ONNX's shape inference can tell."""
        kind = self._types.get(tensor)
        if kind is None:
            return True
        element = DTYPES.get(kind.type.tensor_type.elem_type)
        return kind.type.WhichOneof("value") == "tensor_type" and element not in {None, DType.STRING}

    def cut(
        self, tensors: Sequence[str], folder: Path, *, shapes: Mapping[str, tuple[int, ...]] | None = None
    ) -> ModelArtifact:
        """Write the part of the model that makes some tensors; all inputs stay, weights that are not needed go.

        Args:
            tensors: By the file's names; they become the outputs `t0`, `t1` and so on. One that is an input is
                handed on by an `Identity`.
            folder: An empty or new folder for the file and its weights.
            shapes: Of those tensors at the batch size, where they are known better than by inference.

        Raises:
            ConversionError: If a tensor is no input and no operator makes it, or the folder cannot be written.
        """
        wanted = [self._given(name) for name in tensors]
        graph = _extracted(_handing_on(self._model.graph, self._inputs & set(tensors)), wanted, self._types)
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        model.graph.CopyFrom(graph)
        path = folder / CUT_FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in data_files(model, self._path):
                _place(self._path.parent / name, folder / name)
            onnx.save(model, path)
        except OSError as error:
            raise ConversionError("a cut model cannot be written", where=str(folder), got=str(error)) from error
        spec = attrs.evolve(
            self._artifact.spec,
            outputs=tuple(self._spec(f"t{index}", name, shapes or {}) for index, name in enumerate(tensors)),
            recipe=None,
            twin=None,
            format=Format.ONNX,
        )
        return attrs.evolve(
            self._artifact,
            spec=spec,
            path=path,
            sha256=digest_with_data(path),
            derived_from=self._artifact.sha256 or None,
        )

    def _given(self, tensor: str) -> str:
        """Return the name under which a cut gives a tensor."""
        return f"{tensor}{_HANDED_ON}" if tensor in self._inputs else tensor

    def _spec(self, name: str, tensor: str, shapes: Mapping[str, tuple[int, ...]]) -> TensorSpec:
        kind = self._types.get(tensor)
        element = TensorProto.FLOAT if kind is None else kind.type.tensor_type.elem_type
        inferred = () if kind is None else tuple(dim.dim_value for dim in kind.type.tensor_type.shape.dim)
        return TensorSpec(
            name=name, original_name=self._given(tensor), shape=shapes.get(tensor, inferred), dtype=DTYPES[element]
        )


def _place(source: Path, target: Path) -> None:
    """Let a file of weights be in another folder too, without a copy where the file system can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _types(model: ModelProto, artifact: ModelArtifact, batch_size: int) -> Mapping[str, ValueInfoProto]:
    """Return types and shapes of tensors at a batch size, as far as ONNX can infer them."""
    sized = onnx.ModelProto()
    sized.CopyFrom(model)
    shapes = {tensor.file_name: tensor.sized(batch_size) for tensor in artifact.spec.inputs}
    for value in sized.graph.input:
        if value.name in shapes:
            shape = value.type.tensor_type.shape
            del shape.dim[:]
            for length in shapes[value.name]:
                shape.dim.add().dim_value = length
    for value in sized.graph.output:
        value.type.tensor_type.ClearField("shape")
    del sized.graph.value_info[:]
    try:
        sized = shape_inference.infer_shapes(sized, data_prop=True)
    except shape_inference.InferenceError:  # then the backend finds the shapes out itself
        return {}
    values = (*sized.graph.input, *sized.graph.value_info, *sized.graph.output)
    return {value.name: value for value in values}


def _operators(graph: GraphProto) -> Iterator[Operator]:
    weights = {each.name for each in graph.initializer} | {each.values.name for each in graph.sparse_initializer}
    moving = {value.name for value in graph.input} - weights
    for node in graph.node:
        taken = tuple(dict.fromkeys(name for name in _taken(node) if name in moving))
        if taken:
            made = tuple(name for name in node.output if name)
            moving.update(made)
            kind = f"{node.domain}::{node.op_type}" if node.domain not in {"", "ai.onnx"} else node.op_type
            yield Operator(kind=kind, name=node.name, inputs=taken, outputs=made)


def _taken(node: NodeProto) -> Iterator[str]:
    """Yield what a node takes, and what the graphs in its attributes take from around them."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        graphs = [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs
        for graph in graphs:
            yield from (name for inner in graph.node for name in _taken(inner))
            yield from (value.name for value in graph.output)


def _extracted(graph: GraphProto, tensors: Iterable[str], types: Mapping[str, ValueInfoProto]) -> GraphProto:
    nodes, names = _needed(graph, tensors)
    cut = onnx.GraphProto(name=graph.name)
    cut.node.extend(nodes)
    cut.input.extend(graph.input)
    cut.initializer.extend(each for each in graph.initializer if each.name in names)
    cut.sparse_initializer.extend(each for each in graph.sparse_initializer if each.values.name in names)
    cut.value_info.extend(each for each in graph.value_info if each.name in names)
    declared = {value.name: value for value in (*graph.value_info, *graph.output)}
    for name in tensors:
        cut.output.append(declared.get(name) or _untied(types.get(name), name))
    return cut


def _handing_on(graph: GraphProto, inputs: Collection[str]) -> GraphProto:
    """Return a graph that gives some of its inputs as they are; the same one if they are none."""
    if not inputs:
        return graph
    found = onnx.GraphProto()
    found.CopyFrom(graph)
    for name in sorted(inputs):
        found.node.append(helper.make_node("Identity", [name], [f"{name}{_HANDED_ON}"], name=f"{name}{_HANDED_ON}"))
        value = next(value for value in graph.input if value.name == name)
        found.value_info.append(_untied(value, f"{name}{_HANDED_ON}"))
    return found


def _needed(graph: GraphProto, tensors: Iterable[str]) -> tuple[list[NodeProto], set[str]]:
    """Return the nodes behind some tensors in the graph's order, and the names of all that they take and make."""
    names = set(tensors)
    made = {name for node in graph.node for name in node.output}
    unknown = sorted(names - made)
    if unknown:
        raise ConversionError("a model cannot be cut at what no operator makes", got=unknown)
    nodes: list[NodeProto] = []
    for node in reversed(graph.node):
        if names.intersection(node.output):
            nodes.append(node)
            names.update(_taken(node))
            names.update(node.output)
    return nodes[::-1], names


def _untied(value: ValueInfoProto | None, name: str) -> ValueInfoProto:
    """Return what is said of an output: its type and rank, but no length, which may grow with the batch."""
    if value is None:
        return onnx.ValueInfoProto(name=name)
    loose = onnx.ValueInfoProto()
    loose.CopyFrom(value)
    loose.name = name
    if loose.type.WhichOneof("value") == "tensor_type":
        for index, dim in enumerate(loose.type.tensor_type.shape.dim):
            dim.dim_param = f"{name}_{index}"
    return loose
