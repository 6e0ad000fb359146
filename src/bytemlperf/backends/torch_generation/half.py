"""A language model on the CPU with float16 weights and float32 activations."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from bytemlperf.backends.torch_generation.native import HalfLinear, half_linear, tiled_linear


class HalfWeights(nn.Module):
    """A linear layer whose weights stay float16 and whose activations are float32.

    Attributes:
        weight: float16 [out, in], contiguous; not copied.
        bias: float32 [out], or None.
    """

    def __init__(self, linear: nn.Linear, product: HalfLinear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().contiguous(), requires_grad=False)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().float(), requires_grad=False)
        self._product = product

    def forward(self, hidden: Tensor) -> Tensor:
        """Map float32 [..., in] to float32 [..., out]."""
        rows = hidden.reshape(-1, hidden.shape[-1]).contiguous()
        answer = self._product(self.weight, rows)
        if self.bias is not None:
            answer += self.bias
        return answer.reshape(*hidden.shape[:-1], -1)


class HalfEmbedding(nn.Module):
    """An embedding whose weights stay float16 and whose answers are float32."""

    def __init__(self, embedding: nn.Embedding, product: HalfLinear) -> None:
        super().__init__()
        self.weight = nn.Parameter(embedding.weight.detach().contiguous(), requires_grad=False)
        self._product = product

    def forward(self, tokens: Tensor) -> Tensor:
        """Map int64 [...] to float32 [..., width]."""
        return self.weight[tokens].float()

    def unembed(self, hidden: Tensor) -> Tensor:
        """Map float32 [..., width] to logits [..., vocabulary], where both ends share the weights."""
        rows = hidden.reshape(-1, hidden.shape[-1]).contiguous()
        return self._product(self.weight, rows).reshape(*hidden.shape[:-1], -1)


_REPLACED: Final = (nn.Linear, nn.Embedding)


def keep_half(module: nn.Module, folder: Path) -> str:
    """Let the large weights of a float16 module stay as they are, and compute in float32; in place.

    Linear layers and embeddings keep their float16 weights, without a copy; all other parameters and buffers of
    float16 become float32. Plain torch multiplies in half precision at a hundredth of this processor's speed.

    Args:
        module: Whose forward takes and gives whatever its weights' type is.
        folder: Where a compiled kernel is kept.

    Returns:
        Which product computes the linear layers: `compiled` or `tiled`.
    """
    compiled = half_linear(folder)
    product = tiled_linear() if compiled is None else compiled
    for owner in list(module.modules()):
        for name, child in list(owner.named_children()):
            if isinstance(child, _REPLACED) and child.weight.dtype is torch.float16:
                kind = HalfWeights if isinstance(child, nn.Linear) else HalfEmbedding
                setattr(owner, name, kind(child, product))  # type: ignore[arg-type]  # mypy joins the two kinds
    _widen_the_rest(module)
    return "tiled" if compiled is None else "compiled"


def _widen_the_rest(module: nn.Module) -> None:
    for owner in module.modules():
        if isinstance(owner, HalfWeights | HalfEmbedding):
            continue
        for name, parameter in list(owner.named_parameters(recurse=False)):
            if parameter.dtype is torch.float16:
                setattr(owner, name, nn.Parameter(parameter.detach().float(), requires_grad=False))
        for name, buffer in list(owner.named_buffers(recurse=False)):
            if buffer.dtype is torch.float16:
                setattr(owner, name, buffer.float())
