"""Cut a torch model into prefixes: its graph up to some operator, as a recipe of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata

from bytemlperf.conversion.cutting import Operator, live_after
from bytemlperf.conversion.examples import example_inputs
from bytemlperf.conversion.torch_graph import Rooted, TracedGraph, Tracer, traced_graph
from bytemlperf.conversion.torch_module import build_module
from bytemlperf.errors import BenchmarkError, ConversionError
from bytemlperf.spec import Axis, DType, Format, Recipe, TensorSpec, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bytemlperf.artifact import ModelArtifact

DEFINITION_VERSION: Final = "1"
"""Of prefixes, which are recipes."""
Told: TypeAlias = tuple[tuple[int, ...], DType]
"""Shape and type of what a node gives."""
_CALLS: Final = frozenset({"call_module", "call_function", "call_method"})
_DTYPES: Final = {
    torch.float64: DType.FLOAT64,
    torch.float32: DType.FLOAT32,
    torch.float16: DType.FLOAT16,
    torch.bfloat16: DType.BFLOAT16,
    torch.int64: DType.INT64,
    torch.int32: DType.INT32,
    torch.bool: DType.BOOL,
}


class TorchCuts:
    """A torch recipe that can be cut after any operator of its traced graph; see `Cuts`.

    Args:
        artifact: In the format `torch`.
        batch_size: Samples in the batches that the cuts will be run with.

    Raises:
        ConversionError: If it is no recipe, or its module cannot be traced (its code looks at values).
        ArtifactError: If the recipe cannot be built.
    """

    def __init__(self, artifact: ModelArtifact, *, batch_size: int) -> None:
        """Build the module, without its weights, and trace it."""
        if artifact.format is not Format.TORCH or artifact.spec.recipe is None:
            raise ConversionError(
                f"{artifact.name} cannot be cut",
                got=str(artifact.format),
                expected="a torch recipe, or a model in ONNX",
            )
        self._artifact, self._recipe, self._size = artifact, artifact.spec.recipe, batch_size
        module = build_module(artifact.spec.recipe, artifact.name).eval()
        self._tracer, traced, self._specs = _traced(module, artifact, batch_size)
        self.operators = tuple(_operators(traced.graph, module))
        self._grown = _grown(module, traced, artifact, self._specs, batch_size)
        self._ends = frozenset(
            each.name for node in traced.graph.nodes if node.op == "output" for each in node.all_input_nodes
        )

    def live_after(self, count: int) -> tuple[str, ...]:
        """Return the tensors that the first `count` operators make and that are needed after them."""
        comparable = {name: told is not None for name, told in self._specs.items()}
        return live_after(self.operators, count, ends=self._ends, comparable=comparable)

    def is_made(self, tensor: str) -> bool:
        """Whether an operator makes a tensor; the model's inputs are made by none."""
        return any(tensor in operator.outputs for operator in self.operators)

    def is_comparable(self, tensor: str) -> bool:
        """Whether a node gives a tensor of numbers."""
        return self._specs.get(tensor) is not None

    def cut(
        self,
        tensors: Sequence[str],
        folder: Path,  # noqa: ARG002 - a recipe needs no file besides the weights
        *,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> ModelArtifact:
        """Return the part of the model that makes some tensors, with the same file of weights.

        Lengths that grow with the batch are told so, as conversions to other formats need it.

        Raises:
            ConversionError: If a tensor is no input and no operator makes it.
        """
        unknown = sorted(name for name in tensors if not self.is_comparable(name))
        if unknown:
            raise ConversionError("a model cannot be cut at what no operator makes", got=unknown)
        recipe = Recipe(
            architecture=f"{__name__}:build_prefix",
            version=DEFINITION_VERSION,
            config={"of": json.dumps(to_json(self._recipe)), "tensors": tuple(tensors), **self._how},
        )
        outputs = tuple(self._spec(f"t{index}", name, shapes or {}) for index, name in enumerate(tensors))
        return attrs.evolve(
            self._artifact, spec=attrs.evolve(self._artifact.spec, recipe=recipe, outputs=outputs, twin=None)
        )

    @property
    def _how(self) -> dict[str, str | int]:
        """Return what else tracing the same graph again needs."""
        if self._tracer is Tracer.FX:
            return {}
        inputs = json.dumps([to_json(each) for each in self._artifact.spec.inputs])
        return {"tracer": str(self._tracer), "inputs": inputs, "batch_size": self._size}

    def _spec(self, name: str, tensor: str, shapes: Mapping[str, tuple[int, ...]]) -> TensorSpec:
        told = self._specs[tensor]
        assert told is not None, "cut refuses what is no tensor"
        shape, dtype = told
        taken = shapes.get(tensor, shape)
        return TensorSpec(
            name=name, original_name=tensor, shape=self._grown[tensor] if taken == shape else taken, dtype=dtype
        )


class Prefix(Rooted):
    """A module of which only the operators before some tensors are run; its weights have the names of the whole's.

    Args:
        whole: The module.
        traced: Its graph, which becomes this one's own.
        tensors: Names of the nodes whose results are given, by these names.
    """

    def __init__(self, whole: nn.Module, traced: TracedGraph, tensors: Sequence[str]) -> None:
        """Leave out what the tensors do not need."""
        nodes = {node.name: node for node in traced.graph.nodes}
        (end,) = (node for node in traced.graph.nodes if node.op == "output")
        end.args = ({name: nodes[name] for name in tensors},)
        for node in reversed(list(traced.graph.nodes)):
            if not node.users and node.op not in {"placeholder", "output"}:
                traced.graph.erase_node(node)
        super().__init__(whole, traced)


def build_prefix(
    *, of: str, tensors: tuple[str, ...], tracer: str = Tracer.FX, inputs: str = "[]", batch_size: int = 2
) -> Prefix:
    """Build a prefix of a recipe's module.

    Args:
        of: The recipe, as JSON.
        tensors: Names of the nodes whose results are given.
        tracer: What the names are of.
        inputs: What the module takes, as JSON, where the tracer needs to know.
        batch_size: For which the graph must do.
    """
    recipe = Recipe(**json.loads(of))
    module = build_module(recipe, recipe.architecture).eval()
    taken = [from_json(TensorSpec, each) for each in json.loads(inputs)]
    return Prefix(module, traced_graph(module, taken, batch_size=batch_size, tracer=Tracer(tracer)), tensors)


def _traced(
    module: nn.Module, artifact: ModelArtifact, batch_size: int
) -> tuple[Tracer, TracedGraph, dict[str, Told | None]]:
    """Trace a module by the first tracer that can, and see what its nodes give."""
    told = []
    for tracer in Tracer:
        try:
            traced = traced_graph(module, artifact.spec.inputs, batch_size=batch_size, tracer=tracer)
            return tracer, traced, _seen(module, traced, artifact, batch_size)
        except BenchmarkError:
            raise
        except Exception as error:  # noqa: BLE001 - a module's own code runs here
            told.append(f"torch.{tracer}: {type(error).__name__}: {error}")
    raise ConversionError(f"{artifact.name} cannot be cut: its graph cannot be traced", got="; ".join(told))


def _operators(graph: fx.Graph, module: nn.Module) -> list[Operator]:
    moving = {node.name for node in graph.nodes if node.op == "placeholder"}
    found = []
    for node in graph.nodes:
        taken = tuple(each.name for each in node.all_input_nodes if each.name in moving)
        if node.op in _CALLS and taken:
            moving.add(node.name)
            found.append(
                Operator(kind=_kind(node, module), name=_name(node, module), inputs=taken, outputs=(node.name,))
            )
    return found


def _kind(node: fx.Node, module: nn.Module) -> str:
    if node.op == "call_module":
        return type(module.get_submodule(str(node.target))).__name__
    if isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001 - torch has no other name for it
        return _own_module(node, module)[1] or node.target.overloadpacket.__name__
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def _name(node: fx.Node, module: nn.Module) -> str:
    if node.op == "call_module":
        return str(node.target)
    path, kind = _own_module(node, module)
    return path if kind else ".".join(part for part in (path, node.name) if part)


def _own_module(node: fx.Node, module: nn.Module) -> tuple[str, str]:
    """Return the path of the submodule whose code calls an operator, and its type if it is one of torch's own.

    Of several operators in one of torch's own modules, such as an LSTM, each has the module's name.
    """
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = str(stack[-1][0]) if stack else ""
    if not path or path not in dict(module.named_modules()):
        return "", ""
    kind = type(module.get_submodule(path))
    return path, kind.__name__ if kind.__module__.startswith("torch.nn") else ""


def _seen(module: nn.Module, traced: TracedGraph, artifact: ModelArtifact, batch_size: int) -> dict[str, Told | None]:
    """Run the graph on an example; return shape and type of what each node gives, None where that is no tensor."""
    example = example_inputs(artifact.spec, batch_size)
    with torch.inference_mode():
        ShapeProp(fx.GraphModule(Rooted(module, traced), traced.graph)).propagate(
            *(torch.from_numpy(each) for each in example.values())
        )
    return {node.name: _told(node) for node in traced.graph.nodes}


def _grown(
    module: nn.Module, traced: TracedGraph, artifact: ModelArtifact, specs: Mapping[str, Told | None], batch_size: int
) -> dict[str, tuple[int | Axis, ...]]:
    """Return each tensor's shape, with the axis that grows with the batch: where one does at another batch size."""
    try:
        others = _seen(module, traced, artifact, batch_size + 1)
    except Exception:  # noqa: BLE001 - a module's own code runs here, which may know one batch size only
        others = {}
    return {
        name: _shape(told[0], (others.get(name) or told)[0], batch_size)
        for name, told in specs.items()
        if told is not None
    }


def _shape(shape: tuple[int, ...], other: tuple[int, ...], batch_size: int) -> tuple[int | Axis, ...]:
    """Write a shape at two batch sizes, the second larger by 1, as one.

    Example:
        >>> _shape((52, 4), (78, 4), 2)
        (Axis(name='batch', times=26), 4)
    """
    places = [place for place, (one, two) in enumerate(zip(shape, other, strict=False)) if one != two]
    if len(shape) != len(other) or len(places) != 1:
        return shape
    (place,) = places
    times, rest = divmod(shape[place], batch_size)
    if rest or other[place] != times * (batch_size + 1):
        return shape
    return (*shape[:place], Axis(times=times), *shape[place + 1 :])


def _told(node: fx.Node) -> Told | None:
    """Return shape and type of what a node gives; None unless that is one tensor of numbers."""
    told = node.meta.get("tensor_meta")
    if not isinstance(told, TensorMetadata) or told.dtype not in _DTYPES:
        return None
    return tuple(told.shape), _DTYPES[told.dtype]
