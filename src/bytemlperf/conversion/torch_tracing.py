"""What every conversion that traces a torch module needs: example tensors, and a module that returns a plain tuple."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from bytemlperf.conversion.examples import example_inputs
from bytemlperf.conversion.torch_module import FLOAT_DTYPES, named_outputs, torch_artifact_module
from bytemlperf.errors import BenchmarkError, ConversionError
from bytemlperf.spec import DType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.spec import ModelSpec, TensorSpec

EXPORTING: Final = threading.Lock()
"""Torch traces into state of the whole process: a second export at the same time fails."""


class Positional(nn.Module):
    """Call a module and return its outputs as a tuple in the order of the spec, whatever it returns itself."""

    PREFIX: Final = "module."
    """What this puts before the names of the module's weights."""

    def __init__(self, module: nn.Module, outputs: tuple[TensorSpec, ...]) -> None:
        super().__init__()
        self.module = module
        self._outputs = outputs
        self.train(module.training)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs that the spec declares."""
        return tuple(named_outputs(self.module(*inputs), self._outputs).values())


def module_to_trace(artifact: ModelArtifact) -> nn.Module:
    """Build an artifact's module in the precision that its spec declares, which the file will then have.

    Raises:
        ArtifactError: If it cannot be built.
    """
    module = torch_artifact_module(artifact)
    dtype = FLOAT_DTYPES.get(artifact.spec.precision)
    return module if dtype is None else module.to(dtype)


def example_tensors(module: nn.Module, spec: ModelSpec, *, batch_size: int = 2) -> tuple[Tensor, ...]:
    """Make positional inputs that the module accepts, and see that it returns what its spec declares.

    Floating-point inputs have the type of the module's weights.

    Args:
        module: On the CPU.
        spec: What it should take and return.
        batch_size: 2 or more, so that a tracer does not take the batch for a constant.

    Raises:
        ConversionError: If it raises, or an output has another shape or is missing.
    """
    arrays = example_inputs(spec, batch_size)
    floats = float_dtype(module)
    inputs = tuple(_tensor(arrays[tensor.name], tensor.dtype, floats) for tensor in spec.inputs)
    try:
        with torch.no_grad():
            outputs = named_outputs(module(*(each.clone() for each in inputs)), spec.outputs)
    except BenchmarkError as error:
        raise ConversionError(f"{spec.name} does not fit its spec: {error}") from error
    except Exception as error:  # a module's forward may raise anything
        raise ConversionError(
            f"{spec.name} does not take the inputs that its spec declares",
            got=f"{type(error).__name__}: {error}",
            expected=", ".join(f"{tensor.name} {list(map(str, tensor.shape))}" for tensor in spec.inputs),
        ) from error
    for tensor in spec.outputs:
        _check_shape(outputs[tensor.name], tensor, spec.name, batch_size)
    return inputs


def zero_tensors(inputs: Iterable[TensorSpec], batch_size: int, floats: torch.dtype | None) -> tuple[Tensor, ...]:
    """Make positional inputs of zeros, for a tracer that looks at shapes and types alone.

    Args:
        inputs: What the module takes.
        batch_size: Of each.
        floats: The type of floating-point inputs; None for the one that each declares.
    """
    return tuple(_zeros(tensor, batch_size, floats) for tensor in inputs)


def float_dtype(module: nn.Module) -> torch.dtype | None:
    """Return the type of a module's first floating-point parameter or buffer; None where it has none."""
    weights = (*module.parameters(), *module.buffers())
    return next((weight.dtype for weight in weights if weight.is_floating_point()), None)


def _zeros(tensor: TensorSpec, batch_size: int, floats: torch.dtype | None) -> Tensor:
    own: torch.dtype = getattr(torch, tensor.dtype.value)
    return torch.zeros(tensor.sized(batch_size), dtype=floats if floats and own.is_floating_point else own)


def _tensor(array: object, dtype: DType, floats: torch.dtype | None) -> Tensor:
    tensor = torch.tensor(array)
    if dtype not in FLOAT_DTYPES:
        return tensor
    return tensor.to(floats or FLOAT_DTYPES[dtype])


def _check_shape(output: Tensor, tensor: TensorSpec, name: str, batch_size: int) -> None:
    if tuple(output.shape) == tensor.sized(batch_size):
        return
    error = ConversionError(
        f"output {tensor.name!r} of {name} has another shape than its spec declares",
        got=list(output.shape),
        expected=f"{list(tensor.sized(batch_size))} for a batch of {batch_size}",
        remedy="correct the spec: axes that grow with the batch are written 'batch' or '26*batch'",
    )
    error.tensor = tensor.name
    raise error
