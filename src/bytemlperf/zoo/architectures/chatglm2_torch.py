"""Define ChatGLM2 and the models of its kind (ChatGLM3) in PyTorch.

Parameters have the names and shapes of the hub's checkpoints (``THUDM/chatglm2-6b``): queries, keys
and values come from one projection with a bias, queries share few keys and values, and rotary
positions turn the first half of each head, in pairs of neighbours.

Source: Du et al., "GLM: General Language Model Pretraining with Autoregressive Blank Infilling",
2021 (arXiv:2103.10360); Shazeer, "Fast Transformer Decoding", 2019 (arXiv:1911.02150), for shared keys.
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
    rotate_pairs,
    rotations,
    split_heads,
)
from bytemlperf.zoo.architectures.initialise_torch import Draw, normal_weights
from bytemlperf.zoo.architectures.published_torch import leave_out

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file (or of causal_torch) changes."""

UNUSED_WEIGHTS = (r"transformer\.rotary_pos_emb\.inv_freq",)
"""Frequencies of the rotary positions, which files carry and the definition computes."""

ROPE_BASE = 10_000.0
"""Base of the rotary positions, times a model's own ratio."""


class Attention(nn.Module):
    """Attend with one fused projection, few shared keys and values, and half of each head rotated."""

    def __init__(self, width: int, shape: CausalShape, *, bias: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.shape = shape
        self.query_key_value = Linear(
            width, (shape.heads + 2 * shape.kv_heads) * shape.head_dim, bias=bias, dtype=dtype
        )
        self.dense = Linear(shape.heads * shape.head_dim, width, bias=False, dtype=dtype)

    def forward(
        self,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        positions: Tensor | None,
        cache: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Map [rows, new, width] to the same shape."""
        shape = self.shape
        joined = split_heads(self.query_key_value(hidden), shape.head_dim)  # [rows, heads + 2 kv_heads, new, head_dim]
        query, key, value = torch.split(joined, [shape.heads, shape.kv_heads, shape.kv_heads], dim=1)
        turned = attend(_half_rotated(query, rotary), _half_rotated(key, rotary), value, positions, cache)
        mixed: Tensor = self.dense(turned)
        return mixed


def _half_rotated(heads: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    turned, kept = heads.chunk(2, dim=-1)
    return torch.cat((rotate_pairs(turned, *rotary), kept), dim=-1)


class FeedForward(nn.Module):
    """Gate one half of a projection by the sigmoid linear unit of the other, and project back."""

    def __init__(self, width: int, inner: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.dense_h_to_4h = Linear(width, 2 * inner, bias=False, dtype=dtype)
        self.dense_4h_to_h = Linear(inner, width, bias=False, dtype=dtype)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [rows, new, width] to the same shape."""
        gate, up = self.dense_h_to_4h(hidden).chunk(2, dim=-1)
        answer: Tensor = self.dense_4h_to_h(functional.silu(gate) * up)
        return answer


class Layer(nn.Module):
    """Add attention, then a feed-forward network, each of the normalised input."""

    def __init__(self, attention: Attention, mlp: FeedForward, width: int, eps: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(width, eps, dtype=dtype)
        self.self_attention = attention
        self.post_attention_layernorm = RMSNorm(width, eps, dtype=dtype)
        self.mlp = mlp

    def forward(
        self,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        positions: Tensor | None,
        cache: tuple[Tensor, Tensor] | None,
        combine: Combine,
    ) -> Tensor:
        """Map [rows, new, width] to the same shape."""
        hidden = hidden + combine(self.self_attention(self.input_layernorm(hidden), rotary, positions, cache))
        return hidden + combine(self.mlp(self.post_attention_layernorm(hidden)))


class Words(nn.Module):
    """The embedding, under the checkpoints' name."""

    def __init__(self, vocabulary: int, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.word_embeddings = Embedding(vocabulary, width, dtype=dtype)


class Encoder(nn.Module):
    """Layers and last norm, under the checkpoints' names."""

    def __init__(self, layers: list[Layer], width: int, eps: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.final_layernorm = RMSNorm(width, eps, dtype=dtype)


class Body(nn.Module):
    """All of the model, under the checkpoints' name."""

    def __init__(self, words: Words, encoder: Encoder) -> None:
        super().__init__()
        embedding = words.word_embeddings
        self.embedding = words
        self.encoder = encoder
        self.output_layer = Linear(
            embedding.embedding_dim, embedding.num_embeddings, bias=False, dtype=embedding.weight.dtype
        )


class ChatGLM2(nn.Module):
    """Predict the next token; a `bytemlperf.causal.CausalModel`.

    Args:
        body: Embedding, layers, norm and the logits' weights.
        shape: Of this rank's cache.
        theta: Base of the rotary positions.
        whole: The shape of all ranks' parts together, and the feed-forward network's inner width.
    """

    def __init__(self, body: Body, *, shape: CausalShape, theta: float, whole: tuple[CausalShape, int]) -> None:
        super().__init__()
        self.transformer = body
        self.shape = shape
        self.combine: Combine = alone
        self._theta = theta
        self._whole = whole

    def forward(self, tokens: Tensor, positions: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Return the logits, [rows, new, vocabulary], of int64 tokens [rows, new]; see `CausalModel`."""
        return self.logits(self.hidden(tokens, positions, cache))

    def hidden(self, tokens: Tensor, positions: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Return the normalised last hidden states, [rows, new, width]; see `CausalModel`."""
        places = placed(tokens, positions)
        rotary = rotations(places, dim=self.shape.head_dim // 2, theta=self._theta)
        seen = places if cache is not None else positions
        hidden: Tensor = self.transformer.embedding.word_embeddings(tokens)
        for number, layer in enumerate(self.transformer.encoder.layers):
            hidden = layer(hidden, rotary, seen, None if cache is None else cache[number], self.combine)
        normalised: Tensor = self.transformer.encoder.final_layernorm(hidden)
        return normalised

    def logits(self, hidden: Tensor) -> Tensor:
        """Map [..., width] to [..., vocabulary]."""
        answer: Tensor = self.transformer.output_layer(hidden)
        return answer

    def shards(self) -> Mapping[str, Shard]:
        """Return how each layer's weights are divided: heads, and both halves of the inner width."""
        shape, inner = self._whole
        joined = Shard(axis=0, blocks=(shape.heads, shape.kv_heads, shape.kv_heads), unit=shape.head_dim)
        plan = {
            "self_attention.query_key_value": joined,
            "self_attention.dense": Shard(axis=1, blocks=(shape.heads,), unit=shape.head_dim),
            "mlp.dense_h_to_4h": Shard(axis=0, blocks=(inner, inner)),
            "mlp.dense_4h_to_h": Shard(axis=1, blocks=(inner,)),
        }
        return {
            name: plan[owner]
            for name, _ in self.named_parameters()
            if (owner := ".".join(name.split(".")[4:-1])) in plan
        }

    def draws(self) -> dict[str, Draw]:
        """Draw all projections as small normals, which norms bring to scale."""
        return normal_weights(self)


def build(
    *,
    padded_vocab_size: int = 65_024,
    hidden_size: int = 4_096,
    ffn_hidden_size: int = 13_696,
    num_layers: int = 28,
    num_attention_heads: int = 32,
    multi_query_group_num: int = 2,
    kv_channels: int = 128,
    seq_length: int = 32_768,
    layernorm_epsilon: float = 1e-5,
    rope_ratio: float = 1.0,
    add_qkv_bias: bool = True,
    dtype: str = "float32",
    ranks: int = 1,
) -> ChatGLM2:
    """Return the network in evaluation mode; the defaults are ChatGLM2 6B. Its weights are not filled.

    The arguments have the names of the hub's ``config.json``.

    Args:
        padded_vocab_size: Token ids, those that fill up the table included.
        hidden_size: Width.
        ffn_hidden_size: Inner width of the feed-forward networks.
        num_layers: Layers.
        num_attention_heads: Query heads.
        multi_query_group_num: Heads of keys and values.
        kv_channels: Length of a head.
        seq_length: Most positions.
        layernorm_epsilon: Added to the mean square.
        rope_ratio: Base of the rotary positions, over 10,000.
        add_qkv_bias: Whether the fused projection has a bias.
        dtype: Type of the weights.
        ranks: Among how many ranks the model is divided; this is the part of one.

    Raises:
        ValueError: A size is none, or sizes do not fit each other.
    """
    positive(
        padded_vocab_size=padded_vocab_size,
        hidden_size=hidden_size,
        ffn_hidden_size=ffn_hidden_size,
        num_layers=num_layers,
        num_attention_heads=num_attention_heads,
        multi_query_group_num=multi_query_group_num,
        kv_channels=kv_channels,
        seq_length=seq_length,
        ranks=ranks,
    )
    multiple(kv_channels, 4, "kv_channels must be a multiple of 4: half of it is turned, in pairs")
    multiple(ffn_hidden_size, ranks, "ffn_hidden_size must be a multiple of ranks")
    whole = CausalShape(
        layers=num_layers,
        heads=num_attention_heads,
        kv_heads=multi_query_group_num,
        head_dim=kv_channels,
        vocabulary=padded_vocab_size,
        context=seq_length,
    )
    part, floats = part_of_shape(whole, ranks), float_type(dtype)
    layers = [
        Layer(
            Attention(hidden_size, part, bias=add_qkv_bias, dtype=floats),
            FeedForward(hidden_size, ffn_hidden_size // ranks, floats),
            hidden_size,
            layernorm_epsilon,
            floats,
        )
        for _ in range(num_layers)
    ]
    words = Words(padded_vocab_size, hidden_size, floats)
    body = Body(words, Encoder(layers, hidden_size, layernorm_epsilon, floats))
    model = ChatGLM2(body, shape=part, theta=ROPE_BASE * rope_ratio, whole=(whole, ffn_hidden_size))
    leave_out(model, UNUSED_WEIGHTS)
    return model.eval()
