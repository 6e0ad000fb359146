"""Cut a torch model into prefixes: its graph, traced by torch.fx, up to some operator, as a recipe of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata

from bytemlperf.conversion.cutting import Operator, live_after
from bytemlperf.conversion.examples import example_inputs
from bytemlperf.conversion.torch_module import build_module
from bytemlperf.errors import BenchmarkError, ConversionError
from bytemlperf.spec import Axis, DType, Format, Recipe, TensorSpec, to_json

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
        self._artifact, self._recipe = artifact, artifact.spec.recipe
        module = build_module(artifact.spec.recipe, artifact.name).eval()
        try:
            self._graph = _traced(module)
            self._specs = _seen(module, self._graph, artifact, batch_size)
        except BenchmarkError:
            raise
        except Exception as error:  # a module's own code runs here
            raise ConversionError(
                f"{artifact.name} cannot be cut: torch.fx cannot trace it", got=f"{type(error).__name__}: {error}"
            ) from error
        self.operators = tuple(_operators(self._graph, module))
        self._grown = _grown(module, self._graph, artifact, self._specs, batch_size)
        self._ends = frozenset(
            each.name for node in self._graph.nodes if node.op == "output" for each in node.all_input_nodes
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
            ConversionError: If no operator makes a tensor.
        """
        unknown = sorted(name for name in tensors if not (self.is_made(name) and self.is_comparable(name)))
        if unknown:
            raise ConversionError("a model cannot be cut at what no operator makes", got=unknown)
        recipe = Recipe(
            architecture=f"{__name__}:build_prefix",
            version=DEFINITION_VERSION,
            config={"of": json.dumps(to_json(self._recipe)), "tensors": tuple(tensors)},
        )
        outputs = tuple(self._spec(f"t{index}", name, shapes or {}) for index, name in enumerate(tensors))
        return attrs.evolve(
            self._artifact, spec=attrs.evolve(self._artifact.spec, recipe=recipe, outputs=outputs, twin=None)
        )

    def _spec(self, name: str, tensor: str, shapes: Mapping[str, tuple[int, ...]]) -> TensorSpec:
        told = self._specs[tensor]
        assert told is not None, "cut refuses what is no tensor"
        shape, dtype = told
        taken = shapes.get(tensor, shape)
        return TensorSpec(
            name=name, original_name=tensor, shape=self._grown[tensor] if taken == shape else taken, dtype=dtype
        )


class Prefix(nn.Module):
    """A module of which only the operators before some tensors are run; its weights have the names of the whole's.

    Args:
        whole: The module.
        tensors: Names of the nodes whose results are given, by these names.
    """

    def __init__(self, whole: nn.Module, tensors: Sequence[str]) -> None:
        """Trace the module and take over its weights."""
        super().__init__()
        graph = _traced(whole)
        nodes = {node.name: node for node in graph.nodes}
        (end,) = (node for node in graph.nodes if node.op == "output")
        end.args = ({name: nodes[name] for name in tensors},)
        for node in reversed(list(graph.nodes)):
            if not node.users and node.op not in {"placeholder", "output"}:
                graph.erase_node(node)
        self._modules.update(whole._modules)  # noqa: SLF001 - so that the weights' names stay as they are
        self._parameters.update(whole._parameters)  # noqa: SLF001 - as above
        self._buffers.update(whole._buffers)  # noqa: SLF001 - as above
        self._non_persistent_buffers_set.update(whole._non_persistent_buffers_set)  # noqa: SLF001 - as above
        self._graph = graph

    def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the operators one after another."""
        found: dict[str, torch.Tensor] = fx.Interpreter(self, graph=self._graph).run(*inputs)
        return found


def build_prefix(*, of: str, tensors: tuple[str, ...]) -> Prefix:
    """Build a prefix of a recipe's module.

    Args:
        of: The recipe, as JSON.
        tensors: Names of the nodes whose results are given.
    """
    recipe = Recipe(**json.loads(of))
    return Prefix(build_module(recipe, recipe.architecture).eval(), tensors)


def _traced(module: nn.Module) -> fx.Graph:
    return fx.Tracer().trace(module)


def _operators(graph: fx.Graph, module: nn.Module) -> list[Operator]:
    moving = {node.name for node in graph.nodes if node.op == "placeholder"}
    found = []
    for node in graph.nodes:
        taken = tuple(each.name for each in node.all_input_nodes if each.name in moving)
        if node.op in _CALLS and taken:
            moving.add(node.name)
            found.append(Operator(kind=_kind(node, module), name=_name(node), inputs=taken, outputs=(node.name,)))
    return found


def _kind(node: fx.Node, module: nn.Module) -> str:
    if node.op == "call_module":
        return type(module.get_submodule(str(node.target))).__name__
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def _name(node: fx.Node) -> str:
    return str(node.target) if node.op == "call_module" else node.name


def _seen(module: nn.Module, graph: fx.Graph, artifact: ModelArtifact, batch_size: int) -> dict[str, Told | None]:
    """Run the graph on an example; return shape and type of what each node gives, None where that is no tensor."""
    example = example_inputs(artifact.spec, batch_size)
    with torch.inference_mode():
        ShapeProp(fx.GraphModule(module, graph)).propagate(*(torch.from_numpy(each) for each in example.values()))
    return {node.name: _told(node) for node in graph.nodes}


def _grown(
    module: nn.Module, graph: fx.Graph, artifact: ModelArtifact, specs: Mapping[str, Told | None], batch_size: int
) -> dict[str, tuple[int | Axis, ...]]:
    """Return each tensor's shape, with the axis that grows with the batch: where one does at another batch size."""
    try:
        others = _seen(module, graph, artifact, batch_size + 1)
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
