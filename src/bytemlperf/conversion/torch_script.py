"""Trace a torch module to TorchScript, for the runtimes that read nothing newer."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from bytemlperf.conversion.torch_tracing import Positional, example_tensors, module_to_trace
from bytemlperf.errors import ConversionError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.spec import ModelSpec


def write_torchscript(artifact: ModelArtifact, path: Path) -> None:
    """Trace a torch artifact in the precision of its spec; see `export_torchscript`.

    Raises:
        ArtifactError: If its module cannot be built.
        ConversionError: If it cannot be traced.
    """
    export_torchscript(module_to_trace(artifact), artifact.spec, path)


def export_torchscript(module: nn.Module, spec: ModelSpec, path: Path) -> None:
    """Trace a module to a TorchScript file that takes and returns tensors in the order of the spec.

    A trace keeps the branches and lengths that the example took. It is therefore compared with the
    module at another batch size, and refused where it differs.

    Args:
        module: On the CPU, in evaluation mode; called with positional tensors in the order of `spec.inputs`.
        spec: Names, shapes and types of its inputs and outputs.
        path: File to write; its folder exists.

    Raises:
        ConversionError: If the module does not return what the spec declares, cannot be traced,
            or the trace does not hold for another batch size.
    """
    adapter = Positional(module, spec.outputs)
    example = example_tensors(module, spec)
    try:
        # torch calls tracing deprecated; runtimes that take only its files exist all the same.
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(adapter, example, check_trace=False)  # type: ignore[no-untyped-call]  # torch's
            _compare(traced, adapter, example_tensors(module, spec, batch_size=3), spec)
            torch.jit.save(traced, path)
    except ConversionError:
        raise
    except Exception as error:  # the module's own code runs here
        raise ConversionError(
            f"{spec.name} cannot be traced to TorchScript", got=f"{type(error).__name__}: {error}"
        ) from error


def _compare(traced: nn.Module, adapter: nn.Module, inputs: tuple[Tensor, ...], spec: ModelSpec) -> None:
    try:
        found = traced(*(each.clone() for each in inputs))
    except RuntimeError as cause:
        raise ConversionError(
            f"the trace of {spec.name} takes only the batch size that it was made with",
            got=" ".join(str(cause).split()),
        ) from cause
    for tensor, given, expected in zip(spec.outputs, found, adapter(*inputs), strict=True):
        if given.shape == expected.shape and torch.allclose(given, expected, rtol=1e-3, atol=1e-3, equal_nan=True):
            continue
        error = ConversionError(
            f"the trace of {spec.name} computes output {tensor.name!r} differently at another batch size",
            remedy="its forward branches on values or lengths, which a trace cannot follow",
        )
        error.tensor = tensor.name
        raise error
