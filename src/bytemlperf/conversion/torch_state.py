"""The state of a torch module (its named weights): read, write, describe and digest it."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from bytemlperf.conversion.torch_building import undrawn
from bytemlperf.conversion.torch_module import FLOAT_DTYPES
from bytemlperf.conversion.weight_files import SHARD_BYTES, weight_files
from bytemlperf.errors import ArtifactError
from bytemlperf.fetch import is_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bytemlperf.spec import DType

_METADATA: Final = {"format": "pt"}
"""What other readers of safetensors look for in a file of torch weights."""

_WRITABLE: Final = frozenset(
    {
        *(torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
        *(torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2),
    }
)
"""Types of weights that a model can have and safetensors can hold."""

_SYSTEM_ERROR: Final = re.compile(r"os error (\d+)")
"""What the library that writes says of the system's own refusals, such as a full disk."""


def write_drawn(
    weights: Iterable[tuple[str, Tensor]],
    sizes: Mapping[str, int],
    path: Path,
    *,
    precision: DType,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write weights as they are drawn, so that only those of one file are in memory at a time.

    Args:
        weights: Name and values, in the order of `sizes`; floating-point ones are written in `precision`.
        sizes: Bytes of each as it is written; see `written_bytes`.
        path: A safetensors file, or an index, beside which its shards are then written.
        precision: Type of floating-point weights.
        shard_bytes: Size of each shard, about.

    Raises:
        OSError: If a file cannot be written.
    """
    floats = FLOAT_DTYPES.get(precision)
    if not is_index(path.name):
        write_weights(dict(weights), path, precision=precision)
        return
    drawn = ((name, _cast(tensor, floats)) for name, tensor in weights)
    plan = _shards(sizes, path, shard_bytes)
    for file, names in plan.items():
        _save({name: tensor.contiguous() for name, tensor in islice(drawn, len(names))}, file)
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

    Raises:
        OSError: If the file cannot be written.
    """
    floats = FLOAT_DTYPES.get(precision)
    _save(_apart({name: _cast(tensor, floats) for name, tensor in weights.items()}), path)


def convert_state(source: Path, path: Path) -> None:
    """Write what `torch.save` wrote as safetensors: one state dict, or an index with one in each of its files.

    Nothing in it is executed.

    Args:
        source: A file, or an index.
        path: A safetensors file, or an index beside which its shards are written.

    Raises:
        ArtifactError: If it cannot be read so, or is no plain mapping of names to plain tensors.
        OSError: If a file cannot be written.
    """
    if not is_index(source.name):
        _save(_plain(source), path)
        return
    places: dict[str, str] = {}
    total = 0
    files = weight_files(source)
    for number, file in enumerate(files, start=1):
        state = _plain(file)
        shard = path.with_name(_shard_name(path, number, len(files)))
        _save(state, shard)
        places |= dict.fromkeys(state, shard.name)
        total += sum(tensor.nbytes for tensor in state.values())
    _write_index(path, places, total)


def _shards(sizes: Mapping[str, int], index: Path, shard_bytes: int) -> dict[Path, list[str]]:
    """Spread weights over files of up to so many bytes, in their order."""
    groups: list[list[str]] = [[]]
    room = shard_bytes
    for name, size in sizes.items():
        if size > room and groups[-1]:
            groups.append([])
            room = shard_bytes
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


def _save(state: Mapping[str, Tensor], path: Path) -> None:
    try:
        save_file(dict(state), path, metadata=_METADATA)
    except SafetensorError as error:
        found = _SYSTEM_ERROR.search(str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), str(error)) from error


def _plain(source: Path) -> dict[str, Tensor]:
    """Read what torch wrote, each weight in memory of its own."""
    loaded = _loaded(source)
    try:
        return _apart(loaded)
    except (RuntimeError, NotImplementedError) as error:  # sparse, nested or without values
        kinds = {str(each.layout if each.layout is not torch.strided else each.dtype) for each in loaded.values()}
        raise _unwritable(source, sorted(kinds)) from error


def _unwritable(source: Path, got: object) -> ArtifactError:
    return ArtifactError(
        "the file holds weights that are no plain arrays",
        where=source.name,
        got=got,
        expected="dense tensors of whole or floating-point numbers",
        remedy="save the state_dict() of the module that is not quantised, pruned or on the meta device",
    )


def _loaded(source: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on how a file was written; what it holds is checked below
            loaded = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file leads torch's unpickler to whatever its steps happen to raise
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
    odd = sorted({str(each.dtype) for each in loaded.values() if each.dtype not in _WRITABLE})
    if odd:
        raise _unwritable(source, odd)
    return {str(name): tensor for name, tensor in loaded.items()}


def state_shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight that a module has, without memory for them."""
    module = undrawn(build)
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def parameter_count(build: Callable[[], nn.Module]) -> int:
    """Return how many numbers a module learns; what two layers share counts once."""
    return sum(each.numel() for each in undrawn(build).parameters())


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
