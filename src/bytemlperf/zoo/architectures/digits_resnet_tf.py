"""Define the digits classifier in TensorFlow: the twin of ``digits_resnet_torch``.

It takes the same float32 weights by their PyTorch names and the same input, so that
either framework is an independent reference for the other.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a weight name of this file changes."""

BATCH_NORM_EPSILON = 1e-5

_IMAGE = tf.TensorSpec([None, 1, 8, 8], tf.float32, name="image")


class DigitsResNet(tf.Module):  # type: ignore[misc]  # TensorFlow ships no types
    """Classify 8x8 images of handwritten digits.

    ``serve`` is a ``tf.function``, for calls and as the signature of a SavedModel: it takes
    ``image``, float32 [batch, 1, 8, 8], pixels divided by 16 (0 to 1), and returns
    ``logits``, float32 [batch, 10].

    Args:
        weights: float32 arrays by PyTorch parameter and buffer name; copied.
        blocks: Residual blocks in each of the two stages.

    Raises:
        KeyError: A weight is missing.
    """

    def __init__(self, weights: Mapping[str, npt.NDArray[Any]], *, blocks: int) -> None:
        super().__init__(name="digits_resnet")
        self._blocks = blocks
        self._weights = {
            name: tf.Variable(_to_tensorflow(array), name=name, trainable=False)
            for name, array in weights.items()
            if not name.endswith("num_batches_tracked")
        }
        # Not as a decorator: that holds the module weakly, and build(weights).serve would outlive it.
        self.serve = tf.function(self._logits, input_signature=[_IMAGE])

    def _logits(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        features = tf.transpose(image, [0, 2, 3, 1])  # [batch, 8, 8, 1]
        features = tf.nn.relu(self._conv_bn(features, "conv1", "bn1"))  # [batch, 8, 8, width]
        for stage, stride in (("layer1", 1), ("layer2", 2)):
            for index in range(self._blocks):
                features = self._block(features, f"{stage}.{index}", stride if index == 0 else 1)
        pooled = tf.reduce_mean(features, axis=[1, 2])  # [batch, 2 * width]
        return {"logits": pooled @ self._weights["fc.weight"] + self._weights["fc.bias"]}

    def _block(self, features: tf.Tensor, prefix: str, stride: int) -> tf.Tensor:
        residual = self._conv_bn(features, f"{prefix}.conv1", f"{prefix}.bn1", stride)
        residual = self._conv_bn(tf.nn.relu(residual), f"{prefix}.conv2", f"{prefix}.bn2")
        if f"{prefix}.downsample.0.weight" in self._weights:
            projection = f"{prefix}.downsample"
            features = self._conv_bn(features, f"{projection}.0", f"{projection}.1", stride)
        return tf.nn.relu(residual + features)

    def _conv_bn(self, features: tf.Tensor, conv: str, norm: str, stride: int = 1) -> tf.Tensor:
        kernel = self._weights[f"{conv}.weight"]
        # "SAME" would pad asymmetrically at stride 2, unlike PyTorch.
        pad = kernel.shape[0] // 2
        padded = tf.pad(features, [[0, 0], [pad, pad], [pad, pad], [0, 0]]) if pad else features
        return tf.nn.batch_normalization(
            tf.nn.conv2d(padded, kernel, strides=stride, padding="VALID"),
            mean=self._weights[f"{norm}.running_mean"],
            variance=self._weights[f"{norm}.running_var"],
            offset=self._weights[f"{norm}.bias"],
            scale=self._weights[f"{norm}.weight"],
            variance_epsilon=BATCH_NORM_EPSILON,
        )


def build(weights: Mapping[str, npt.NDArray[Any]], *, width: int = 24, blocks: int = 2) -> DigitsResNet:
    """Return the network with the weights of its PyTorch twin.

    Args:
        weights: float32 arrays by PyTorch parameter and buffer name.
        width: Channels of the first stage; must be the weights' own.
        blocks: Residual blocks in each of the two stages.

    Raises:
        ValueError: The weights are of another width or number of blocks.
        KeyError: A weight is missing.
    """
    found = weights["conv1.weight"].shape[0]
    if found != width or f"layer1.{blocks}.conv1.weight" in weights:
        raise ValueError(f"weights of width {found} do not fit width={width}, blocks={blocks}")
    return DigitsResNet(weights, blocks=blocks)


def _to_tensorflow(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Turn OIHW into HWIO and [out, in] into [in, out]."""
    axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(array.ndim, tuple(range(array.ndim)))
    return np.ascontiguousarray(array.transpose(axes), dtype=np.float32)
