"""Define BERT in TensorFlow, with a head for answers within the text: the twin of ``bert_torch``.

It takes the same float32 weights by their PyTorch names. Inputs have the names and the type of
Google's own SavedModels: ``input_ids``, ``input_mask`` and ``segment_ids``, int32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from bytemlperf.zoo.architectures.encoder_tf import Encoder, additive

if TYPE_CHECKING:
    import numpy.typing as npt

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a weight name of this file (or of encoder_tf) changes."""

_UNUSED = ("bert.embeddings.position_ids", "bert.pooler.")


class BertForAnswers(tf.Module):  # type: ignore[misc]  # TensorFlow ships no types
    """Find where in the text an answer starts and ends.

    ``serve`` is a ``tf.function``, for calls and as the signature of a SavedModel: it takes
    ``input_ids``, ``input_mask`` (0 where there is no token) and ``segment_ids``, int32 [rows, length],
    and returns ``logits``, float32 [rows, length, 2], or ``start_logits`` and ``end_logits``.

    Args:
        encoder: Layers and weights.
        split: Whether start and end are two outputs.
    """

    def __init__(self, encoder: Encoder, *, split: bool) -> None:
        super().__init__(name="bert")
        self._encoder = encoder
        self._split = split
        names = ("input_ids", "input_mask", "segment_ids")
        signature = [tf.TensorSpec([None, None], tf.int32, name=name) for name in names]
        # Not as a decorator: that holds the module weakly, and build(weights).serve would outlive it.
        self.serve = tf.function(self._logits, input_signature=signature)

    def _logits(self, input_ids: tf.Tensor, input_mask: tf.Tensor, segment_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        encoder = self._encoder
        words = encoder.embedded(input_ids, "bert.embeddings.word_embeddings")  # [rows, length, width]
        words += encoder.embedded(segment_ids, "bert.embeddings.token_type_embeddings")
        words += encoder.weights["bert.embeddings.position_embeddings.weight"][: tf.shape(input_ids)[1]]
        hidden = encoder.encoded(encoder.norm(words, "bert.embeddings"), additive(input_mask))
        logits = encoder.linear(hidden, "qa_outputs")  # [rows, length, 2]
        if not self._split:
            return {"logits": logits}
        return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}


def build(
    weights: Mapping[str, npt.NDArray[Any]],
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
    split_logits: bool = False,
) -> BertForAnswers:
    """Return the network with the weights of its PyTorch twin; the defaults are BERT base.

    Args:
        weights: float32 arrays by PyTorch parameter name.
        vocab_size: Token ids.
        hidden_size: Width.
        num_hidden_layers: Layers.
        num_attention_heads: Heads.
        intermediate_size: Inner width of the feed-forward networks.
        max_position_embeddings: Most positions.
        type_vocab_size: Token types.
        layer_norm_eps: Added to the variance.
        hidden_act: Activation of the feed-forward networks.
        pad_token_id: Of the twin's random weights; of no effect here.
        split_logits: Whether start and end are two outputs.

    Raises:
        ValueError: The weights are of another configuration.
        KeyError: A weight is missing.
    """
    del pad_token_id
    tables = (("word", vocab_size), ("position", max_position_embeddings), ("token_type", type_vocab_size))
    expected = {f"bert.embeddings.{kind}_embeddings.weight": (rows, hidden_size) for kind, rows in tables}
    expected["bert.encoder.layer.0.intermediate.dense.weight"] = (intermediate_size, hidden_size)
    for name, shape in expected.items():
        if weights[name].shape != shape:
            raise ValueError(f"{name} is {weights[name].shape}, where the configuration asks for {shape}")
    encoder = Encoder(
        weights,
        unused=_UNUSED,
        prefix="bert.encoder.layer",
        layers=num_hidden_layers,
        heads=num_attention_heads,
        eps=layer_norm_eps,
        activation=hidden_act,
    )
    return BertForAnswers(encoder, split=split_logits)
