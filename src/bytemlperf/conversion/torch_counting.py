"""Count what a torch module does and holds, without its weights and without computing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from bytemlperf.conversion.torch_state import written_bytes
from bytemlperf.errors import BenchmarkError, ConversionError
from bytemlperf.spec import DType, ModelCost, ModelSpec
from bytemlperf.spec.fields import as_dict

COUNTED: Final = "torch, operator by operator, on tensors without values"
"""How `count` counts; see `ModelCost.counted`."""


@attrs.frozen(kw_only=True)
class Layers:
    """Layers of one type.

    Attributes:
        count: How many there are.
        parameters: What they hold themselves.
    """

    count: int
    parameters: int


class _Written(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """Adds up what operators write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.total_bytes = 0

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's own, without a type
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operator returns
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            outputs = result if isinstance(result, tuple | list) else (result,)
            self.total_bytes += sum(each.nbytes for each in outputs if isinstance(each, Tensor))
        return result


def count(build: Callable[[], nn.Module], spec: ModelSpec) -> ModelCost:
    """Run a module at batch size 1 on tensors without values, and count.

    Args:
        build: Builds the module; nothing of it takes memory.
        spec: Its inputs and precision.

    Raises:
        ConversionError: If it cannot be run so: what it does depends on values.
    """
    try:
        with torch.device("meta"):
            module = build().eval().to(_torch_dtype(spec.precision))
            inputs = [_input(tensor.sized(1), tensor.dtype, spec) for tensor in spec.inputs]
        with torch.no_grad(), FlopCounterMode(display=False) as flops, _Written() as written:
            module(*inputs)
    except BenchmarkError:
        raise
    except Exception as error:  # the module's own code runs here
        raise ConversionError(
            f"the work of {spec.name} cannot be counted", got=f"{type(error).__name__}: {error}"
        ) from error
    return ModelCost(
        flops=int(flops.get_total_flops()),
        weight_bytes=sum(written_bytes(module, spec.precision).values()),
        activation_bytes=written.total_bytes,
        counted=COUNTED,
    )


def layers(build: Callable[[], nn.Module]) -> Mapping[str, Layers]:
    """Return a module's layers by type: those that hold parameters, or hold no other layer; most parameters first."""
    from bytemlperf.conversion.torch_building import undrawn

    module = undrawn(build)
    counts: Counter[str] = Counter()
    parameters: Counter[str] = Counter()
    for layer in module.modules():
        own = sum(each.numel() for each in layer.parameters(recurse=False))
        if own or next(layer.children(), None) is None:
            counts[type(layer).__name__] += 1
            parameters[type(layer).__name__] += own
    order = sorted(counts, key=lambda name: (-parameters[name], name))
    return as_dict({name: Layers(count=counts[name], parameters=parameters[name]) for name in order})


def _input(shape: tuple[int, ...], dtype: DType, spec: ModelSpec) -> Tensor:
    kind = _torch_dtype(spec.precision if dtype.name in {"FLOAT32", "FLOAT16", "BFLOAT16"} else dtype)
    return torch.zeros(shape, dtype=kind)


def _torch_dtype(dtype: DType) -> torch.dtype:
    found = getattr(torch, str(dtype), None)
    if not isinstance(found, torch.dtype):
        raise ConversionError("torch has no such type", got=str(dtype))
    return found
