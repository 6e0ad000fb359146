"""The state of a torch module (its named weights): read, write, describe and digest it."""

from __future__ import annotations

import hashlib
import json
import pickle
import warnings
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bytemlperf.conversion.torch_building import undrawn
from bytemlperf.conversion.torch_module import FLOAT_DTYPES
from bytemlperf.conversion.weight_files import weight_files
from bytemlperf.errors import ArtifactError
from bytemlperf.fetch import is_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bytemlperf.spec import DType

_METADATA: Final = {"format": "pt"}
"""What other readers of safetensors look for in a file of torch weights."""

SHARD_BYTES: Final = 1 << 30
"""Weights that take more are written to several files of about that size."""


def write_drawn(
    weights: Iterable[tuple[str, Tensor]], sizes: Mapping[str, int], path: Path, *, precision: DType
) -> None:
    """Write weights as they are drawn, so that only those of one file are in memory at a time.

    Args:
        weights: Name and values, in the order of `sizes`; floating-point ones are written in `precision`.
        sizes: Bytes of each as it is written; see `written_bytes`.
        path: A safetensors file, or an index, beside which its shards are then written.
        precision: Type of floating-point weights.
    """
    floats = FLOAT_DTYPES.get(precision)
    if not is_index(path.name):
        write_weights(dict(weights), path, precision=precision)
        return
    drawn = ((name, _cast(tensor, floats)) for name, tensor in weights)
    plan = _shards(sizes, path)
    for file, names in plan.items():
        save_file({name: tensor.contiguous() for name, tensor in islice(drawn, len(names))}, file, metadata=_METADATA)
    _write_index(path, {name: file.name for file, names in plan.items() for name in names}, sum(sizes.values()))


def written_bytes(module: nn.Module, precision: DType) -> dict[str, int]:
    """Return what each weight of a module takes in a file, floating-point ones in `precision`."""
    floats = FLOAT_DTYPES.get(precision)
    return {
        name: tensor.numel() * (floats if floats is not None and tensor.is_floating_point() else tensor.dtype).itemsize
        for name, tensor in module.state_dict().items()
    }


def write_weights(weights: Mapping[str, Tensor], path: Path, *, precision: DType) -> None:
    """Write named weights as one safetensors file, floating-point ones in `precision`.

    Equal weights give equal files.
    """
    floats = FLOAT_DTYPES.get(precision)
    save_file(_apart({name: _cast(tensor, floats) for name, tensor in weights.items()}), path, metadata=_METADATA)


def convert_state(source: Path, path: Path) -> None:
    """Write what `torch.save` wrote as safetensors: one state dict, or an index with one in each of its files.

    Nothing in it is executed.

    Args:
        source: A file, or an index.
        path: A safetensors file, or an index beside which its shards are written.

    Raises:
        ArtifactError: If it cannot be read so, or is no plain mapping of names to tensors.
    """
    if not is_index(source.name):
        save_file(_apart(_loaded(source)), path, metadata=_METADATA)
        return
    places: dict[str, str] = {}
    total = 0
    files = weight_files(source)
    for number, file in enumerate(files, start=1):
        state = _loaded(file)
        shard = path.with_name(_shard_name(path, number, len(files)))
        save_file(_apart(state), shard, metadata=_METADATA)
        places |= dict.fromkeys(state, shard.name)
        total += sum(tensor.nbytes for tensor in state.values())
    _write_index(path, places, total)


def _shards(sizes: Mapping[str, int], index: Path) -> dict[Path, list[str]]:
    """Spread weights over files of up to SHARD_BYTES, in their order."""
    groups: list[list[str]] = [[]]
    room = SHARD_BYTES
    for name, size in sizes.items():
        if size > room and groups[-1]:
            groups.append([])
            room = SHARD_BYTES
        groups[-1].append(name)
        room -= size
    return {
        index.with_name(_shard_name(index, number, len(groups))): names for number, names in enumerate(groups, start=1)
    }


def _shard_name(index: Path, number: int, count: int) -> str:
    return f"{index.name.removesuffix('.safetensors.index.json')}-{number:05d}-of-{count:05d}.safetensors"


def _write_index(path: Path, places: Mapping[str, str], total: int) -> None:
    content = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _loaded(source: Path) -> dict[str, Tensor]:
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
    return {str(name): tensor for name, tensor in loaded.items()}


def state_shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight that a module has, without memory for them."""
    module = undrawn(build)
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
