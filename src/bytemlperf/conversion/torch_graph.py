"""The graph of a torch module's operators: as torch.fx traces it, or, where its code looks at lengths, torch.export."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import attrs
import torch
from torch import fx, nn
from torch.fx.experimental.symbolic_shapes import is_concrete_int

from bytemlperf.conversion.torch_tracing import EXPORTING, float_dtype, zero_tensors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bytemlperf.spec import TensorSpec

_CHECKS: Final = ("_assert", "sym_constrain", "_guards_fn")
"""How nodes begin that only hold the example's lengths and types against those of the moment."""


class Tracer(StrEnum):
    """What gives a graph: `fx` keeps torch's own modules whole, `export` goes down to ATen's operators."""

    FX = "fx"
    EXPORT = "export"


@attrs.frozen(kw_only=True, eq=False)
class TracedGraph:
    """A graph whose nodes take their weights from the traced module.

    Attributes:
        graph: Its inputs are the model's, in order.
        constants: Tensors that the code makes and the module does not have, by the name that nodes use.
        floats: The type of floating-point numbers that is written into the graph; None where none is.
    """

    graph: fx.Graph
    constants: Mapping[str, torch.Tensor] = attrs.field(factory=dict)
    floats: torch.dtype | None = None


def traced_graph(
    module: nn.Module, inputs: Sequence[TensorSpec], *, batch_size: int, tracer: Tracer = Tracer.FX
) -> TracedGraph:
    """Trace a module; what it gives does not depend on its weights' values.

    Args:
        module: In evaluation mode, on the CPU.
        inputs: What it takes.
        batch_size: For which the graph must do; it does for others where the module's code lets it.
        tracer: How.

    Raises:
        Exception: Whatever the module's own code raises.
    """
    if tracer is Tracer.FX:
        return TracedGraph(graph=fx.Tracer().trace(module))
    program = _exported(module, inputs, batch_size)
    graph = _cleaned(program.module().graph)
    named = dict(program.constants)
    taken = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    return TracedGraph(
        graph=graph,
        constants={name: named[name].detach() for name in sorted(taken & set(named)) if not _has(module, name)},
        floats=float_dtype(module),
    )


class Rooted(nn.Module):
    """A module of which a graph is run; its weights have the names of the whole's.

    Args:
        whole: The traced module.
        traced: Its graph, or a part of it.
    """

    def __init__(self, whole: nn.Module, traced: TracedGraph) -> None:
        """Take over the weights."""
        super().__init__()
        self._modules.update(whole._modules)  # noqa: SLF001 - so that the weights' names stay as they are
        self._parameters.update(whole._parameters)  # noqa: SLF001 - as above
        self._buffers.update(whole._buffers)  # noqa: SLF001 - as above
        self._non_persistent_buffers_set.update(whole._non_persistent_buffers_set)  # noqa: SLF001 - as above
        for name, tensor in traced.constants.items():
            self.register_buffer(name, tensor.clone(), persistent=False)
        self._traced = traced
        self._casts = traced.floats is not None

    def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the operators one after another."""
        wanted = float_dtype(self) if self._casts else None
        return self.interpreted(wanted).run(*inputs)  # type: ignore[no-any-return]  # torch's

    def interpreted(self, wanted: torch.dtype | None = None) -> fx.Interpreter:
        """Return what runs the graph, with another type of floating-point numbers where that is wanted."""
        return _Casting(self, self._traced, wanted)


class _Casting(fx.Interpreter):
    """Runs a graph in the type that the weights have now, where another one is written into it."""

    def __init__(self, module: nn.Module, traced: TracedGraph, wanted: torch.dtype | None) -> None:
        super().__init__(module, graph=traced.graph)
        self._replace: dict[Any, Any] = {}
        if wanted is not None and traced.floats is not None and wanted is not traced.floats:
            before, now = torch.finfo(traced.floats), torch.finfo(wanted)
            self._replace = {traced.floats: wanted, before.min: now.min, before.max: now.max}

    def fetch_args_kwargs_from_env(self, n: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what a node takes."""
        args, kwargs = super().fetch_args_kwargs_from_env(n)
        if not self._replace:
            return args, kwargs
        return tuple(map(self._replaced, args)), {name: self._replaced(each) for name, each in kwargs.items()}

    def _replaced(self, value: Any) -> Any:  # noqa: ANN401 - whatever an operator takes
        return self._replace.get(value, value) if isinstance(value, torch.dtype | float) else value


def _exported(module: nn.Module, inputs: Sequence[TensorSpec], batch_size: int) -> torch.export.ExportedProgram:
    """Export with a batch that may grow, or, where the code fixes it, of the one size."""
    axes = [tensor.batch_axis for tensor in inputs]
    growing = tuple(None if axis is None else {axis: torch.export.Dim.AUTO} for axis in axes)
    size = max(2, batch_size)  # a tracer takes 1 for a constant
    try:
        program = _export(module, inputs, size, growing)
    except Exception:  # noqa: BLE001 - what is wrong for one size is raised there
        program = None
    if program is not None and _grows(program, axes):
        return program
    return _export(module, inputs, batch_size, None)


def _export(
    module: nn.Module, inputs: Sequence[TensorSpec], batch_size: int, growing: tuple[dict[int, Any] | None, ...] | None
) -> torch.export.ExportedProgram:
    example = zero_tensors(inputs, batch_size, float_dtype(module))
    with EXPORTING, torch.no_grad():
        return torch.export.export(module, example, dynamic_shapes=growing, strict=False)


def _grows(program: torch.export.ExportedProgram, axes: Sequence[int | None]) -> bool:
    """Whether no input's batch was taken for a constant."""
    wanted = set(program.graph_signature.user_inputs)
    given = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in wanted]
    return all(
        not is_concrete_int(each.shape[axis]) for each, axis in zip(given, axes, strict=True) if axis is not None
    )


def _cleaned(graph: fx.Graph) -> fx.Graph:
    """Take away what only checks, and the wish to give outputs as the module's own code does."""
    graph.set_codegen(fx.graph.CodeGen())
    for node in reversed(list(graph.nodes)):
        checks = node.name.startswith(_CHECKS) or str(node.target).startswith(_CHECKS)
        if node.op not in {"placeholder", "output"} and not node.users and (checks or node.is_impure() is False):
            graph.erase_node(node)
    return graph


def _has(module: nn.Module, name: str) -> bool:
    """Whether a module has a parameter, buffer or other tensor of a name with dots."""
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True
