"""Define BERT in PyTorch, with a head for answers within the text or for classes.

Parameters have the names and shapes of the hub's checkpoints
(``csarron/bert-base-uncased-squad-v1``).

Source: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", 2018 (arXiv:1810.04805).
"""

import torch
from torch import Tensor, nn

from bytemlperf.zoo.architectures.encoder_torch import (
    Activation,
    Layer,
    SelfAttention,
    activation_of,
    additive,
    answer_logits,
    positive,
    whole_heads,
)
from bytemlperf.zoo.architectures.initialise_torch import Draw, normal_weights
from bytemlperf.zoo.architectures.published_torch import leave_out

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file (or of encoder_torch) changes."""

POSITIONS = (r"bert\.embeddings\.position_ids",)
"""The numbers 0, 1, 2 and so on, which older files carry and the definition computes."""

UNUSED_POOLER = (r"bert\.pooler\.dense\.(weight|bias)",)
"""What only classes are read from; files of other tasks may carry it all the same."""


class Embeddings(nn.Module):
    """Add the embeddings of words, positions and token types, and normalise."""

    def __init__(self, vocabulary: int, positions: int, types: int, width: int, *, eps: float, padding: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, width, padding_idx=padding)
        self.position_embeddings = nn.Embedding(positions, width)
        self.token_type_embeddings = nn.Embedding(types, width)
        self.LayerNorm = nn.LayerNorm(width, eps)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        """Map two times [rows, length] to [rows, length, width]."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        words = self.word_embeddings(input_ids) + self.token_type_embeddings(token_type_ids)
        hidden: Tensor = self.LayerNorm(words + self.position_embeddings(positions))
        return hidden


class Encoder(nn.Module):
    """The layers, under the checkpoints' name."""

    def __init__(self, count: int, width: int, heads: int, inner: int, *, eps: float, activation: Activation) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            Layer(SelfAttention(width, heads), width=width, inner=inner, eps=eps, activation=activation)
            for _ in range(count)
        )

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Map [rows, length, width] to the same shape, under an additive mask [rows, 1, 1, length]."""
        for layer in self.layer:
            hidden = layer(hidden, mask)
        return hidden


class Pooler(nn.Module):
    """Read the first position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [rows, length, width] to [rows, width]."""
        return torch.tanh(self.dense(hidden[:, 0]))


class Body(nn.Module):
    """Embeddings, layers and, for classes, the pooler."""

    def __init__(self, embeddings: nn.Module, encoder: Encoder, pooler: Pooler | None) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.encoder = encoder
        self.pooler = pooler

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Map three times [rows, length] to [rows, length, width], or [rows, width] with a pooler."""
        embedded = self.embeddings(input_ids, token_type_ids)
        hidden: Tensor = self.encoder(embedded, additive(attention_mask, embedded.dtype))
        return hidden if self.pooler is None else self.pooler(hidden)


class BertForAnswers(nn.Module):
    """Find where in the text an answer starts and ends.

    Args:
        body: Without a pooler.
        width: Of the hidden states.
        split: Whether start and end are two outputs; else one, [rows, length, 2].
    """

    def __init__(self, body: Body, width: int, *, split: bool) -> None:
        super().__init__()
        self.bert = body
        self.qa_outputs = nn.Linear(width, 2)
        self._split = split

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the logits of start and end for each position.

        Args:
            input_ids: int64 or int32 [rows, length], below the vocabulary's size.
            attention_mask: [rows, length], 0 where there is no token.
            token_type_ids: [rows, length], 0 for the question and 1 for the text.

        Returns:
            Two times [rows, length], or once [rows, length, 2].
        """
        spans = self.qa_outputs(self.bert(input_ids, attention_mask, token_type_ids))
        return answer_logits(spans, split=self._split)

    def draws(self) -> dict[str, Draw]:
        """Draw all projections as small normals, which norms bring to scale."""
        return normal_weights(self)


class BertForClasses(nn.Module):
    """Tell which class a text, or a pair of texts, is of."""

    def __init__(self, body: Body, width: int, labels: int) -> None:
        super().__init__()
        self.bert = body
        self.classifier = nn.Linear(width, labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Return the logits [rows, labels]; the arguments are those of `BertForAnswers.forward`."""
        logits: Tensor = self.classifier(self.bert(input_ids, attention_mask, token_type_ids))
        return logits

    def draws(self) -> dict[str, Draw]:
        """Draw all projections as small normals, which norms bring to scale."""
        return normal_weights(self)


def build(
    *,
    vocab_size: int = 30_522,
    hidden_size: int = 768,
    num_hidden_layers: int = 12,
    num_attention_heads: int = 12,
    intermediate_size: int = 3_072,
    max_position_embeddings: int = 512,
    type_vocab_size: int = 2,
    layer_norm_eps: float = 1e-12,
    hidden_act: str = "gelu",
    pad_token_id: int = 0,
    num_labels: int | None = None,
    split_logits: bool = True,
) -> BertForAnswers | BertForClasses:
    """Return the network in evaluation mode; the defaults are BERT base for answers.

    The arguments have the names of the hub's ``config.json``.

    Args:
        vocab_size: Token ids.
        hidden_size: Width.
        num_hidden_layers: Layers.
        num_attention_heads: Heads.
        intermediate_size: Inner width of the feed-forward networks.
        max_position_embeddings: Most positions.
        type_vocab_size: Token types.
        layer_norm_eps: Added to the variance.
        hidden_act: Activation of the feed-forward networks.
        pad_token_id: Of random weights, the row of words that is zero.
        num_labels: Classes; None for answers within the text.
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
        max_position_embeddings=max_position_embeddings,
        type_vocab_size=type_vocab_size,
        num_labels=1 if num_labels is None else num_labels,
    )
    whole_heads(hidden_size, num_attention_heads)
    body = Body(
        Embeddings(
            vocab_size, max_position_embeddings, type_vocab_size, hidden_size, eps=layer_norm_eps, padding=pad_token_id
        ),
        Encoder(
            num_hidden_layers,
            hidden_size,
            num_attention_heads,
            intermediate_size,
            eps=layer_norm_eps,
            activation=activation_of(hidden_act),
        ),
        None if num_labels is None else Pooler(hidden_size),
    )
    model: BertForAnswers | BertForClasses
    if num_labels is None:
        model = BertForAnswers(body, hidden_size, split=split_logits)
        leave_out(model, POSITIONS + UNUSED_POOLER)
    else:
        model = BertForClasses(body, hidden_size, num_labels)
        leave_out(model, POSITIONS)
    return model.eval()
