"""What a model's graph costs: by type of operator, and in all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.errors import ArtifactError, SpecError
from bytemlperf.registry import load
from bytemlperf.spec import Format
from bytemlperf.spec.fields import as_tuple

if TYPE_CHECKING:
    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.spec import ModelSpec


@attrs.frozen(kw_only=True)
class OperatorCost:
    """What all operators of one type cost together.

    Attributes:
        kind: Type of operator, in the words of the graph: `Conv`, `aten.convolution`.
        count: How many there are.
        macs: Products that are added up: of convolutions, matrix products and recurrent layers; 0 for all others.
        bytes: Read and written, if every operator reads its inputs and writes its outputs once.
    """

    kind: str
    count: int
    macs: int = 0
    bytes: int = 0


@attrs.frozen(kw_only=True)
class GraphCost:
    """What a graph costs at a batch size.

    Attributes:
        batch_size: Samples in a query.
        operators: By type, those with the most products first.
        weight_bytes: Of all weights, each counted once.
        uncounted: Types of operators that may work and are not counted: those with a graph of their own inside.
    """

    batch_size: int
    operators: tuple[OperatorCost, ...] = attrs.field(converter=as_tuple)
    weight_bytes: int
    uncounted: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)

    @property
    def macs(self) -> int:
        """Products that are added up, in all operators."""
        return sum(each.macs for each in self.operators)

    @property
    def flops(self) -> int:
        """Floating-point operations: two for each product that is added up, as the field counts them.

        Source: torch.utils.flop_counter and MLPerf's model tables; element-wise work is left out by both.
        """
        return 2 * self.macs

    @property
    def bytes(self) -> int:
        """Bytes read and written, if every operator reads its inputs and writes its outputs once."""
        return sum(each.bytes for each in self.operators)

    @property
    def layers(self) -> Mapping[str, int]:
        """How many operators there are of each type."""
        return {each.kind: each.count for each in self.operators}


_COUNTERS: Final[Mapping[Format, str]] = {
    Format.ONNX: "bytemlperf.graph.onnx_graph:count",
    Format.TORCH: "bytemlperf.graph.torch_recipe:count_artifact",
}


def cost(artifact: ModelArtifact, *, batch_size: int = 1) -> GraphCost:
    """Count a model's operators, the work in them and what they move.

    Nothing is run: shapes are inferred at the batch size, by ONNX or on torch's meta device.

    Args:
        artifact: In the format `onnx` or `torch`.
        batch_size: Samples in a query.

    Raises:
        SpecError: If the batch size is below 1.
        ArtifactError: If the format has no counter, or the file cannot be read or its shapes not be inferred.

    Example:
        ::

            cost = graph.cost(zoo.resolve("yolov5-onnx-fp32", weights="random"), batch_size=8)
            print(cost.flops, cost.layers["Conv"])
    """
    _check(batch_size)
    counter = _COUNTERS.get(artifact.format)
    if counter is None:
        raise ArtifactError(
            f"the graph of {artifact.name} cannot be counted",
            got=str(artifact.format),
            expected=f"one of {', '.join(_COUNTERS)}",
            remedy="count its torch definition with recipe_cost(spec)",
        )
    count: Callable[[ModelArtifact, int], GraphCost] = load(counter, what="the counter")
    return count(artifact, batch_size)


def recipe_cost(spec: ModelSpec, *, batch_size: int = 1) -> GraphCost:
    """Count a model from its recipe alone: no weights are needed, and no memory for them.

    Args:
        spec: With the recipe of a torch module.
        batch_size: Samples in a query.

    Raises:
        SpecError: If the batch size is below 1, or the spec has no recipe of torch.
        ArtifactError: If the module cannot be built, or does not take the spec's inputs.
    """
    _check(batch_size)
    count: Callable[[ModelSpec, int], GraphCost] = load("bytemlperf.graph.torch_recipe:count", what="the counter")
    return count(spec, batch_size)


def summed(parts: Iterable[OperatorCost]) -> tuple[OperatorCost, ...]:
    """Join operators of one type; those with the most products first, then the most bytes."""
    found: dict[str, OperatorCost] = {}
    for part in parts:
        before = found.get(part.kind, OperatorCost(kind=part.kind, count=0))
        found[part.kind] = OperatorCost(
            kind=part.kind,
            count=before.count + part.count,
            macs=before.macs + part.macs,
            bytes=before.bytes + part.bytes,
        )
    return tuple(sorted(found.values(), key=lambda each: (-each.macs, -each.bytes, each.kind)))


def _check(batch_size: int) -> None:
    if batch_size < 1:
        raise SpecError("batch size out of range", got=batch_size, expected="a whole number above 0")
