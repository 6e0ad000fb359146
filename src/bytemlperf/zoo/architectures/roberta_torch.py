"""Define RoBERTa in PyTorch, with a head for answers within the text.

It is BERT with positions that count tokens only, from behind the padding's id on. Parameters have
the names and shapes of the hub's checkpoints (``csarron/roberta-base-squad-v1``).

Source: Liu et al., "RoBERTa: A Robustly Optimized BERT Pretraining Approach", 2019
(arXiv:1907.11692).
"""

from torch import Tensor, nn

from bytemlperf.zoo.architectures.bert_torch import Body, Embeddings, Encoder
from bytemlperf.zoo.architectures.encoder_torch import activation_of, answer_logits, positive, whole_heads
from bytemlperf.zoo.architectures.initialise_torch import Draw, embedding, normal_weights
from bytemlperf.zoo.architectures.published_torch import leave_out

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file (or of bert_torch, encoder_torch) changes."""

UNUSED_WEIGHTS = (r"roberta\.embeddings\.position_ids", r"roberta\.pooler\.dense\.(weight|bias)")
"""Numbers that the definition computes, and what only classes are read from; older files carry them."""


class CountedEmbeddings(Embeddings):
    """Add embeddings of words, token types and of positions that count all but padding."""

    def __init__(self, vocabulary: int, positions: int, types: int, width: int, *, eps: float, padding: int) -> None:
        super().__init__(vocabulary, positions, types, width, eps=eps, padding=padding)
        self._padding = padding

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        """Map two times [rows, length] to [rows, length, width]."""
        is_token = (input_ids != self._padding).long()
        positions = is_token.cumsum(dim=1) * is_token + self._padding
        words = self.word_embeddings(input_ids) + self.token_type_embeddings(token_type_ids)
        hidden: Tensor = self.LayerNorm(words + self.position_embeddings(positions))
        return hidden

    def draws(self) -> dict[str, Draw]:
        """Leave the padding's position at zero."""
        return {"position_embeddings.weight": embedding(self._padding)}


class RobertaForAnswers(nn.Module):
    """Find where in the text an answer starts and ends.

    Args:
        body: Without a pooler.
        width: Of the hidden states.
        split: Whether start and end are two outputs; else one, [rows, length, 2].
    """

    def __init__(self, body: Body, width: int, *, split: bool) -> None:
        super().__init__()
        self.roberta = body
        self.qa_outputs = nn.Linear(width, 2)
        self._split = split

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the logits of start and end for each position.

        Args:
            input_ids: int64 [rows, length], below the vocabulary's size; the padding's id is no token.
            attention_mask: [rows, length], 0 where there is no token.
            token_type_ids: [rows, length], below the number of types: all 0 in published models.

        Returns:
            Two times [rows, length], or once [rows, length, 2].
        """
        spans = self.qa_outputs(self.roberta(input_ids, attention_mask, token_type_ids))
        return answer_logits(spans, split=self._split)

    def draws(self) -> dict[str, Draw]:
        """Draw all projections as small normals, which norms bring to scale."""
        return normal_weights(self)


def build(
    *,
    vocab_size: int = 50_265,
    hidden_size: int = 768,
    num_hidden_layers: int = 12,
    num_attention_heads: int = 12,
    intermediate_size: int = 3_072,
    max_position_embeddings: int = 514,
    type_vocab_size: int = 1,
    layer_norm_eps: float = 1e-5,
    hidden_act: str = "gelu",
    pad_token_id: int = 1,
    split_logits: bool = True,
) -> RobertaForAnswers:
    """Return the network in evaluation mode; the defaults are RoBERTa base.

    The arguments have the names of the hub's ``config.json``.

    Args:
        vocab_size: Token ids.
        hidden_size: Width.
        num_hidden_layers: Layers.
        num_attention_heads: Heads.
        intermediate_size: Inner width of the feed-forward networks.
        max_position_embeddings: Rows of positions: the longest text, the padding's id and one more.
        type_vocab_size: Token types.
        layer_norm_eps: Added to the variance.
        hidden_act: Activation of the feed-forward networks.
        pad_token_id: Of padding; positions count from behind it.
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
    )
    whole_heads(hidden_size, num_attention_heads)
    if max_position_embeddings <= pad_token_id + 1:
        raise ValueError(
            f"max_position_embeddings must leave positions behind pad_token_id, got {max_position_embeddings}"
        )
    embeddings = CountedEmbeddings(
        vocab_size, max_position_embeddings, type_vocab_size, hidden_size, eps=layer_norm_eps, padding=pad_token_id
    )
    encoder = Encoder(
        num_hidden_layers,
        hidden_size,
        num_attention_heads,
        intermediate_size,
        eps=layer_norm_eps,
        activation=activation_of(hidden_act),
    )
    model = RobertaForAnswers(Body(embeddings, encoder, None), hidden_size, split=split_logits)
    leave_out(model, UNUSED_WEIGHTS)
    return model.eval()
