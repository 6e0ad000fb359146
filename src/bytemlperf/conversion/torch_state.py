"""The state of a torch module (its named weights): read, write, describe and digest it."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bytemlperf.conversion.torch_module import FLOAT_DTYPES
from bytemlperf.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bytemlperf.spec import DType

_METADATA: Final = {"format": "pt"}
"""What other readers of safetensors look for in a file of torch weights."""


def write_state(module: nn.Module, path: Path, *, precision: DType) -> None:
    """Write a module's state as a safetensors file, floating-point weights in `precision`.

    Equal states give equal files.
    """
    floats = FLOAT_DTYPES.get(precision)
    state = {name: _cast(tensor, floats) for name, tensor in module.state_dict().items()}
    save_file(_apart(state), path, metadata=_METADATA)


def convert_state(source: Path, path: Path) -> None:
    """Write a state dict that `torch.save` wrote as a safetensors file. Nothing in it is executed.

    Raises:
        ArtifactError: If it cannot be read so, or is no plain mapping of names to tensors.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on how a file was written; what it holds is checked below
            loaded = torch.load(source, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise ArtifactError(
            "the file cannot be read as weights",
            where=source.name,
            got=_flattened(error),
            expected="a state dict written by torch.save(module.state_dict(), path)",
        ) from error
    if not isinstance(loaded, dict) or not all(isinstance(each, Tensor) for each in loaded.values()):
        found = sorted(map(str, loaded)) if isinstance(loaded, dict) else type(loaded).__name__
        raise ArtifactError(
            "the file holds more or other than weights",
            where=source.name,
            got=found,
            expected="a state dict: names of weights to tensors",
            remedy="save only the module's state_dict()",
        )
    save_file(_apart({str(name): tensor for name, tensor in loaded.items()}), path, metadata=_METADATA)


def state_shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight that a module has, without memory for them where it allows that."""
    try:
        with torch.device("meta"):
            module = build()
    except Exception:  # noqa: BLE001 - it computes with values, of which there are none here; else the next line raises it
        module = build()
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def unused_weights(build: Callable[[], nn.Module]) -> tuple[str, ...]:
    """Return regular expressions of the names that published files may carry and a module passes over.

    A module says so by an attribute of this name, and drops them itself when a state is loaded.
    """
    with torch.device("meta"):
        return tuple(getattr(build(), "unused_weights", ()))


def state_digest(module: nn.Module) -> str:
    """Return a sha256 over names, types, shapes and bytes of a module's state."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _cast(tensor: Tensor, floats: torch.dtype | None) -> Tensor:
    return tensor.to(floats) if floats is not None and tensor.is_floating_point() else tensor


def _apart(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give each name memory of its own: the format has no shared weights."""
    return {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}


def _flattened(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
