"""Define GPT-2 in PyTorch.

Parameters have the names and shapes of the hub's checkpoints (``openai-community/gpt2``), which
keep the logits' weights under the embedding's name alone.

Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from bytemlperf.causal import Cache, CausalShape, Combine, Shard
from bytemlperf.zoo.architectures.causal_torch import (
    Embedding,
    alone,
    attend,
    float_type,
    multiple,
    part_of_shape,
    placed,
    positive,
    split_heads,
)
from bytemlperf.zoo.architectures.initialise_torch import EMBEDDING_STD, Draw, constant, normal
from bytemlperf.zoo.architectures.published_torch import leave_out

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file (or of causal_torch) changes."""

UNUSED_WEIGHTS = (r"h\.\d+\.attn\.(masked_)?bias", r"lm_head\.weight")
"""Causal masks, which files carry and the definition computes, and the embedding under a second name."""


class Projection(nn.Module):
    """Multiply by a weight that is stored as [in, out], and add a bias to the sum over the ranks."""

    def __init__(self, inputs: int, outputs: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(outputs, dtype=dtype))

    def forward(self, hidden: Tensor, combine: Combine = alone) -> Tensor:
        """Map [..., in] to [..., out]."""
        return combine(hidden @ self.weight) + self.bias


class Attention(nn.Module):
    """Attend to the tokens up to one's own."""

    def __init__(self, width: int, shape: CausalShape, dtype: torch.dtype) -> None:
        super().__init__()
        self.head_dim = shape.head_dim
        self.c_attn = Projection(width, 3 * shape.heads * shape.head_dim, dtype)
        self.c_proj = Projection(shape.heads * shape.head_dim, width, dtype)

    def forward(
        self, hidden: Tensor, positions: Tensor | None, cache: tuple[Tensor, Tensor] | None, combine: Combine
    ) -> Tensor:
        """Map [rows, new, width] to the same shape."""
        query, key, value = (
            split_heads(each, self.head_dim) for each in self.c_attn(hidden).chunk(3, dim=-1)
        )  # [rows, heads, new, head_dim] each
        mixed: Tensor = self.c_proj(attend(query, key, value, positions, cache), combine)
        return mixed


