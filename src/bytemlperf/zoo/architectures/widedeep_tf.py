"""Define Wide&Deep for Criteo's click logs in TensorFlow: the twin of ``widedeep_torch``."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a weight name of this file changes."""


class WideDeep(tf.Module):  # type: ignore[misc]  # TensorFlow ships no types
    """Estimate the probability of a click by a linear model beside a deep one.

    ``serve`` is a ``tf.function``, for calls and as the signature of a SavedModel. It takes
    ``new_categorical_placeholder``, int64 [columns * batch, 2]: of each sample one row after the other,
    the number of a column and the bucket of its value; and ``new_numeric_placeholder``, float32
    [batch, numbers]. It returns ``probabilities``, float32 [batch, 2], of no click and of a click.

    Args:
        weights: float32 arrays by the names of the PyTorch twin; copied.
        columns: Categorical columns.
        buckets: Values of each column.
        numbers: Numeric columns.
        layers: Hidden layers and the one behind them.

    Raises:
        KeyError: A weight is missing.
    """

    def __init__(
        self, weights: Mapping[str, npt.NDArray[Any]], *, columns: int, buckets: int, numbers: int, layers: int
    ) -> None:
        super().__init__(name="widedeep")
        self._columns, self._buckets, self._layers = columns, buckets, layers
        self._weights = {
            name: tf.Variable(array.astype(np.float32), name=name, trainable=False) for name, array in weights.items()
        }
        signature = [
            tf.TensorSpec([None, 2], tf.int64, name="new_categorical_placeholder"),
            tf.TensorSpec([None, numbers], tf.float32, name="new_numeric_placeholder"),
        ]
        # Not as a decorator: that holds the module weakly, and build(weights).serve would outlive it.
        self.serve = tf.function(self._estimate, input_signature=signature)

    def _estimate(
        self, new_categorical_placeholder: tf.Tensor, new_numeric_placeholder: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        weights = self._weights
        column, bucket = tf.unstack(new_categorical_placeholder, axis=1)
        rows = tf.reshape(column % self._columns * self._buckets + bucket, [-1, self._columns])  # [batch, columns]
        wide = tf.reduce_sum(tf.gather(weights["wide.weight"], rows), axis=1) + weights["wide_bias"]  # [batch, 1]
        embedded = tf.gather(weights["embedding.weight"], rows)  # [batch, columns, width]
        flat = tf.reshape(embedded, [-1, self._columns * embedded.shape[2]])
        deep = tf.concat([new_numeric_placeholder, flat], axis=1)  # [batch, 845]
        for layer in range(self._layers):
            deep = (
                tf.matmul(deep, weights[f"hidden.{layer}.weight"], transpose_b=True) + weights[f"hidden.{layer}.bias"]
            )
            deep = tf.nn.relu(deep) if layer < self._layers - 1 else deep
        logit = wide + deep  # [batch, 1]
        return {"probabilities": tf.nn.softmax(tf.concat([tf.zeros_like(logit), logit], axis=1))}


def build(
    weights: Mapping[str, npt.NDArray[Any]],
    *,
    columns: int = 26,
    buckets: int = 1000,
    numbers: int = 13,
    embedding_width: int = 32,
    hidden: Sequence[int] = (1024, 512, 256),
) -> WideDeep:
    """Return the network with the weights of its PyTorch twin.

    Args:
        weights: float32 arrays by the names of the PyTorch twin.
        columns: Categorical columns.
        buckets: Values of each column.
        numbers: Numeric columns.
        embedding_width: Numbers that stand for a value; must be the weights' own.
        hidden: Widths of the hidden layers; must be the weights' own.

    Raises:
        ValueError: The weights are of another size.
        KeyError: A weight is missing.
    """
    found = weights["embedding.weight"].shape
    widths = tuple(weights[f"hidden.{layer}.weight"].shape[0] for layer in range(len(hidden)))
    if found != (columns * buckets, embedding_width) or widths != tuple(hidden):
        raise ValueError(f"weights of embeddings {found} and hidden layers {widths} do not fit the configuration")
    return WideDeep(weights, columns=columns, buckets=buckets, numbers=numbers, layers=len(hidden) + 1)
