"""The preprocessing that ResNet checkpoints of torchvision are evaluated with.

Source: https://github.com/pytorch/vision/tree/main/references/classification, the evaluation preset of ResNet's
    first weights: Resize(256), CenterCrop(224), ToTensor, Normalize, on PIL images.
"""

from __future__ import annotations

import struct
import zlib
from typing import IO, TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PREPROCESSING: Final = "imagenet-resnet/v1"
"""Name and version: any change of a pixel is another version."""
SHORTER_SIDE: Final = 256
"""Pixels of the shorter side after resizing."""
CROP: Final = 224
"""Pixels of each side that are kept, from the centre."""
MEAN: Final = (0.485, 0.456, 0.406)
"""Of red, green and blue over ImageNet's training images, 0 to 1."""
STD: Final = (0.229, 0.224, 0.225)
"""Of red, green and blue over ImageNet's training images."""

# Converting these cuts values off in the place of scaling them.
_DEEP: Final = frozenset({"F", "I", "I;16", "I;16B", "I;16L", "I;16N"})
# How Pillow names the layout of a file's colours of 16 bits: RGB;16B.
_DEEP_RAW: Final = ";16"
# Whatever Pillow's readers raise on a file that is cut off or damaged.
_UNREADABLE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def read_rgb(path: Path) -> Image.Image:
    """Decode a whole file to red, green and blue, 8 bits each, as torchvision's own loader does.

    Grey becomes three equal channels, CMYK is converted without a profile, transparency is dropped, and an
    orientation in EXIF changes nothing.

    Raises:
        DatasetError: If it is no image, is cut off or damaged, or has more than 8 bits a channel; names the file.
    """
    return decode_rgb(path, path)


def decode_rgb(file: Path | IO[bytes], path: Path) -> Image.Image:
    """Do as `read_rgb` does with an open file.

    Args:
        file: What is decoded.
        path: Its name for messages.

    Raises:
        DatasetError: As `read_rgb`.
    """
    try:
        with Image.open(file) as image:
            if image.mode in _DEEP or _has_deep_colours(image):
                raise _unreadable(path, f"mode {image.mode}, more than 8 bits a channel", "8 bits a channel")
            if image.mode == "RGB":  # as it is: a conversion to the same mode would copy every pixel
                image.load()
                return image
            return image.convert("RGB")
    except _UNREADABLE as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}", "a whole JPEG or PNG file") from error


def _has_deep_colours(image: Image.Image) -> bool:
    """Whether a file has 16 bits a channel of colours, of which Pillow would drop the lower 8 unseen."""
    return any(_DEEP_RAW in str(tile.args) for tile in getattr(image, "tile", ()))


def _unreadable(path: Path, got: str, expected: str) -> DatasetError:
    return DatasetError(f"an image cannot be read: {path.name}", where=str(path), got=got, expected=expected)


def resnet_pixels(image: Image.Image) -> NDArray[np.float32]:
    """Resize, crop and normalise an RGB image.

    Returns:
        float32 [224, 224, 3]: (pixel / 255 - mean) / std.
    """
    resized = image.resize(resized_size(image.size, shorter=SHORTER_SIDE), Image.Resampling.BILINEAR)
    left, top = crop_offset(resized.width), crop_offset(resized.height)
    cropped = resized.crop((left, top, left + CROP, top + CROP))
    pixels = np.asarray(cropped, dtype=np.float32) / np.float32(255)
    pixels -= np.asarray(MEAN, dtype=np.float32)
    pixels /= np.asarray(STD, dtype=np.float32)
    return pixels


def resized_size(size: tuple[int, int], *, shorter: int) -> tuple[int, int]:
    """Return width and height with that shorter side; the longer one is rounded down.

    Example:
        >>> resized_size((500, 375), shorter=256)
        (341, 256)
    """
    width, height = size
    longer = int(shorter * max(size) / min(size))
    return (longer, shorter) if height <= width else (shorter, longer)


def crop_offset(length: int) -> int:
    """Return where the central crop begins; a half goes to the even number, as Python rounds.

    Example:
        >>> crop_offset(341), crop_offset(343), crop_offset(345)
        (58, 60, 60)
    """
    return round((length - CROP) / 2)