class FeedForward(nn.Module):
    """Widen, apply the Gaussian error linear unit in its tanh form, and narrow again."""

    def __init__(self, width: int, inner: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.c_fc = Projection(width, inner, dtype)
        self.c_proj = Projection(inner, width, dtype)

    def forward(self, hidden: Tensor, combine: Combine) -> Tensor:
        """Map [rows, new, width] to the same shape."""
        answer: Tensor = self.c_proj(functional.gelu(self.c_fc(hidden), approximate="tanh"), combine)
        return answer


class Layer(nn.Module):
    """Add attention, then a feed-forward network, each of the normalised input."""

    def __init__(self, attention: Attention, mlp: FeedForward, width: int, eps: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps, dtype=dtype)
        self.attn = attention
        self.ln_2 = nn.LayerNorm(width, eps, dtype=dtype)
        self.mlp = mlp

    def forward(
        self, hidden: Tensor, positions: Tensor | None, cache: tuple[Tensor, Tensor] | None, combine: Combine
    ) -> Tensor:
        """Map [rows, new, width] to the same shape."""
        attended: Tensor = hidden + self.attn(self.ln_1(hidden), positions, cache, combine)
        answer: Tensor = attended + self.mlp(self.ln_2(attended), combine)
        return answer


class GPT2(nn.Module):
    """Predict the next token; a `bytemlperf.causal.CausalModel`.

    Args:
        layers: In order.
        width: Of the hidden states.
        eps: Of the last norm.
        dtype: Type of the weights.
        shape: Of this rank's cache.
        whole: The shape of all ranks' parts together, and the feed-forward network's inner width.
    """

    def __init__(
        self,
        layers: list[Layer],
        *,
        width: int,
        eps: float,
        dtype: torch.dtype,
        shape: CausalShape,
        whole: tuple[CausalShape, int],
    ) -> None:
        super().__init__()
        self.wte = Embedding(shape.vocabulary, width, dtype=dtype)
        self.wpe = Embedding(shape.context, width, dtype=dtype)
        self.h = nn.ModuleList(layers)
        self.ln_f = nn.LayerNorm(width, eps, dtype=dtype)
        self.shape = shape
        self.combine: Combine = alone
        self._whole = whole

    def forward(self, tokens: Tensor, positions: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Return the logits, [rows, new, vocabulary], of int64 tokens [rows, new]; see `CausalModel`."""
        return self.logits(self.hidden(tokens, positions, cache))

    def hidden(self, tokens: Tensor, positions: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Return the normalised last hidden states, [rows, new, width]; see `CausalModel`."""
        places = placed(tokens, positions)
        seen = places if cache is not None else positions
        hidden: Tensor = self.wte(tokens) + self.wpe(places)
        for number, layer in enumerate(self.h):
            hidden = layer(hidden, seen, None if cache is None else cache[number], self.combine)
        normalised: Tensor = self.ln_f(hidden)
        return normalised

    def logits(self, hidden: Tensor) -> Tensor:
        """Map [..., width] to [..., vocabulary]."""
        return self.wte.unembed(hidden)

    def shards(self) -> Mapping[str, Shard]:
        """Return how each layer's weights are divided: heads, and the inner width."""
        shape, inner = self._whole
        plan: dict[str, Shard] = {}
        for number in range(shape.layers):
            layer, heads = f"h.{number}", (shape.heads,)
            plan |= {
                f"{layer}.attn.c_attn.weight": Shard(axis=1, blocks=heads * 3, unit=shape.head_dim),
                f"{layer}.attn.c_attn.bias": Shard(axis=0, blocks=heads * 3, unit=shape.head_dim),
                f"{layer}.attn.c_proj.weight": Shard(axis=0, blocks=heads, unit=shape.head_dim),
                f"{layer}.mlp.c_fc.weight": Shard(axis=1, blocks=(inner,)),
                f"{layer}.mlp.c_fc.bias": Shard(axis=0, blocks=(inner,)),
                f"{layer}.mlp.c_proj.weight": Shard(axis=0, blocks=(inner,)),
            }
        return plan

    def draws(self) -> dict[str, Draw]:
        """Draw projections as small normals, those that add to the residual smaller by their number."""
        rules: dict[str, Draw] = {}
        for name, layer in self.named_modules():
            if isinstance(layer, Projection):
                std = EMBEDDING_STD * ((2 * len(self.h)) ** -0.5 if name.endswith("c_proj") else 1)
                rules |= {f"{name}.weight": normal(std), f"{name}.bias": constant(0)}
        return rules


def build(
    *,
    vocab_size: int = 50_257,
    n_positions: int = 1_024,
    n_embd: int = 768,
    n_layer: int = 12,
    n_head: int = 12,
    n_inner: int | None = None,
    layer_norm_epsilon: float = 1e-5,
    dtype: str = "float32",
    ranks: int = 1,
) -> GPT2:
    """Return the network in evaluation mode; the defaults are GPT-2 (124M). Its weights are not filled.

    The arguments have the names of the hub's ``config.json``.

    Args:
        vocab_size: Token ids.
        n_positions: Most positions.
        n_embd: Width.
        n_layer: Layers.
        n_head: Heads.
        n_inner: Inner width of the feed-forward networks; None for four times the width.
        layer_norm_epsilon: Added to the variance.
        dtype: Type of the weights.
        ranks: Among how many ranks the model is divided; this is the part of one.

    Raises:
        ValueError: A size is none, or sizes do not fit each other.
    """
    inner = 4 * n_embd if n_inner is None else n_inner
    positive(
        vocab_size=vocab_size,
        n_positions=n_positions,
        n_embd=n_embd,
        n_layer=n_layer,
        n_head=n_head,
        n_inner=inner,
        ranks=ranks,
    )
    multiple(n_embd, n_head, "n_embd must be a multiple of n_head")
    multiple(inner, ranks, "n_inner must be a multiple of ranks")
    whole = CausalShape(
        layers=n_layer,
        heads=n_head,
        kv_heads=n_head,
        head_dim=n_embd // n_head,
        vocabulary=vocab_size,
        context=n_positions,
    )
    part, floats = part_of_shape(whole, ranks), float_type(dtype)
    layers = [
        Layer(
            Attention(n_embd, part, floats),
            FeedForward(n_embd, inner // ranks, floats),
            n_embd,
            layer_norm_epsilon,
            floats,
        )
        for _ in range(n_layer)
    ]
    model = GPT2(layers, width=n_embd, eps=layer_norm_epsilon, dtype=floats, shape=part, whole=(whole, inner))
    leave_out(model, UNUSED_WEIGHTS)
    return model.eval()
