"""Hold what the encoders of BERT's kind share in TensorFlow; weights go by their PyTorch names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    import numpy.typing as npt

Rotate = Callable[[Any], Any]
"""Turns queries or keys [rows, heads, length, dim] by their positions."""

_ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "gelu": lambda hidden: tf.nn.gelu(hidden, approximate=False),
    "gelu_new": lambda hidden: tf.nn.gelu(hidden, approximate=True),
    "relu": tf.nn.relu,
    "silu": tf.nn.silu,
}


class Encoder(tf.Module):  # type: ignore[misc]  # TensorFlow ships no types
    """Weights by name, and the layers of an encoder over them.

    Args:
        weights: float32 arrays by PyTorch parameter name; copied.
        unused: Names that begin so are left out.
        prefix: What the names of the layers begin with: ``bert.encoder.layer``.
        layers: How many there are.
        heads: Of each layer.
        eps: Added to the variance by the norms.
        activation: Of the feed-forward networks, as the hub's ``config.json`` names it.

    Raises:
        ValueError: The activation is unknown, or the weights have another number of layers.
    """

    def __init__(
        self,
        weights: Mapping[str, npt.NDArray[Any]],
        *,
        unused: tuple[str, ...],
        prefix: str,
        layers: int,
        heads: int,
        eps: float,
        activation: str,
    ) -> None:
        super().__init__(name="encoder")
        found = 1 + max((int(name.split(".")[3]) for name in weights if name.startswith(prefix)), default=-1)
        if found != layers:
            raise ValueError(f"weights of {found} layers do not fit num_hidden_layers={layers}")
        if activation not in _ACTIVATIONS:
            raise ValueError(f"hidden_act must be one of {', '.join(_ACTIVATIONS)}, got {activation!r}")
        self._prefix, self._layers, self._heads, self._eps = prefix, layers, heads, eps
        self._activation = _ACTIVATIONS[activation]
        self.weights = {
            name: tf.Variable(_to_tensorflow(name, array), name=name, trainable=False)
            for name, array in weights.items()
            if not name.startswith(unused)
        }

    def encoded(self, hidden: tf.Tensor, mask: tf.Tensor, rotate: Rotate | None = None) -> tf.Tensor:
        """Map [rows, length, width] to the same shape, under an additive mask [rows, 1, 1, length]."""
        for number in range(self._layers):
            layer = f"{self._prefix}.{number}"
            mixed = self._attended(hidden, mask, f"{layer}.attention.self", rotate)
            seen = self.norm(
                self.linear(mixed, f"{layer}.attention.output.dense") + hidden, f"{layer}.attention.output"
            )
            inner = self._activation(self.linear(seen, f"{layer}.intermediate.dense"))
            hidden = self.norm(self.linear(inner, f"{layer}.output.dense") + seen, f"{layer}.output")
        return hidden

    def linear(self, hidden: tf.Tensor, name: str) -> tf.Tensor:
        """Multiply by a weight and add a bias."""
        return tf.matmul(hidden, self.weights[f"{name}.weight"]) + self.weights[f"{name}.bias"]

    def norm(self, hidden: tf.Tensor, owner: str) -> tf.Tensor:
        """Normalise the last axis by the owner's ``LayerNorm``."""
        mean, variance = tf.nn.moments(hidden, axes=[-1], keepdims=True)
        scale, offset = (self.weights[f"{owner}.LayerNorm.{kind}"] for kind in ("weight", "bias"))
        return tf.nn.batch_normalization(hidden, mean, variance, offset, scale, self._eps)

    def embedded(self, ids: tf.Tensor, name: str) -> tf.Tensor:
        """Look ids up in a table."""
        return tf.gather(self.weights[f"{name}.weight"], ids)

    def _attended(self, hidden: tf.Tensor, mask: tf.Tensor, owner: str, rotate: Rotate | None) -> tf.Tensor:
        query, key, value = (self._split(self.linear(hidden, f"{owner}.{each}")) for each in ("query", "key", "value"))
        if rotate is not None:
            query, key = rotate(query), rotate(key)
        scores = tf.matmul(query, key, transpose_b=True) * query.shape[-1] ** -0.5 + mask
        mixed = tf.matmul(tf.nn.softmax(scores), value)  # [rows, heads, length, dim]
        return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), tf.shape(hidden))

    def _split(self, projected: tf.Tensor) -> tf.Tensor:
        """Turn [rows, length, heads * dim] into [rows, heads, length, dim]."""
        rows, length = tf.unstack(tf.shape(projected)[:2])
        dim = projected.shape[-1] // self._heads
        return tf.transpose(tf.reshape(projected, [rows, length, self._heads, dim]), [0, 2, 1, 3])


def additive(mask: tf.Tensor) -> tf.Tensor:
    """Turn a mask [rows, length] that is 0 where nothing is into what is added to scores, [rows, 1, 1, length]."""
    return tf.cast(mask[:, None, None, :] == 0, tf.float32) * (tf.float32.min / 2)


def _to_tensorflow(name: str, array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Turn a linear layer's [out, in] into [in, out]; tables of embeddings stay."""
    transposed = array.T if array.ndim > 1 and "embeddings" not in name else array
    return np.ascontiguousarray(transposed, dtype=np.float32)
