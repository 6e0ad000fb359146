"""Define LLaMA, whose family differs by configuration only, in PyTorch.

Parameters have the names and shapes of the hub's checkpoints (``meta-llama/Llama-2-7b-hf``).

Source: Touvron et al., "Llama 2: Open Foundation and Fine-Tuned Chat Models", 2023
(arXiv:2307.09288); grouped queries: Ainslie et al., "GQA", 2023 (arXiv:2305.13245).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from bytemlperf.causal import Cache, CausalShape, Combine, Shard
from bytemlperf.zoo.architectures.causal_torch import (
    Embedding,
    Linear,
    RMSNorm,
    alone,
    attend,
    float_type,
    multiple,
    part_of_shape,
    placed,
    positive,
    rotate_halves,
    rotations,
    split_heads,
)
from bytemlperf.zoo.architectures.initialise_torch import Draw, normal_weights
from bytemlperf.zoo.architectures.published_torch import leave_out

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file (or of causal_torch) changes."""

UNUSED_WEIGHTS = (r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",)
"""Frequencies of the rotary positions, which older files carry and the definition computes."""


class Attention(nn.Module):
    """Attend with rotary positions; several query heads may share a key and a value."""

    def __init__(self, width: int, shape: CausalShape, *, bias: bool, dtype: torch.dtype) -> None:
        super().__init__()
        heads, kv_heads, head_dim = shape.heads, shape.kv_heads, shape.head_dim
        self.head_dim = head_dim
        self.q_proj = Linear(width, heads * head_dim, bias=bias, dtype=dtype)
        self.k_proj = Linear(width, kv_heads * head_dim, bias=bias, dtype=dtype)
        self.v_proj = Linear(width, kv_heads * head_dim, bias=bias, dtype=dtype)
        self.o_proj = Linear(heads * head_dim, width, bias=False, dtype=dtype)

    def forward(
        self,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        positions: Tensor | None,
        cache: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Map [rows, new, width] to the same shape."""
        query = rotate_halves(split_heads(self.q_proj(hidden), self.head_dim), *rotary)  # [rows, heads, new, head_dim]
        key = rotate_halves(split_heads(self.k_proj(hidden), self.head_dim), *rotary)  # [rows, kv_heads, new, head_dim]
        value = split_heads(self.v_proj(hidden), self.head_dim)
        mixed: Tensor = self.o_proj(attend(query, key, value, positions, cache))
        return mixed


class FeedForward(nn.Module):
    """Gate one projection by the sigmoid linear unit of another, and project back."""

    def __init__(self, width: int, inner: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.gate_proj = Linear(width, inner, bias=False, dtype=dtype)
        self.up_proj = Linear(width, inner, bias=False, dtype=dtype)
        self.down_proj = Linear(inner, width, bias=False, dtype=dtype)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [rows, new, width] to the same shape."""
        answer: Tensor = self.down_proj(functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden))
        return answer


class Layer(nn.Module):
    """Add attention, then a feed-forward network, each of the normalised input."""

    def __init__(self, attention: Attention, mlp: FeedForward, width: int, eps: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.self_attn = attention
        self.mlp = mlp
        self.input_layernorm = RMSNorm(width, eps, dtype=dtype)
        self.post_attention_layernorm = RMSNorm(width, eps, dtype=dtype)

    def forward(
        self,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        positions: Tensor | None,
        cache: tuple[Tensor, Tensor] | None,
        combine: Combine,
    ) -> Tensor:
        """Map [rows, new, width] to the same shape."""
        hidden = hidden + combine(self.self_attn(self.input_layernorm(hidden), rotary, positions, cache))
        return hidden + combine(self.mlp(self.post_attention_layernorm(hidden)))


class Body(nn.Module):
    """Embedding, layers and last norm."""

    def __init__(self, vocabulary: int, width: int, layers: list[Layer], eps: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.embed_tokens = Embedding(vocabulary, width, dtype=dtype)
        self.layers = nn.ModuleList(layers)
        self.norm = RMSNorm(width, eps, dtype=dtype)


class Llama(nn.Module):
    """Predict the next token; a `bytemlperf.causal.CausalModel`.

    Args:
        body: Embedding, layers and norm.
        shape: Of this rank's cache.
        theta: Base of the rotary positions.
        tied: Whether the logits' weights are the embedding's.
        whole: The shape of all ranks' parts together, and the feed-forward network's inner width.
    """

    def __init__(
        self, body: Body, *, shape: CausalShape, theta: float, tied: bool, whole: tuple[CausalShape, int]
    ) -> None:
        super().__init__()
        self.model = body
        self.shape = shape
        self.combine: Combine = alone
        self._theta = theta
        self._whole = whole
        embedding = body.embed_tokens
        self.lm_head: Linear | None = None
        if not tied:
            self.lm_head = Linear(
                embedding.embedding_dim, embedding.num_embeddings, bias=False, dtype=embedding.weight.dtype
            )

    def forward(self, tokens: Tensor, positions: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Return the logits, [rows, new, vocabulary], of int64 tokens [rows, new]; see `CausalModel`."""
        return self.logits(self.hidden(tokens, positions, cache))

    def hidden(self, tokens: Tensor, positions: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Return the normalised last hidden states, [rows, new, width]; see `CausalModel`."""
        places = placed(tokens, positions)
        rotary = rotations(places, dim=self.shape.head_dim, theta=self._theta)
        seen = places if cache is not None else positions
        hidden: Tensor = self.model.embed_tokens(tokens)
        for number, layer in enumerate(self.model.layers):
            hidden = layer(hidden, rotary, seen, None if cache is None else cache[number], self.combine)
        normal: Tensor = self.model.norm(hidden)
        return normal

    def logits(self, hidden: Tensor) -> Tensor:
        """Map [..., width] to [..., vocabulary]."""
        if self.lm_head is None:
            return self.model.embed_tokens.unembed(hidden)
        logits: Tensor = self.lm_head(hidden)
        return logits

    def shards(self) -> Mapping[str, Shard]:
        """Return how each layer's weights are divided: heads, and the inner width."""
        shape, inner = self._whole
        heads = Shard(axis=0, blocks=(shape.heads,), unit=shape.head_dim)
        kv_heads = Shard(axis=0, blocks=(shape.kv_heads,), unit=shape.head_dim)
        rows, columns = Shard(axis=0, blocks=(inner,)), Shard(axis=1, blocks=(inner,))
        plan = {
            "self_attn.q_proj": heads,
            "self_attn.k_proj": kv_heads,
            "self_attn.v_proj": kv_heads,
            "self_attn.o_proj": Shard(axis=1, blocks=(shape.heads,), unit=shape.head_dim),
            "mlp.gate_proj": rows,
            "mlp.up_proj": rows,
            "mlp.down_proj": columns,
        }
        return {
            name: plan[owner]
            for name, _ in self.named_parameters()
            if (owner := ".".join(name.split(".")[3:-1])) in plan
        }

    def draws(self) -> dict[str, Draw]:
        """Draw all projections as small normals, which norms bring to scale."""
        return normal_weights(self)


def build(
    *,
    vocab_size: int = 32_000,
    hidden_size: int = 4_096,
    intermediate_size: int = 11_008,
    num_hidden_layers: int = 32,
    num_attention_heads: int = 32,
    num_key_value_heads: int | None = None,
    head_dim: int | None = None,
    max_position_embeddings: int = 4_096,
    rms_norm_eps: float = 1e-5,
    rope_theta: float = 10_000.0,
    attention_bias: bool = False,
    tie_word_embeddings: bool = False,
    dtype: str = "float32",
    ranks: int = 1,
) -> Llama:
    """Return the network in evaluation mode; the defaults are LLaMA 2 7B. Its weights are not filled.

    The arguments have the names of the hub's ``config.json``.

    Args:
        vocab_size: Token ids.
        hidden_size: Width.
        intermediate_size: Inner width of the feed-forward networks.
        num_hidden_layers: Layers.
        num_attention_heads: Query heads.
        num_key_value_heads: Heads of keys and values; None for as many as queries.
        head_dim: Length of a head; None for the width over the heads.
        max_position_embeddings: Most positions.
        rms_norm_eps: Added to the mean square.
        rope_theta: Base of the rotary positions.
        attention_bias: Whether query, key and value have a bias.
        tie_word_embeddings: Whether the logits' weights are the embedding's.
        dtype: Type of the weights.
        ranks: Among how many ranks the model is divided; this is the part of one.

    Raises:
        ValueError: A size is none, or sizes do not fit each other.
    """
    kv_heads = num_attention_heads if num_key_value_heads is None else num_key_value_heads
    positive(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=num_hidden_layers,
        num_attention_heads=num_attention_heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=max_position_embeddings,
        ranks=ranks,
    )
    if head_dim is None:
        multiple(hidden_size, num_attention_heads, "hidden_size must be a multiple of num_attention_heads")
    whole = CausalShape(
        layers=num_hidden_layers,
        heads=num_attention_heads,
        kv_heads=kv_heads,
        head_dim=head_dim or hidden_size // num_attention_heads,
        vocabulary=vocab_size,
        context=max_position_embeddings,
    )
    multiple(whole.head_dim, 2, "head_dim must be even")
    part = part_of_shape(whole, ranks)
    multiple(intermediate_size, ranks, "intermediate_size must be a multiple of ranks")
    floats = float_type(dtype)
    layers = [
        Layer(
            Attention(hidden_size, part, bias=attention_bias, dtype=floats),
            FeedForward(hidden_size, intermediate_size // ranks, floats),
            hidden_size,
            rms_norm_eps,
            floats,
        )
        for _ in range(num_hidden_layers)
    ]
    body = Body(vocab_size, hidden_size, layers, rms_norm_eps, floats)
    model = Llama(body, shape=part, theta=rope_theta, tied=tie_word_embeddings, whole=(whole, intermediate_size))
    leave_out(model, (*UNUSED_WEIGHTS, *([r"lm_head\.weight"] if tie_word_embeddings else [])))
    return model.eval()
