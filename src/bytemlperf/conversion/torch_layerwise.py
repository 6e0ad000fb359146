"""Run a torch model that does not fit into memory: the weights of one layer at a time, read when it is their turn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bytemlperf.conversion.torch_module import build_module
from bytemlperf.conversion.weight_files import stored_weights
from bytemlperf.errors import ArtifactError, WeightsUnavailableError
from bytemlperf.spec import Format

if TYPE_CHECKING:
    from pathlib import Path

    from bytemlperf.artifact import ModelArtifact


class _WeightsWithoutMemory(TorchFunctionMode):
    """Give no memory to what is to be filled later (`torch.empty`, which layers make their weights by)."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function gives
        given = dict(kwargs or {})
        if func is torch.empty and given.get("device") is None:
            given["device"] = "meta"
        return func(*args, **given)


def layered_module(artifact: ModelArtifact, floats: torch.dtype | None = None) -> nn.Module:
    """Build the module of a torch recipe so that only one layer's weights are in memory at a time.

    A layer is an element of an outermost `nn.ModuleList`: the blocks of a transformer, the stages of a network. Its
    weights are read from the file before each of its calls and let go after it. What lies outside of lists (embeddings,
    the head) is read once and stays. Answers are those of the whole module, bit for bit. One call at a time.

    Args:
        artifact: In the format `torch`: a recipe, and a safetensors file or the index of several.
        floats: Type of the floating-point weights; None for that in which the architecture has them.

    Raises:
        WeightsUnavailableError: If the file of weights is not there.
        ArtifactError: If the recipe cannot be built, the weights are not the architecture's, or there is no
            `nn.ModuleList`, so that nothing would be saved.
    """
    if artifact.format is not Format.TORCH or artifact.spec.recipe is None:
        raise ArtifactError(
            f"{artifact.name} has no layers to read one by one", got=str(artifact.format), expected="a torch recipe"
        )
    if artifact.path is None or not artifact.path.is_file():
        raise WeightsUnavailableError(f"the weights of {artifact.name} are not there", where=str(artifact.path))
    with _WeightsWithoutMemory():
        module = build_module(artifact.spec.recipe, artifact.name)
    layers = _layers(module)
    if not layers:
        raise ArtifactError(f"{artifact.name} has no list of layers", expected="an nn.ModuleList in its module")
    files = _files(module, artifact.path, artifact.name)
    outside = {name: file for name, file in files.items() if not name.startswith(tuple(layers))}
    _read(module, "", outside)
    for prefix, layer in layers.items():
        own = {name: file for name, file in files.items() if name.startswith(prefix)}
        _let_go(layer, prefix, own)
        _hook(layer, prefix, own)
    return (module if floats is None else module.to(floats)).eval()


def _layers(module: nn.Module) -> dict[str, nn.Module]:
    """Return the elements of the outermost lists, by the prefix of their weights' names."""
    lists = [name for name, each in module.named_modules() if isinstance(each, nn.ModuleList)]
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    return {
        f"{name}.{index}.": layer
        for name in outer
        for index, layer in module.get_submodule(name).named_children()
        if next(layer.parameters(), None) is not None
    }


def _files(module: nn.Module, path: Path, name: str) -> dict[str, Path]:
    """Tell which file holds each weight; names and shapes are held against the module's, and nothing is read."""
    unused = tuple(getattr(module, "unused_weights", ()))
    stored = {
        each: weight
        for each, weight in stored_weights(path).items()
        if not any(re.fullmatch(pattern, each) for pattern in unused)
    }
    expected = {each: tuple(tensor.shape) for each, tensor in module.state_dict(keep_vars=True).items()}
    found = {each: weight.shape for each, weight in stored.items()}
    wrong = sorted(each for each in expected.keys() | found.keys() if expected.get(each) != found.get(each))
    if wrong:
        raise ArtifactError(f"the weights of {name} are not the architecture's", where=str(path), got=wrong[:10])
    return {each: weight.file for each, weight in stored.items()}


def _hook(layer: nn.Module, prefix: str, files: Mapping[str, Path]) -> None:
    def before(*_: object) -> None:
        _read(layer, prefix, files)

    def after(*_: object) -> None:
        _let_go(layer, prefix, files)

    layer.register_forward_pre_hook(before)
    layer.register_forward_hook(after, always_call=True)


def _read(module: nn.Module, prefix: str, files: Mapping[str, Path]) -> None:
    for file in sorted(set(files.values())):
        with safe_open(file, framework="pt") as opened:
            for name in sorted(each for each, place in files.items() if place == file):
                own = name.removeprefix(prefix)
                _put(module, own, opened.get_tensor(name).to(_find(module, own).dtype))


def _let_go(module: nn.Module, prefix: str, names: Iterable[str]) -> None:
    for name in names:
        own = name.removeprefix(prefix)
        _put(module, own, _find(module, own).to("meta"))


def _find(module: nn.Module, name: str) -> Tensor:
    path, _, own = name.rpartition(".")
    found: Tensor = getattr(module.get_submodule(path), own)
    return found


def _put(module: nn.Module, name: str, tensor: Tensor) -> None:
    path, _, own = name.rpartition(".")
    owner = module.get_submodule(path)
    if own in owner._parameters:  # noqa: SLF001 - a parameter on "meta" has no data that could be set
        setattr(owner, own, nn.Parameter(tensor.detach(), requires_grad=False))
    else:
        owner._buffers[own] = tensor.detach()  # noqa: SLF001 - as above
