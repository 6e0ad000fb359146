"""How photographs become a model's input: named, versioned, as torchvision's transforms do on PIL images.

Sources: https://github.com/pytorch/vision, references/classification (ResNet); https://github.com/microsoft/Swin-Transformer,
    data/build.py, and the checkpoint's own preprocessor on the hub (Swin at 384: the whole image, bicubic, no crop);
    https://github.com/openai/CLIP, clip/clip.py (CLIP).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from PIL import Image

from bytemlperf.datasets.resnet_images import MEAN, PREPROCESSING, SHORTER_SIDE, STD, resized_size
from bytemlperf.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from bytemlperf.spec import ModelSpec


@attrs.frozen(kw_only=True)
class ImagePipeline:
    """Resize, crop and normalise.

    Attributes:
        name: Name and version: any change of a pixel is another version.
        size: Height and width of the result.
        shorter: Pixels of the shorter side after resizing, before the centre is cut out; None resizes the whole image
            to a square, so that nothing is cut off and no border is added.
        resampling: Filter.
        mean: Of red, green and blue, 0 to 1.
        std: Of red, green and blue, 0 to 1.
    """

    name: str
    size: int
    shorter: int | None
    resampling: Image.Resampling
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def pixels(self, image: Image.Image) -> NDArray[np.float32]:
        """Return float32 [size, size, 3]: (pixel / 255 - mean) / std.

        Args:
            image: RGB, of any size.
        """
        pixels = np.empty((self.size, self.size, len(self.mean)), np.float32)
        self.write(image, pixels, channels_last=True)
        return pixels

    def write(self, image: Image.Image, out: NDArray[np.float32], *, channels_last: bool) -> None:
        """Do as `pixels` does, straight into the place where a batch is put together.

        Args:
            image: RGB, of any size.
            out: Contiguous float32 [size, size, 3], or [3, size, size].
            channels_last: Which of the two.
        """
        pixels = np.asarray(self.cropped(image))
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        if channels_last:  # whole lines at a time: numpy is slow where its innermost axis has three numbers
            lines, (mean, std) = out.reshape(self.size, -1), (np.tile(each, self.size) for each in (mean, std))
            _normalise(pixels.reshape(self.size, -1), lines, mean, std)
        else:
            for channel in range(len(mean)):
                _normalise(pixels[..., channel], out[channel], mean[channel], std[channel])

    def cropped(self, image: Image.Image) -> Image.Image:
        """Return the image at the result's size, before it is normalised."""
        if self.shorter is None:
            return image.resize((self.size, self.size), self.resampling)
        resized = image.resize(resized_size(image.size, shorter=self.shorter), self.resampling)
        left, top = round((resized.width - self.size) / 2), round((resized.height - self.size) / 2)
        return resized.crop((left, top, left + self.size, top + self.size))


def _normalise(
    pixels: NDArray[np.uint8],
    out: NDArray[np.float32],
    mean: NDArray[np.float32] | np.float32,
    std: NDArray[np.float32] | np.float32,
) -> None:
    """Write (pixel / 255 - mean) / std, each step rounded to float32."""
    np.divide(pixels, np.float32(255), out=out, dtype=np.float32)
    out -= mean
    out /= std


RESNET: Final = ImagePipeline(
    name=PREPROCESSING, size=224, shorter=SHORTER_SIDE, resampling=Image.Resampling.BILINEAR, mean=MEAN, std=STD
)
"""The evaluation preset of torchvision's first ResNet weights."""
SWIN: Final = ImagePipeline(
    name="imagenet-swin/v1", size=384, shorter=None, resampling=Image.Resampling.BICUBIC, mean=MEAN, std=STD
)
"""What Swin's checkpoints at 384 pixels are evaluated with."""
CLIP: Final = ImagePipeline(
    name="clip/v1",
    size=224,
    shorter=224,
    resampling=Image.Resampling.BICUBIC,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
"""What CLIP's checkpoints were trained with."""


def pipeline_of(spec: ModelSpec, pipelines: Iterable[ImagePipeline], *, dataset: str) -> ImagePipeline:
    """Return the pipeline that a model names, else the first of its size.

    Raises:
        SpecError: If there is none.
    """
    known = tuple(pipelines)
    lengths = {axis for tensor in spec.inputs for axis in tensor.shape}
    named = [each for each in known if spec.preprocessing == each.name]
    sized = [each for each in known if spec.preprocessing is None and each.size in lengths]
    if spec.preprocessing is not None and not named:
        raise SpecError(
            f"model {spec.name!r} wants another preprocessing than data set {dataset!r} does",
            got=spec.preprocessing,
            expected=" or ".join(each.name for each in known),
        )
    return (named or sized or known)[0]
