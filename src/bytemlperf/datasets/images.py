"""Where a model takes its image, and how its axes lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from bytemlperf.errors import SpecError
from bytemlperf.spec import Axis

if TYPE_CHECKING:
    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec


@attrs.frozen(kw_only=True)
class ImageInput:
    """The one input of an image classifier.

    Attributes:
        name: Canonical name.
        channels_last: Whether it is [batch, height, width, channels].
    """

    name: str
    channels_last: bool

    def from_channels_first(self, images: Array) -> Array:
        """Return contiguous images in the model's axes, from [n, channels, height, width]."""
        return np.ascontiguousarray(images.transpose(0, 2, 3, 1) if self.channels_last else images)


def image_input(
    spec: ModelSpec, *, channels: int, height: int, width: int, preprocessing: str, dataset: str
) -> ImageInput:
    """Find the input that takes an image.

    The model must have one input only, floating-point and of exactly the image's shape, so that its name
    does not matter and nothing is left to its position.

    Raises:
        SpecError: If it has not, or its images are preprocessed in another way.
    """
    first, last = (Axis(), channels, height, width), (Axis(), height, width, channels)
    tensor = spec.inputs[0] if len(spec.inputs) == 1 else None
    if tensor is None or not tensor.dtype.is_float or tensor.shape not in (first, last):
        raise SpecError(
            f"data set {dataset!r} does not fit model {spec.name!r}",
            got=[f"{each.name}: {each.dtype}{[str(axis) for axis in each.shape]}" for each in spec.inputs],
            expected=f"one floating-point input [batch, {channels}, {height}, {width}], or with channels last",
        )
    if spec.preprocessing not in (None, preprocessing):
        raise SpecError(
            f"model {spec.name!r} wants another preprocessing than data set {dataset!r} does",
            got=spec.preprocessing,
            expected=preprocessing,
        )
    return ImageInput(name=tensor.name, channels_last=tensor.shape != first)
