"""Define RoFormer in PyTorch, with the head that scores how alike two texts are.

The encoder's parameters have the names and shapes of the hub's checkpoints
(``junnyu/roformer_chinese_base``). The head is that of the authors' case-matching model: the mean
over the tokens' last hidden states, one linear layer, a sigmoid.

Source: Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021
(arXiv:2104.09864); the head: finetune_scm.py of github.com/ZhuiyiTechnology/roformer.
"""

import torch
from torch import Tensor, nn

from bytemlperf.zoo.architectures.causal_torch import rotate_pairs
from bytemlperf.zoo.architectures.encoder_torch import (
    Layer,
    SelfAttention,
    activation_of,
    additive,
    attended,
    positive,
    split_heads,
    whole_heads,
)
from bytemlperf.zoo.architectures.initialise_torch import Draw, normal_weights
from bytemlperf.zoo.architectures.published_torch import leave_out

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file (or of encoder_torch) changes."""

UNUSED_WEIGHTS = (r"roformer\.encoder\.embed_positions\.weight", r"roformer\.pooler\..*", r"cls\..*")
"""Sines and cosines that the definition computes, and heads of other tasks; the hub's files carry them."""

ROPE_BASE = 10_000.0
"""Base of the rotary positions."""


class Embeddings(nn.Module):
    """Add the embeddings of words and token types, and normalise; positions come in by rotation."""

    def __init__(self, vocabulary: int, types: int, width: int, *, eps: float) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, width, padding_idx=0)
        self.token_type_embeddings = nn.Embedding(types, width)
        self.LayerNorm = nn.LayerNorm(width, eps)

    def forward(self, token: Tensor, segment: Tensor) -> Tensor:
        """Map two times int64 [rows, length] to [rows, length, width]."""
        hidden: Tensor = self.LayerNorm(self.word_embeddings(token) + self.token_type_embeddings(segment))
        return hidden


class RotarySelfAttention(SelfAttention):
    """Attend with queries and keys that are turned by their positions."""

    def forward(self, hidden: Tensor, mask: Tensor, *rotary: Tensor) -> Tensor:
        """Map [rows, length, width] to the same shape; `rotary` are cosines and sines [length, dim / 2]."""
        cos, sin = rotary
        query = rotate_pairs(split_heads(self.query(hidden), self._heads), cos, sin)  # [rows, heads, length, dim]
        key = rotate_pairs(split_heads(self.key(hidden), self._heads), cos, sin)
        return attended(query, key, split_heads(self.value(hidden), self._heads), mask)


class Encoder(nn.Module):
    """The layers, under the checkpoints' name."""

    def __init__(self, layers: list[Layer]) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)


class Body(nn.Module):
    """Embeddings and layers, under the checkpoints' names."""

    def __init__(self, embeddings: Embeddings, encoder: Encoder, head_dim: int) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.encoder = encoder
        self._head_dim = head_dim

    def forward(self, token: Tensor, segment: Tensor) -> Tensor:
        """Map two times int64 [rows, length] to [rows, length, width]; token 0 is padding."""
        hidden: Tensor = self.embeddings(token, segment)
        mask = additive(token, hidden.dtype)
        rotary = _rotations(token.shape[1], self._head_dim, token.device)
        for layer in self.encoder.layer:
            hidden = layer(hidden, mask, *rotary)
        return hidden


def _rotations(length: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [length, dim / 2]; in float64, as the checkpoints' own tables were made."""
    steps = torch.arange(0, dim, 2, device=device, dtype=torch.float64) / dim
    places = torch.arange(length, device=device, dtype=torch.float64)
    angles = places[:, None] * torch.exp(steps * -torch.log(torch.tensor(ROPE_BASE, dtype=torch.float64)))
    return angles.cos().float(), angles.sin().float()


class RoFormerForScore(nn.Module):
    """Score how alike two texts are, from 0 to 1."""

    def __init__(self, body: Body, width: int) -> None:
        super().__init__()
        self.roformer = body
        self.classifier = nn.Linear(width, 1)

    def forward(self, input_segment: Tensor, input_token: Tensor) -> Tensor:
        """Return the score of each pair.

        Args:
            input_segment: [rows, length], 0 for the first text and 1 for the second; whole numbers of any type.
            input_token: [rows, length], token ids; 0 is padding. Whole numbers of any type.

        Returns:
            [rows, 1].
        """
        token, segment = input_token.long(), input_segment.long()
        hidden = self.roformer(token, segment)  # [rows, length, width]
        is_token = (token != 0).to(hidden.dtype)[:, :, None]
        mean = (hidden * is_token).sum(dim=1) / is_token.sum(dim=1).clamp(min=1)  # [rows, width]
        return torch.sigmoid(self.classifier(mean))

    def draws(self) -> dict[str, Draw]:
        """Draw all projections as small normals, which norms bring to scale."""
        return normal_weights(self)


def build(
    *,
    vocab_size: int = 50_000,
    hidden_size: int = 768,
    num_hidden_layers: int = 12,
    num_attention_heads: int = 12,
    intermediate_size: int = 3_072,
    type_vocab_size: int = 2,
    layer_norm_eps: float = 1e-12,
    hidden_act: str = "gelu",
) -> RoFormerForScore:
    """Return the network in evaluation mode; the defaults are the Chinese base model.

    The arguments have the names of the hub's ``config.json``.

    Args:
        vocab_size: Token ids.
        hidden_size: Width.
        num_hidden_layers: Layers.
        num_attention_heads: Heads.
        intermediate_size: Inner width of the feed-forward networks.
        type_vocab_size: Token types.
        layer_norm_eps: Added to the variance.
        hidden_act: Activation of the feed-forward networks.

    Raises:
        ValueError: A size is none, or sizes do not fit each other.
    """
    positive(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_hidden_layers=num_hidden_layers,
        num_attention_heads=num_attention_heads,
        intermediate_size=intermediate_size,
        type_vocab_size=type_vocab_size,
    )
    whole_heads(hidden_size, 2 * num_attention_heads)
    layers = [
        Layer(
            RotarySelfAttention(hidden_size, num_attention_heads),
            width=hidden_size,
            inner=intermediate_size,
            eps=layer_norm_eps,
            activation=activation_of(hidden_act),
        )
        for _ in range(num_hidden_layers)
    ]
    embeddings = Embeddings(vocab_size, type_vocab_size, hidden_size, eps=layer_norm_eps)
    model = RoFormerForScore(Body(embeddings, Encoder(layers), hidden_size // num_attention_heads), hidden_size)
    leave_out(model, UNUSED_WEIGHTS)
    return model.eval()
