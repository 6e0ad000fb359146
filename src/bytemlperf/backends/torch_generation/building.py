"""What an engine runs: a model, or the part of one that a rank has, as it is computed on its device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import torch
from torch import nn

from bytemlperf.backends.torch_generation.cache import bytes_of
from bytemlperf.backends.torch_generation.half import keep_half
from bytemlperf.causal import CausalModel, CausalShape
from bytemlperf.conversion.torch_module import torch_artifact_module
from bytemlperf.conversion.torch_parts import torch_artifact_part
from bytemlperf.errors import CompileError
from bytemlperf.spec import DType

if TYPE_CHECKING:
    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.backends.torch_generation.backend import GenerationOptions

FLOATS: Final = {
    DType.FLOAT32: torch.float32,
    DType.FLOAT16: torch.float16,
    DType.BFLOAT16: torch.bfloat16,
    DType.FLOAT64: torch.float64,
}
"""Precisions that tokens can be generated in."""


@attrs.frozen(kw_only=True, eq=False)
class Built:
    """A model on its device, and the cache that it needs.

    Attributes:
        module: In evaluation mode.
        products: What computes its linear layers: `compiled`, `tiled` or `torch`.
        activations: Type of hidden states, and of keys and values.
        length: Positions of a row of the cache.
        weight_bytes: Of the weights as they are kept.
        cache_bytes: Of the cache.
    """

    module: CausalModel
    products: str
    activations: torch.dtype
    length: int
    weight_bytes: int
    cache_bytes: int


def built(artifact: ModelArtifact, options: GenerationOptions, device: torch.device, *, rank: int = 0) -> Built:
    """Build what one rank runs: the whole model where `options.tensor_parallel` is 1.

    Raises:
        CompileError: If the model is no `CausalModel`, cannot be divided, or the cache has no room for a request.
        ArtifactError: If it cannot be built or its weights cannot be read.
    """
    precision = options.precision or artifact.spec.precision
    if precision not in FLOATS:
        raise CompileError("torch does not generate in this precision", got=str(precision))
    module = _module(artifact, rank, options.tensor_parallel).eval().to(device=device, dtype=FLOATS[precision])
    if not isinstance(module, CausalModel):
        raise CompileError("the model does not generate", got=artifact.name, expected="a CausalModel")
    kept = device.type == "cpu" and precision is DType.FLOAT16
    products = keep_half(module, options.work_dir / "kernels") if kept else "torch"
    held = torch.float32 if kept else FLOATS[precision]
    length = _length(module.shape, held, options)
    return Built(
        module=module,
        products=products,
        activations=held,
        length=length,
        weight_bytes=sum(each.numel() * each.itemsize for each in module.parameters()),
        cache_bytes=bytes_of(module.shape, held) * options.slots * length,
    )


def _module(artifact: ModelArtifact, rank: int, ranks: int) -> nn.Module:
    if ranks == 1:
        return torch_artifact_module(artifact)
    return torch_artifact_part(artifact, rank=rank, ranks=ranks).module


def _length(shape: CausalShape, dtype: torch.dtype, options: GenerationOptions) -> int:
    """Return the positions of a row."""
    room = options.cache_bytes // (bytes_of(shape, dtype) * options.slots)
    wanted = min(options.max_length or shape.context, shape.context)
    if room < 2 or (options.max_length and room < wanted):  # noqa: PLR2004 - a prompt and an answer
        raise CompileError(
            "the cache has no room",
            where="$.options.cache_bytes",
            got=f"{room} positions for each of {options.slots} slots in {options.cache_bytes:,} bytes",
            expected=f"{options.max_length or 2}",
            remedy="raise cache_bytes, or lower slots or max_length",
        )
    return min(room, wanted)
