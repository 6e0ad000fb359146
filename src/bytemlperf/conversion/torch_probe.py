"""Learn a live module's inputs and outputs by running it on an example."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from bytemlperf.artifact import ModelArtifact
from bytemlperf.conversion.signature import FileTensor
from bytemlperf.conversion.torch_module import torch_artifact_module
from bytemlperf.errors import SpecError
from bytemlperf.sample import Array
from bytemlperf.spec import DType, Format

if TYPE_CHECKING:
    from bytemlperf.spec import ModelSpec

Example: TypeAlias = "Mapping[str, Tensor | Array] | Sequence[Tensor | Array] | Tensor | Array"
"""A module's arguments: by name, in their order, or the only one."""


def named_arguments(module: nn.Module, example: Example) -> dict[str, Tensor]:
    """Name an example's tensors after the arguments of the module's `forward`, in its order.

    Raises:
        SpecError: If they are not arguments that can be passed in order, or no tensors.
    """
    try:
        signature = inspect.signature(module.forward)
        bound = _bound(signature, example)
    except TypeError as error:
        raise SpecError(
            f"the example does not fit the arguments of {type(module).__name__}.forward",
            got=str(error),
            remedy="give a mapping of arguments, or a tuple of them in order",
        ) from error
    names = _positional_names(signature, len(bound.args))
    if bound.kwargs or not names:
        raise SpecError(
            f"the example of {type(module).__name__} cannot be passed in the order of forward's arguments",
            got=sorted(bound.kwargs),
            remedy="wrap the module in one whose forward takes just these tensors",
        )
    return {name: _tensor(name, value, module) for name, value in zip(names, bound.args, strict=True)}


def run(artifact_module: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Call a module with tensors in order, and name what it returns.

    Returns:
        A mapping's tensors by their keys; of a tuple `output_0` and so on; a single tensor as `output`.

    Raises:
        SpecError: If it raises, or returns anything else.
    """
    try:
        with torch.inference_mode():
            result = artifact_module(*(tensor.clone() for tensor in inputs.values()))
    except Exception as error:  # a module's forward may raise anything
        shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in inputs.items())
        raise SpecError(
            f"{type(artifact_module).__name__} cannot be run on {shapes}",
            got=f"{type(error).__name__}: {' '.join(str(error).split())}",
            remedy="say what is no batch: shapes={name: [...]}, or batch_axis=None for a model of fixed shapes",
        ) from error
    return _named(result)


def resized(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """Repeat or cut a tensor's slices along each axis, so that it has `shape`."""
    for axis, length in enumerate(shape):
        if tensor.shape[axis] != length:
            places = torch.arange(length, device=tensor.device) % tensor.shape[axis]
            tensor = tensor.index_select(axis, places)
    return tensor


def described(tensors: Mapping[str, Tensor]) -> tuple[FileTensor, ...]:
    """Return names, types and shapes of tensors.

    Raises:
        SpecError: If one is of a type that no spec can name.
    """
    return tuple(
        FileTensor(name=name, dtype=_dtype(name, each), dims=tuple(each.shape)) for name, each in tensors.items()
    )


def evaluation_copy(module: nn.Module, spec: ModelSpec) -> nn.Module:
    """Return a copy in evaluation mode, as backends and conversions make it.

    Raises:
        ArtifactError: If it is no module, or cannot be copied.
    """
    return torch_artifact_module(ModelArtifact(spec=spec, format=Format.TORCH_MODULE, module=module))


def precision_of(module: nn.Module) -> DType:
    """Return the type of most of a module's floating-point parameters; float32 where it has none."""
    elements: Counter[torch.dtype] = Counter()
    for parameter in module.parameters():
        if parameter.is_floating_point():
            elements[parameter.dtype] += parameter.numel()
    return _known(elements.most_common(1)[0][0]) if elements else DType.FLOAT32


def _bound(signature: inspect.Signature, example: Example) -> inspect.BoundArguments:
    if isinstance(example, Mapping):
        return signature.bind(**example)
    if isinstance(example, Sequence):
        return signature.bind(*example)
    return signature.bind(example)


def _positional_names(signature: inspect.Signature, count: int) -> list[str]:
    names: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}_{number}" for number in range(count - len(names))]
        elif parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            names.append(parameter.name)
    return names[:count]


def _tensor(name: str, value: object, module: nn.Module) -> Tensor:
    weight = next(module.parameters(), None)
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SpecError(
            f"argument {name!r} is no tensor", got=type(value).__name__, expected="a tensor or an array"
        ) from error
    return tensor if weight is None else tensor.to(weight.device)


def _named(result: object) -> dict[str, Tensor]:
    if isinstance(result, Tensor):
        return {"output": result}
    if isinstance(result, Mapping):
        found = {str(name): value for name, value in result.items() if isinstance(value, Tensor)}
    elif isinstance(result, tuple | list) and all(isinstance(value, Tensor) for value in result):
        found = {f"output_{position}": value for position, value in enumerate(result)}
    else:
        found = {}
    if not found:
        raise SpecError(
            "the module returns something else than tensors",
            got=type(result).__name__,
            expected="a tensor, a tuple of tensors, or a mapping to tensors",
            remedy="wrap the module in one that returns just these",
        )
    return found


def _dtype(name: str, tensor: Tensor) -> DType:
    try:
        return _known(tensor.dtype)
    except SpecError:
        error = SpecError(f"{name!r} is of a type that no spec can name", got=str(tensor.dtype))
        error.tensor = name
        raise error from None


def _known(dtype: torch.dtype) -> DType:
    return DType.of(str(dtype).removeprefix("torch."))
