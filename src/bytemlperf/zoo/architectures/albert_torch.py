"""Define ALBERT in PyTorch, with a head for answers within the text.

All layers of a group share their weights, and words are embedded narrower than the layers are.
Parameters have the names and shapes of the hub's checkpoints (``madlag/albert-base-v2-squad``).

Source: Lan et al., "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations",
2019 (arXiv:1909.11942).
"""

from torch import Tensor, nn

from bytemlperf.zoo.architectures.bert_torch import Embeddings
from bytemlperf.zoo.architectures.encoder_torch import (
    Activation,
    activation_of,
    additive,
    answer_logits,
    attended,
    positive,
    split_heads,
    whole_heads,
)
from bytemlperf.zoo.architectures.initialise_torch import Draw, normal_weights
from bytemlperf.zoo.architectures.published_torch import leave_out

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file (or of bert_torch, encoder_torch) changes."""

UNUSED_WEIGHTS = (r"albert\.embeddings\.position_ids", r"albert\.pooler\.(weight|bias)")
"""Numbers that the definition computes, and what only classes are read from; older files carry them."""


class Attention(nn.Module):
    """Attend to all positions that the mask leaves, add the input and normalise."""

    def __init__(self, width: int, heads: int, eps: float) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.dense = nn.Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, eps)
        self._heads = heads

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Map [rows, length, width] to the same shape, under an additive mask [rows, 1, 1, length]."""
        query, key, value = (
            split_heads(project(hidden), self._heads) for project in (self.query, self.key, self.value)
        )  # [rows, heads, length, width / heads] each
        answer: Tensor = self.LayerNorm(hidden + self.dense(attended(query, key, value, mask)))
        return answer


class Layer(nn.Module):
    """Attention, then a feed-forward network, each normalised after its residual is added."""

    def __init__(self, width: int, heads: int, inner: int, *, eps: float, activation: Activation) -> None:
        super().__init__()
        self.full_layer_layer_norm = nn.LayerNorm(width, eps)
        self.attention = Attention(width, heads, eps)
        self.ffn = nn.Linear(width, inner)
        self.ffn_output = nn.Linear(inner, width)
        self._activation = activation

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Map [rows, length, width] to the same shape, under an additive mask [rows, 1, 1, length]."""
        seen = self.attention(hidden, mask)
        answer: Tensor = self.full_layer_layer_norm(self.ffn_output(self._activation(self.ffn(seen))) + seen)
        return answer


class Group(nn.Module):
    """Layers that are passed through in order, under the checkpoints' name."""

    def __init__(self, layers: list[Layer]) -> None:
        super().__init__()
        self.albert_layers = nn.ModuleList(layers)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Map [rows, length, width] to the same shape, under an additive mask [rows, 1, 1, length]."""
        for layer in self.albert_layers:
            hidden = layer(hidden, mask)
        return hidden


class Encoder(nn.Module):
    """Widen the embeddings, then pass each group as often as the depth asks for."""

    def __init__(self, embedding: int, width: int, groups: list[Group], depth: int) -> None:
        super().__init__()
        self.embedding_hidden_mapping_in = nn.Linear(embedding, width)
        self.albert_layer_groups = nn.ModuleList(groups)
        self._order = [number * len(groups) // depth for number in range(depth)]

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Map [rows, length, embedding] to [rows, length, width], under an additive mask [rows, 1, 1, length]."""
        hidden = self.embedding_hidden_mapping_in(hidden)
        for number in self._order:
            hidden = self.albert_layer_groups[number](hidden, mask)
        return hidden


class Body(nn.Module):
    """Embeddings and encoder, under the checkpoints' names."""

    def __init__(self, embeddings: Embeddings, encoder: Encoder) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.encoder = encoder


class AlbertForAnswers(nn.Module):
    """Find where in the text an answer starts and ends.

    Args:
        body: Embeddings and encoder.
        width: Of the hidden states.
        split: Whether start and end are two outputs; else one, [rows, length, 2].
    """

    def __init__(self, body: Body, width: int, *, split: bool) -> None:
        super().__init__()
        self.albert = body
        self.qa_outputs = nn.Linear(width, 2)
        self._split = split

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the logits of start and end for each position.

        Args:
            input_ids: int64 [rows, length], below the vocabulary's size.
            attention_mask: [rows, length], 0 where there is no token.
            token_type_ids: [rows, length], 0 for the question and 1 for the text.

        Returns:
            Two times [rows, length], or once [rows, length, 2].
        """
        embedded = self.albert.embeddings(input_ids, token_type_ids)  # [rows, length, embedding]
        hidden = self.albert.encoder(embedded, additive(attention_mask, embedded.dtype))  # [rows, length, width]
        return answer_logits(self.qa_outputs(hidden), split=self._split)

    def draws(self) -> dict[str, Draw]:
        """Draw all projections as small normals, which norms bring to scale."""
        return normal_weights(self)


def build(
    *,
    vocab_size: int = 30_000,
    embedding_size: int = 128,
    hidden_size: int = 768,
    num_hidden_layers: int = 12,
    num_hidden_groups: int = 1,
    inner_group_num: int = 1,
    num_attention_heads: int = 12,
    intermediate_size: int = 3_072,
    max_position_embeddings: int = 512,
    type_vocab_size: int = 2,
    layer_norm_eps: float = 1e-12,
    hidden_act: str = "gelu_new",
    pad_token_id: int = 0,
    split_logits: bool = True,
) -> AlbertForAnswers:
    """Return the network in evaluation mode; the defaults are ALBERT base, version 2.

    The arguments have the names of the hub's ``config.json``.

    Args:
        vocab_size: Token ids.
        embedding_size: Width of the embeddings.
        hidden_size: Width of the layers.
        num_hidden_layers: How often a group is passed, over all groups.
        num_hidden_groups: Groups with weights of their own.
        inner_group_num: Layers in a group.
        num_attention_heads: Heads.
        intermediate_size: Inner width of the feed-forward networks.
        max_position_embeddings: Most positions.
        type_vocab_size: Token types.
        layer_norm_eps: Added to the variance.
        hidden_act: Activation of the feed-forward networks.
        pad_token_id: Of random weights, the row of words that is zero.
        split_logits: Whether an answer's start and end are two outputs; else one, [rows, length, 2].

    Raises:
        ValueError: A size is none, or sizes do not fit each other.
    """
    positive(
        vocab_size=vocab_size,
        embedding_size=embedding_size,
        hidden_size=hidden_size,
        num_hidden_layers=num_hidden_layers,
        num_hidden_groups=num_hidden_groups,
        inner_group_num=inner_group_num,
        num_attention_heads=num_attention_heads,
        intermediate_size=intermediate_size,
        max_position_embeddings=max_position_embeddings,
        type_vocab_size=type_vocab_size,
    )
    whole_heads(hidden_size, num_attention_heads)
    activation = activation_of(hidden_act)

    def layer() -> Layer:
        return Layer(hidden_size, num_attention_heads, intermediate_size, eps=layer_norm_eps, activation=activation)

    groups = [Group([layer() for _ in range(inner_group_num)]) for _ in range(num_hidden_groups)]
    embeddings = Embeddings(
        vocab_size, max_position_embeddings, type_vocab_size, embedding_size, eps=layer_norm_eps, padding=pad_token_id
    )
    body = Body(embeddings, Encoder(embedding_size, hidden_size, groups, num_hidden_layers))
    model = AlbertForAnswers(body, hidden_size, split=split_logits)
    leave_out(model, UNUSED_WEIGHTS)
    return model.eval()
