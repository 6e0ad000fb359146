"""Define RoFormer in TensorFlow, with the head that scores how alike two texts are: the twin of ``roformer_torch``.

It takes the same float32 weights by their PyTorch names. Inputs and output have the names and the
type of ByteMLPerf's SavedModel: ``input_segment`` and ``input_token`` are whole numbers as float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from bytemlperf.zoo.architectures.encoder_tf import Encoder, Rotate, additive

if TYPE_CHECKING:
    import numpy.typing as npt

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a weight name of this file (or of encoder_tf) changes."""

ROPE_BASE = 10_000.0
"""Base of the rotary positions."""

_UNUSED = ("roformer.encoder.embed_positions.", "roformer.pooler.", "cls.")


class RoFormerForScore(tf.Module):  # type: ignore[misc]  # TensorFlow ships no types
    """Score how alike two texts are, from 0 to 1.

    ``serve`` is a ``tf.function``, for calls and as the signature of a SavedModel: it takes
    ``input_segment`` and ``input_token`` (0 is padding), float32 [rows, length], and returns
    ``Identity``, float32 [rows, 1].

    Args:
        encoder: Layers and weights.
        head_dim: Length of a head.
    """

    def __init__(self, encoder: Encoder, head_dim: int) -> None:
        super().__init__(name="roformer")
        self._encoder = encoder
        self._head_dim = head_dim
        signature = [tf.TensorSpec([None, None], tf.float32, name=name) for name in ("input_segment", "input_token")]
        # Not as a decorator: that holds the module weakly, and build(weights).serve would outlive it.
        self.serve = tf.function(self._score, input_signature=signature)

    def _score(self, input_segment: tf.Tensor, input_token: tf.Tensor) -> dict[str, tf.Tensor]:
        encoder, token = self._encoder, tf.cast(input_token, tf.int32)
        words = encoder.embedded(token, "roformer.embeddings.word_embeddings")  # [rows, length, width]
        words += encoder.embedded(tf.cast(input_segment, tf.int32), "roformer.embeddings.token_type_embeddings")
        hidden = encoder.norm(words, "roformer.embeddings")
        hidden = encoder.encoded(hidden, additive(token), _rotation(tf.shape(token)[1], self._head_dim))
        is_token = tf.cast(token != 0, tf.float32)[:, :, None]
        mean = tf.reduce_sum(hidden * is_token, axis=1) / tf.maximum(tf.reduce_sum(is_token, axis=1), 1)
        return {"Identity": tf.sigmoid(encoder.linear(mean, "classifier"))}


def _rotation(length: tf.Tensor, dim: int) -> Rotate:
    """Return what turns element 2 i with element 2 i + 1; angles in float64, as the checkpoints' tables were made."""
    steps = tf.range(0, dim, 2, dtype=tf.float64) / dim
    angles = tf.range(tf.cast(length, tf.float64), dtype=tf.float64)[:, None] * tf.pow(
        tf.constant(ROPE_BASE, tf.float64), -steps
    )
    cos, sin = tf.cast(tf.cos(angles), tf.float32), tf.cast(tf.sin(angles), tf.float32)  # [length, dim / 2]

    def rotate(heads: tf.Tensor) -> tf.Tensor:
        first, second = heads[..., ::2], heads[..., 1::2]
        turned = tf.stack([first * cos - second * sin, second * cos + first * sin], axis=-1)
        return tf.reshape(turned, tf.concat([tf.shape(heads)[:-1], [dim]], axis=0))

    return rotate


def build(
    weights: Mapping[str, npt.NDArray[Any]],
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
    """Return the network with the weights of its PyTorch twin; the defaults are the Chinese base model.

    Args:
        weights: float32 arrays by PyTorch parameter name.
        vocab_size: Token ids.
        hidden_size: Width.
        num_hidden_layers: Layers.
        num_attention_heads: Heads.
        intermediate_size: Inner width of the feed-forward networks.
        type_vocab_size: Token types.
        layer_norm_eps: Added to the variance.
        hidden_act: Activation of the feed-forward networks.

    Raises:
        ValueError: The weights are of another configuration.
        KeyError: A weight is missing.
    """
    expected = {
        "roformer.embeddings.word_embeddings.weight": (vocab_size, hidden_size),
        "roformer.embeddings.token_type_embeddings.weight": (type_vocab_size, hidden_size),
        "roformer.encoder.layer.0.intermediate.dense.weight": (intermediate_size, hidden_size),
    }
    for name, shape in expected.items():
        if weights[name].shape != shape:
            raise ValueError(f"{name} is {weights[name].shape}, where the configuration asks for {shape}")
    encoder = Encoder(
        weights,
        unused=_UNUSED,
        prefix="roformer.encoder.layer",
        layers=num_hidden_layers,
        heads=num_attention_heads,
        eps=layer_norm_eps,
        activation=hidden_act,
    )
    return RoFormerForScore(encoder, hidden_size // num_attention_heads)
