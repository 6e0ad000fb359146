"""Build the module of a torch artifact and name what it returns: what its backend and its conversions share."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from bytemlperf.conversion.definition import check_config
from bytemlperf.conversion.torch_building import undrawn
from bytemlperf.conversion.weight_files import weight_files
from bytemlperf.errors import ArtifactError, BenchmarkError, MalformedOutputError, WeightsUnavailableError
from bytemlperf.registry import load
from bytemlperf.spec import DType, Format

if TYPE_CHECKING:
    from pathlib import Path

    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.spec import Recipe, TensorSpec

FLOAT_DTYPES: Final[Mapping[DType, torch.dtype]] = {
    DType.FLOAT64: torch.float64,
    DType.FLOAT32: torch.float32,
    DType.FLOAT16: torch.float16,
    DType.BFLOAT16: torch.bfloat16,
}
"""The floating-point types that a module can be cast to."""

MAPPED_FROM_BYTES: Final = 1 << 30
"""Weights of more than that are mapped into memory instead of read."""


def torch_artifact_module(artifact: ModelArtifact) -> nn.Module:
    """Build the module of a torch artifact on the CPU, with its weights, in evaluation mode.

    A recipe's module comes in the precision of its spec, whatever the type of the weights in the
    file; where that is theirs, it holds no second copy of them. Of a live module a copy is given: the caller's own is
    neither switched to evaluation nor cast by what is done to it.

    Args:
        artifact: In the format `torch` or `torch_module`.

    Raises:
        WeightsUnavailableError: If the file of weights is not there.
        ArtifactError: If the recipe is missing, cannot be built or has another version than the
            architecture, or the weights cannot be read or are not exactly the architecture's.
        SpecError: If the architecture does not take the configuration.
    """
    if artifact.format is Format.TORCH_MODULE:
        return _copied(artifact)
    if artifact.format is not Format.TORCH:
        raise ArtifactError(
            f"{artifact.name} has no torch module", got=str(artifact.format), expected="'torch' or 'torch_module'"
        )
    if artifact.spec.recipe is None:
        raise ArtifactError(
            f"{artifact.name} has no recipe", remedy="name its architecture as 'package.module:function' in the spec"
        )
    recipe = artifact.spec.recipe
    module = undrawn(lambda: build_module(recipe, artifact.name))
    load_weights(module, artifact.path, artifact.name, read_state)
    floats = FLOAT_DTYPES.get(artifact.spec.precision)
    return module.eval() if floats is None else module.to(floats).eval()


def named_outputs(result: object, outputs: tuple[TensorSpec, ...]) -> dict[str, Tensor]:
    """Name the tensors that a module returned.

    Args:
        result: A tensor, a tuple or list of them in the order of `outputs`, or a mapping by
            original or canonical name (whose other entries are left out).
        outputs: What the spec declares.

    Returns:
        Tensors by canonical name, in the order of `outputs`. Not copied.

    Raises:
        MalformedOutputError: If an output is missing, is no tensor, or the counts differ.
    """
    if isinstance(result, Mapping):
        found = [result.get(spec.file_name, result.get(spec.name)) for spec in outputs]
    elif isinstance(result, tuple | list):
        found = list(result)
    else:
        found = [result]
    if len(found) != len(outputs):
        raise MalformedOutputError(
            "the module returns another number of outputs than the spec declares",
            got=len(found),
            expected=f"{len(outputs)}: {', '.join(spec.name for spec in outputs)}",
        )
    return {spec.name: _tensor(each, spec) for spec, each in zip(outputs, found, strict=True)}


def _tensor(value: object, spec: TensorSpec) -> Tensor:
    if isinstance(value, Tensor):
        return value
    error = MalformedOutputError(f"output {spec.name!r} is no tensor", got=type(value).__name__, expected="a Tensor")
    error.tensor = spec.name
    raise error


def _copied(artifact: ModelArtifact) -> nn.Module:
    if not isinstance(artifact.module, nn.Module):
        raise ArtifactError(
            f"{artifact.name} holds no live module", got=type(artifact.module).__name__, expected="a torch.nn.Module"
        )
    try:
        return copy.deepcopy(artifact.module).eval()
    except Exception as error:  # a user's module may refuse in its own way
        raise ArtifactError(
            f"the live module of {artifact.name} cannot be copied",
            got=f"{type(error).__name__}: {error}",
            remedy="copy.deepcopy must work on it: detach tensors that it keeps as plain attributes",
        ) from error


def build_module(recipe: Recipe, name: str) -> nn.Module:
    """Build a recipe's module, without the weights of any file.

    Args:
        recipe: What to build.
        name: Of the model, for messages.

    Raises:
        ArtifactError: If it cannot be built, or is of another version than the architecture.
        SpecError: If the architecture does not take the configuration.
    """
    build = load(recipe.architecture, what=f"the architecture of {name}")
    _check_version(recipe, name)
    check_config(build, recipe)
    try:
        module = build(**recipe.config)
    except BenchmarkError:
        raise
    except Exception as error:  # an architecture may come from anyone
        raise ArtifactError(
            f"the architecture of {name} cannot be built",
            where=recipe.architecture,
            got=f"{type(error).__name__}: {error}",
            remedy=f"its configuration is {dict(recipe.config)}",
        ) from error
    if not isinstance(module, nn.Module):
        raise ArtifactError(
            f"the architecture of {name} builds no module",
            where=recipe.architecture,
            got=type(module).__name__,
            expected="a torch.nn.Module",
        )
    return module


def _check_version(recipe: Recipe, name: str) -> None:
    """Refuse a definition that has changed since the recipe was written: it would be another benchmark."""
    module = importlib.import_module(recipe.architecture.partition(":")[0])
    version = getattr(module, "DEFINITION_VERSION", recipe.version)
    if version != recipe.version:
        raise ArtifactError(
            f"the architecture of {name} is of another version than its recipe",
            where=recipe.architecture,
            got=version,
            expected=repr(recipe.version),
            remedy="resolve the model again with the installed version of its definition",
        )


def load_weights(module: nn.Module, path: Path | None, name: str, read: Callable[[Path], Mapping[str, Tensor]]) -> None:
    """Give a module its weights, without a copy.

    Args:
        module: Whose weights have the names of the file's.
        path: Of the artifact.
        name: Of the model, for messages.
        read: Reads the weights by name.

    Raises:
        WeightsUnavailableError: If the file of weights is not there.
        ArtifactError: If the weights cannot be read or are not exactly the module's.
    """
    if path is None or not path.exists():
        raise WeightsUnavailableError(
            f"the weights of {name} are not there", where=str(path), expected="a safetensors file"
        )
    try:
        module.load_state_dict(read(path), strict=True, assign=True)
    except SafetensorError as error:
        raise ArtifactError(
            f"the weights of {name} cannot be read", where=str(path), got=str(error), expected="a safetensors file"
        ) from error
    except RuntimeError as error:
        raise ArtifactError(
            f"the weights of {name} are not the architecture's", where=str(path), got=_flattened(error)
        ) from error


def whole_weight(opened: safe_open, name: str) -> Tensor | None:
    """Take a weight as it is in an open file of safetensors."""
    tensor: Tensor = opened.get_tensor(name)  # type: ignore[no-untyped-call]  # safetensors'
    return tensor


def read_state(path: Path, take: Callable[[safe_open, str], Tensor | None] = whole_weight) -> dict[str, Tensor]:
    """Read the weights of an artifact by name.

    Up to 1 GiB in all they are read into memory of their own, aligned as torch does it, so that no
    timed query waits for the disk. Beyond that they are mapped: the system brings them in as they
    are used, processes share them, and whoever writes to one gets a copy of his own.

    Args:
        path: One safetensors file, the index of several, or a folder with either.
        take: Takes a weight, or a part of it, from an open file by its name; None leaves it out.

    Raises:
        ArtifactError: If the files are not there.
        SafetensorError: If one is no safetensors file.
    """
    files = weight_files(path)
    is_small = sum(file.stat().st_size for file in files) <= MAPPED_FROM_BYTES
    state: dict[str, Tensor] = {}
    for file in files:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - no mapping
                tensor = take(opened, name)
                if tensor is not None:
                    state[name] = tensor.clone() if is_small else tensor
    return state


def _flattened(error: Exception) -> str:
    return " ".join(str(error).split())
