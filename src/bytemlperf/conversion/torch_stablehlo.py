"""Bring a torch module to StableHLO by torch-mlir, with its weights as arguments beside the text."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bytemlperf.conversion.torch_state import write_weights
from bytemlperf.conversion.torch_tracing import EXPORTING, Positional, example_tensors, module_to_trace
from bytemlperf.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.spec import ModelSpec

WEIGHTS: Final = "weights.safetensors"
"""Name of the file of weights beside the index."""


def write_stablehlo(artifact: ModelArtifact, path: Path) -> None:
    """Export a torch artifact in the precision of its spec; see `export_stablehlo`.

    Raises:
        ArtifactError: If its module cannot be built.
        ConversionError: If it cannot be exported.
    """
    export_stablehlo(module_to_trace(artifact), artifact.spec, path)


def export_stablehlo(module: nn.Module, spec: ModelSpec, path: Path) -> None:
    """Export a module to StableHLO, a text for each batch size: its compilers want fixed shapes.

    The batch sizes are 1 and the spec's. `path` is an index in JSON: `arguments` names the weights in the
    order in which `main` takes them, before the model's inputs in the order of the spec; `modules` gives
    the file of each batch size; `sha256` the digest of each file, so that the index's own covers them all.

    Args:
        module: On the CPU, in evaluation mode; called with positional tensors in the order of `spec.inputs`.
        spec: Names, shapes and types of its inputs and outputs.
        path: File to write; its folder exists, and the other files come beside it.

    Raises:
        ConversionError: If the module does not return what the spec declares, or cannot be exported.
    """
    weights = {name: tensor for name, tensor in module.state_dict().items() if tensor.is_floating_point()}
    adapter = _WeightsFirst(Positional(module, spec.outputs), tuple(weights))
    sizes = sorted({1, *spec.batch_sizes})
    with tempfile.TemporaryDirectory() as folder:
        programs = {path.with_name(_module_name(size)): Path(folder) / f"{size}.pt2" for size in sizes}
        for size, program in zip(sizes, programs.values(), strict=True):
            inputs = example_tensors(module, spec, batch_size=size)
            _save_program(adapter, (*weights.values(), *inputs), spec, program)
        _write_texts(programs, spec)
    write_weights(weights, path.with_name(WEIGHTS), precision=spec.precision)
    names = [*map(_module_name, sizes), WEIGHTS]
    index = {
        "arguments": list(weights),
        "modules": {str(size): _module_name(size) for size in sizes},
        "weights": WEIGHTS,
        "sha256": {name: hashlib.sha256(path.with_name(name).read_bytes()).hexdigest() for name in names},
    }
    path.write_text(json.dumps(index, indent=1), encoding="utf-8")


class _WeightsFirst(nn.Module):
    """Call a module with weights that are given to it, before its inputs."""

    def __init__(self, module: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        # Out of torch's sight: registered, the weights would go into the text as values.
        self._wrapped = (module,)
        self._names = tuple(f"{Positional.PREFIX}{name}" for name in names)

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the module."""
        count = len(self._names)
        weights = dict(zip(self._names, arguments[:count], strict=True))
        outputs: tuple[Tensor, ...] = functional_call(self._wrapped[0], weights, arguments[count:])
        return outputs


def _save_program(adapter: nn.Module, arguments: tuple[Tensor, ...], spec: ModelSpec, path: Path) -> None:
    try:
        with EXPORTING, warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # remarks of torch about itself
            torch.export.save(torch.export.export(adapter, arguments), path)
    except Exception as error:  # the module's own code runs here
        raise ConversionError(
            f"{spec.name} cannot be exported to StableHLO",
            got=f"{type(error).__name__}: {error}",
            remedy="its forward must be traceable by torch.export",
        ) from error


def _write_texts(programs: Mapping[Path, Path], spec: ModelSpec) -> None:
    """Let a process of its own write the texts; see `torch_stablehlo_text`."""
    paths = [str(path) for text, program in programs.items() for path in (program, text)]
    ended = subprocess.run(  # noqa: S603 - this interpreter and our own module
        [sys.executable, "-W", "ignore", "-m", "bytemlperf.conversion.torch_stablehlo_text", *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise ConversionError(
            f"torch-mlir cannot bring {spec.name} to StableHLO",
            got=ended.stderr.strip().rpartition("\n")[2] or f"exit code {ended.returncode}",
            remedy="it must know the model's operators; where it is missing: pip install 'bytemlperf[stablehlo]'",
        )


def _module_name(batch_size: int) -> str:
    return f"batch-{batch_size}.mlir"
