"""Define the bottleneck residual networks, version 1.5, in TensorFlow: the twin of ``resnet_torch``.

It takes the same float32 weights by their PyTorch names, so that either framework is an
independent reference for the other. Padding is written out on both sides as PyTorch has it:
TensorFlow's "SAME" pads one side more at stride 2.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a weight name of this file changes."""

BATCH_NORM_EPSILON = 1e-5

_LOWEST = tf.float32.min


class ResNet(tf.Module):  # type: ignore[misc]  # TensorFlow ships no types
    """Classify images with a stem, four stages of bottlenecks and one linear layer.

    ``serve`` is a ``tf.function``, for calls and as the signature of a SavedModel: it takes
    ``input_tensor``, float32 [batch, height, width, 3] (or channels first), normalised, and returns
    ``softmax_tensor``, float32 [batch, num_classes]: probabilities, or the logits themselves.

    Args:
        weights: float32 arrays by PyTorch parameter and buffer name; copied.
        depths: Blocks in each of the four stages.
        channels_last: Whether images come as [batch, height, width, 3].
        probabilities: Whether a softmax comes last.

    Raises:
        KeyError: A weight is missing.
    """

    def __init__(
        self,
        weights: Mapping[str, npt.NDArray[Any]],
        *,
        depths: Sequence[int],
        channels_last: bool,
        probabilities: bool,
    ) -> None:
        super().__init__(name="resnet")
        self._depths = tuple(depths)
        self._channels_last, self._probabilities = channels_last, probabilities
        self._weights = {
            name: tf.Variable(_to_tensorflow(array), name=name, trainable=False)
            for name, array in weights.items()
            if not name.endswith("num_batches_tracked")
        }
        shape = [None, None, None, 3] if channels_last else [None, 3, None, None]
        image = tf.TensorSpec(shape, tf.float32, name="input_tensor")
        # Not as a decorator: that holds the module weakly, and build(weights).serve would outlive it.
        self.serve = tf.function(self._classify, input_signature=[image])

    def _classify(self, input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        image = input_tensor if self._channels_last else tf.transpose(input_tensor, [0, 2, 3, 1])
        features = tf.nn.relu(self._conv_bn(image, "conv1", "bn1", 2))  # [batch, 112, 112, 64]
        padded = tf.pad(features, _both_sides(1), constant_values=_LOWEST)
        features = tf.nn.max_pool2d(padded, 3, 2, "VALID")  # [batch, 56, 56, 64]
        for stage, blocks in enumerate(self._depths, start=1):
            for index in range(blocks):
                features = self._block(features, f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1)
        pooled = tf.reduce_mean(features, axis=[1, 2])  # [batch, 2048]
        logits = pooled @ self._weights["fc.weight"] + self._weights["fc.bias"]
        return {"softmax_tensor": tf.nn.softmax(logits) if self._probabilities else logits}

    def _block(self, features: tf.Tensor, prefix: str, stride: int) -> tf.Tensor:
        """Map [batch, h, w, in] to [batch, h / stride, w / stride, 4 * channels]."""
        residual = tf.nn.relu(self._conv_bn(features, f"{prefix}.conv1", f"{prefix}.bn1"))
        residual = tf.nn.relu(self._conv_bn(residual, f"{prefix}.conv2", f"{prefix}.bn2", stride))
        residual = self._conv_bn(residual, f"{prefix}.conv3", f"{prefix}.bn3")
        projection = f"{prefix}.downsample"
        if f"{projection}.0.weight" in self._weights:
            features = self._conv_bn(features, f"{projection}.0", f"{projection}.1", stride)
        return tf.nn.relu(residual + features)

    def _conv_bn(self, features: tf.Tensor, conv: str, norm: str, stride: int = 1) -> tf.Tensor:
        kernel = self._weights[f"{conv}.weight"]
        pad = kernel.shape[0] // 2
        padded = tf.pad(features, _both_sides(pad)) if pad else features
        return tf.nn.batch_normalization(
            tf.nn.conv2d(padded, kernel, strides=stride, padding="VALID"),
            mean=self._weights[f"{norm}.running_mean"],
            variance=self._weights[f"{norm}.running_var"],
            offset=self._weights[f"{norm}.bias"],
            scale=self._weights[f"{norm}.weight"],
            variance_epsilon=BATCH_NORM_EPSILON,
        )


def build(
    weights: Mapping[str, npt.NDArray[Any]],
    *,
    depths: Sequence[int] = (3, 4, 6, 3),
    num_classes: int = 1000,
    channels_last: bool = False,
    probabilities: bool = False,
) -> ResNet:
    """Return the network with the weights of its PyTorch twin.

    Args:
        weights: float32 arrays by PyTorch parameter and buffer name.
        depths: Blocks in each of the four stages; must be the weights' own.
        num_classes: Length of the logits; must be the weights' own.
        channels_last: Whether images come as [batch, height, width, 3].
        probabilities: Whether a softmax comes last.

    Raises:
        ValueError: The weights are of other depths or classes.
        KeyError: A weight is missing.
    """
    found = weights["fc.weight"].shape[0]
    more = [f"layer{stage}.{blocks}" for stage, blocks in enumerate(depths, start=1)]
    if found != num_classes or any(f"{each}.conv1.weight" in weights for each in more):
        raise ValueError(f"weights of {found} classes do not fit depths={tuple(depths)}, num_classes={num_classes}")
    return ResNet(weights, depths=depths, channels_last=channels_last, probabilities=probabilities)


def _both_sides(pad: int) -> list[list[int]]:
    return [[0, 0], [pad, pad], [pad, pad], [0, 0]]


def _to_tensorflow(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Turn OIHW into HWIO and [out, in] into [in, out]."""
    axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(array.ndim, tuple(range(array.ndim)))
    return np.ascontiguousarray(array.transpose(axes), dtype=np.float32)
