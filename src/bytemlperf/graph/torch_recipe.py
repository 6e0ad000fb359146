"""Count the work in a torch module, on the meta device: nothing is computed and no weight has memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from bytemlperf.errors import ArtifactError, SpecError
from bytemlperf.graph.cost import GraphCost, OperatorCost, summed
from bytemlperf.registry import load
from bytemlperf.spec import DType

if TYPE_CHECKING:
    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.spec import ModelSpec


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """Note every operator that is called."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.parts: list[OperatorCost] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - torch's
        kwargs = kwargs or {}
        answer = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        flops = 0 if formula is None else formula(*args, **kwargs, out_val=answer)
        moved = {id(each): each.nbytes for each in tree_leaves((args, kwargs, answer)) if isinstance(each, Tensor)}
        # A view moves nothing.
        size = 0 if func.is_view else sum(moved.values())
        self.parts.append(OperatorCost(kind=str(func.overloadpacket), count=1, macs=flops // 2, bytes=size))
        return answer


def count(spec: ModelSpec, batch_size: int) -> GraphCost:
    """Count a recipe's module; see `bytemlperf.graph.recipe_cost`.

    Products are those of torch.utils.flop_counter's formulas. Operators are those of ATen that eager torch calls.

    Raises:
        SpecError: If the spec has no recipe.
        ArtifactError: If its module cannot be built or run on the meta device.
    """
    if spec.recipe is None:
        raise SpecError(f"the graph of {spec.name} cannot be counted: its spec has no recipe")
    build = load(spec.recipe.architecture, what=f"the architecture of {spec.name}")
    try:
        with torch.device("meta"), torch.no_grad():
            module = build(**spec.recipe.config)
            inputs = [torch.empty(each.sized(batch_size), dtype=_dtype(each.dtype)) for each in spec.inputs]
            with _Counting() as counting:
                module(*inputs)
    except Exception as error:  # an architecture may come from anyone
        raise ArtifactError(
            f"the graph of {spec.name} cannot be counted",
            where=spec.recipe.architecture,
            got=f"{type(error).__name__}: {error}",
            expected="a torch module that takes the spec's inputs on the meta device",
        ) from error
    return GraphCost(batch_size=batch_size, operators=summed(counting.parts), weight_bytes=_weight_bytes(module))


def count_artifact(artifact: ModelArtifact, batch_size: int) -> GraphCost:
    """Count a torch artifact; see `bytemlperf.graph.cost`.

    Raises:
        SpecError: As `count`.
        ArtifactError: As `count`.
    """
    return count(artifact.spec, batch_size)


def _dtype(dtype: DType) -> torch.dtype:
    found = getattr(torch, str(dtype), None)
    if not isinstance(found, torch.dtype):
        raise TypeError(f"torch has no {dtype}")
    return found


def _weight_bytes(module: nn.Module) -> int:
    return sum(each.nbytes for each in module.parameters())
