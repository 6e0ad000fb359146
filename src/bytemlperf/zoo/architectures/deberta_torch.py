"""Define DeBERTa (the first version) in PyTorch, with a head for answers within the text.

Scores add what content says to content, content to distance and distance to content. Parameters
have the names and shapes of the hub's checkpoints (``Palak/microsoft_deberta-base_squad``), whose
one projection holds query, key and value of a head side by side.

Source: He et al., "DeBERTa: Decoding-enhanced BERT with Disentangled Attention", 2020
(arXiv:2006.03654).
"""

import torch
from torch import Tensor, nn

from bytemlperf.zoo.architectures.encoder_torch import (
    Layer,
    activation_of,
    answer_logits,
    positive,
    split_heads,
    whole_heads,
)
from bytemlperf.zoo.architectures.initialise_torch import Draw, constant, normal_weights
from bytemlperf.zoo.architectures.published_torch import leave_out

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file (or of encoder_torch) changes."""

UNUSED_WEIGHTS = (r"deberta\.embeddings\.position_ids", r"pooler\.dense\.(weight|bias)")
"""Numbers that the definition does without, and what only classes are read from; older files carry them."""

_TERMS = 3
"""Kinds of score that are added: each is divided by the root of their number."""


class DisentangledSelfAttention(nn.Module):
    """Attend by content and by distance."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.pos_proj = nn.Linear(width, width, bias=False)
        self.pos_q_proj = nn.Linear(width, width)
        self._heads = heads

    def forward(self, hidden: Tensor, *context: Tensor) -> Tensor:
        """Map [rows, length, width] to the same shape.

        Args:
            hidden: [rows, length, width].
            context: Which positions see which, bool [rows, 1, length, length]; the embeddings of distances
                [2 * span, width]; and the row of each pair's distance in them, int64 [length, length].
        """
        visible, distances, towards = context
        rows, length, width = hidden.shape
        query, key, value = split_heads(self.in_proj(hidden), self._heads).chunk(3, dim=-1)
        scale = (_TERMS * width // self._heads) ** -0.5
        query = (query + _by_head(self.q_bias, self._heads)) * scale  # [rows, heads, length, dim]
        value = value + _by_head(self.v_bias, self._heads)
        content = query @ key.transpose(-1, -2)  # [rows, heads, length, length]
        scores = content + self._distance(query, key, distances, towards, scale)
        shares = scores.masked_fill(~visible, torch.finfo(scores.dtype).min).softmax(dim=-1)
        mixed: Tensor = shares @ value
        return mixed.transpose(1, 2).reshape(rows, length, width)

    def _distance(self, query: Tensor, key: Tensor, distances: Tensor, towards: Tensor, scale: float) -> Tensor:
        """Return what content says to distance and distance to content, [rows, heads, length, length]."""
        far_key = split_heads(self.pos_proj(distances)[None], self._heads)  # [1, heads, 2 * span, dim]
        far_query = split_heads(self.pos_q_proj(distances)[None], self._heads) * scale
        pairs = towards.expand(*query.shape[:2], -1, -1)
        to_far = (query @ far_key.transpose(-1, -2)).gather(-1, pairs)
        from_far = (key @ far_query.transpose(-1, -2)).gather(-1, pairs.transpose(-1, -2))
        return to_far + from_far.transpose(-1, -2)


def _by_head(bias: Tensor, heads: int) -> Tensor:
    """Turn [heads * dim] into [1, heads, 1, dim]."""
    return bias.view(1, heads, 1, -1)


class Embeddings(nn.Module):
    """Embed words (and token types, where a model has them) and normalise; positions come in by distance."""

    def __init__(self, vocabulary: int, types: int, width: int, *, eps: float, padding: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, width, padding_idx=padding)
        self.token_type_embeddings = nn.Embedding(types, width) if types else None
        self.LayerNorm = nn.LayerNorm(width, eps)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Map three times [rows, length] to [rows, length, width], zero where there is no token."""
        words = self.word_embeddings(input_ids)
        if self.token_type_embeddings is not None:
            words = words + self.token_type_embeddings(token_type_ids)
        hidden: Tensor = self.LayerNorm(words)
        return hidden * attention_mask[:, :, None].to(hidden.dtype)


class Encoder(nn.Module):
    """The layers and the embeddings of distances, under the checkpoints' names."""

    def __init__(self, layers: list[Layer], width: int, farthest: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)
        self.rel_embeddings = nn.Embedding(2 * farthest, width)
        self._farthest = farthest

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Map [rows, length, width] to the same shape, under a mask [rows, length]."""
        length = hidden.shape[1]
        span = min(length, self._farthest)
        places = torch.arange(length, device=hidden.device)
        towards = (places[:, None] - places[None, :] + span).clamp(0, 2 * span - 1)
        distances = self.rel_embeddings.weight[self._farthest - span : self._farthest + span]
        is_token = attention_mask != 0
        visible = (is_token[:, :, None] & is_token[:, None, :])[:, None]
        for layer in self.layer:
            hidden = layer(hidden, visible, distances, towards)
        return hidden


class Body(nn.Module):
    """Embeddings and encoder, under the checkpoints' names."""

    def __init__(self, embeddings: Embeddings, encoder: Encoder) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.encoder = encoder


class DebertaForAnswers(nn.Module):
    """Find where in the text an answer starts and ends.

    Args:
        body: Embeddings and encoder.
        width: Of the hidden states.
        split: Whether start and end are two outputs; else one, [rows, length, 2].
    """

    def __init__(self, body: Body, width: int, *, split: bool) -> None:
        super().__init__()
        self.deberta = body
        self.qa_outputs = nn.Linear(width, 2)
        self._split = split

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the logits of start and end for each position.

        Args:
            input_ids: int64 [rows, length], below the vocabulary's size.
            attention_mask: [rows, length], 0 where there is no token.
            token_type_ids: [rows, length]; without effect in a model without token types.

        Returns:
            Two times [rows, length], or once [rows, length, 2].
        """
        embedded = self.deberta.embeddings(input_ids, attention_mask, token_type_ids)
        hidden = self.deberta.encoder(embedded, attention_mask)  # [rows, length, width]
        return answer_logits(self.qa_outputs(hidden), split=self._split)

    def draws(self) -> dict[str, Draw]:
        """Draw all projections as small normals, which norms bring to scale, and biases as zeros."""
        names = (name for name, _ in self.named_parameters() if name.endswith(("q_bias", "v_bias")))
        return {**normal_weights(self), **{name: constant(0) for name in names}}


def build(
    *,
    vocab_size: int = 50_265,
    hidden_size: int = 768,
    num_hidden_layers: int = 12,
    num_attention_heads: int = 12,
    intermediate_size: int = 3_072,
    max_relative_positions: int = 512,
    type_vocab_size: int = 0,
    layer_norm_eps: float = 1e-7,
    hidden_act: str = "gelu",
    pad_token_id: int = 0,
    split_logits: bool = True,
) -> DebertaForAnswers:
    """Return the network in evaluation mode; the defaults are DeBERTa base.

    The arguments have the names of the hub's ``config.json``.

    Args:
        vocab_size: Token ids.
        hidden_size: Width.
        num_hidden_layers: Layers.
        num_attention_heads: Heads.
        intermediate_size: Inner width of the feed-forward networks.
        max_relative_positions: Distances with embeddings of their own, each way; farther ones count as the farthest.
            Where the hub says -1 it means its max_position_embeddings.
        type_vocab_size: Token types; 0 for none.
        layer_norm_eps: Added to the variance.
        hidden_act: Activation of the feed-forward networks.
        pad_token_id: Of random weights, the row of words that is zero.
        split_logits: Whether an answer's start and end are two outputs; else one, [rows, length, 2].

    Raises:
        ValueError: A size is none, or sizes do not fit each other.
    """
    positive(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_hidden_layers=num_hidden_layers,
        num_attention_heads=num_attention_heads,
        intermediate_size=intermediate_size,
        max_relative_positions=max_relative_positions,
    )
    whole_heads(hidden_size, num_attention_heads)
    layers = [
        Layer(
            DisentangledSelfAttention(hidden_size, num_attention_heads),
            width=hidden_size,
            inner=intermediate_size,
            eps=layer_norm_eps,
            activation=activation_of(hidden_act),
        )
        for _ in range(num_hidden_layers)
    ]
    embeddings = Embeddings(vocab_size, type_vocab_size, hidden_size, eps=layer_norm_eps, padding=pad_token_id)
    model = DebertaForAnswers(
        Body(embeddings, Encoder(layers, hidden_size, max_relative_positions)), hidden_size, split=split_logits
    )
    leave_out(model, UNUSED_WEIGHTS)
    return model.eval()
