"""Photographs of every mode and orientation, from a file through the loader, against torchvision's own steps."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from tests.datasets.image_files import scene
from tests.datasets.test_image_pipelines import by_torchvision

from bytemlperf.datasets.image_pipelines import RESNET, SWIN
from bytemlperf.datasets.imagenet import ImageNet, ImageNetOptions
from bytemlperf.datasets.resnet_images import read_rgb
from bytemlperf.errors import DatasetError

SIZES = [(130, 97), (97, 130)]
ORIENTATIONS = range(1, 9)
MODES = {
    "1": "png", "L": "png", "LA": "png", "P": "png", "RGB": "png", "RGBA": "png", "CMYK": "tif", "YCbCr": "tif",
}  # fmt: skip
"""Modes, and a format without loss that holds them as they are."""


def as_colours(bands):
    """Return red, green and blue from luma and chroma, as JFIF defines them."""
    luma, blue, red = (bands[..., number].astype(float) for number in range(3))
    blue, red = blue - 128, red - 128
    return np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=2)


def right_colours(image, mode):
    """Return what a file of a mode shows, from its own bands, by arithmetic."""
    bands = np.asarray(image)
    match mode:
        case "1" | "L":
            return np.repeat(bands[..., np.newaxis] * (255 if mode == "1" else 1), 3, axis=2)
        case "LA":
            return np.repeat(bands[..., :1], 3, axis=2)
        case "P":
            return np.array(image.getpalette()).reshape(-1, 3)[bands]
        case "CMYK":
            return (255 - bands[..., :3].astype(float)) * (255 - bands[..., 3:].astype(float)) / 255
        case "YCbCr":
            return np.clip(as_colours(bands), 0, 255)
        case _:
            return bands[..., :3]


def in_mode(image, mode, rng):
    """Return a photograph in a mode, perhaps with transparency that shows if it is not dropped."""
    if mode == "P":
        return image.quantize(31)
    if mode in {"LA", "RGBA"}:
        alpha = Image.fromarray(rng.integers(0, 256, image.size[::-1], dtype=np.uint8))
        image = image.convert(mode[:-1])
        image.putalpha(alpha)
        return image
    return image.convert(mode)


def exif(orientation):
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def opened(folder, tensor, model, names, size):
    (folder / "val_map.txt").write_text("".join(f"{name} 0\n" for name in names))
    spec = model(tensor("image", ("batch", 3, size, size)))
    return ImageNet.open(spec, ImageNetOptions(path=str(folder), workers=2))


def check(folder, loader, pipeline):
    """Hold what is loaded against torchvision's steps on what its own way of opening gives."""
    names = loader.ids(range(len(loader)))
    for name, found in zip(names, loader.load(range(len(loader)))["image"], strict=True):
        with (folder / name).open("rb") as file, Image.open(file) as image:  # torchvision's pil_loader
            expected, std = by_torchvision(image.convert("RGB"), pipeline)
        levels = np.abs(found.transpose(1, 2, 0) - expected) * std * 255
        assert levels.max() <= 1, name


@pytest.mark.parametrize("pipeline", [RESNET, SWIN], ids=lambda each: each.name)
@pytest.mark.parametrize("mode", MODES)
def test_a_file_of_any_mode_is_loaded_as_torchvision_does(mode, pipeline, tmp_path, rng, tensor, model):  # noqa: PLR0917 - fixtures
    names = []
    for number, size in enumerate(SIZES):
        image = in_mode(scene(rng, size), mode, rng)
        names.append(f"{number}.{MODES[mode]}")
        image.save(tmp_path / names[-1])
        with Image.open(tmp_path / names[-1]) as kept:
            assert kept.mode == mode
        found = np.asarray(read_rgb(tmp_path / names[-1]))
        assert np.abs(found - right_colours(image, mode)).max() <= 1
    check(tmp_path, opened(tmp_path, tensor, model, names, pipeline.size), pipeline)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "YCbCr"])
def test_an_orientation_changes_nothing_whatever_it_is(mode, tmp_path, rng, tensor, model):
    image = scene(rng, SIZES[0]).convert(mode)
    names = [f"{orientation}.JPEG" for orientation in ORIENTATIONS]
    for orientation, name in zip(ORIENTATIONS, names, strict=True):
        image.save(tmp_path / name, "JPEG", quality=92, exif=exif(orientation))
        with Image.open(tmp_path / name) as kept:
            assert kept.getexif()[0x0112] == orientation
    loader = opened(tmp_path, tensor, model, names, 224)
    check(tmp_path, loader, RESNET)
    loaded = loader.load(range(8))["image"]
    assert (loaded == loaded[0]).all()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_orientation_of_a_png_changes_nothing(orientation, tmp_path, rng):
    image = scene(rng, SIZES[0])
    image.save(tmp_path / "a.png", exif=exif(orientation))
    np.testing.assert_array_equal(np.asarray(read_rgb(tmp_path / "a.png")), np.asarray(image))


def png(pixels, colour):
    """Write a PNG of 16 bits a channel, which Pillow reads and does not write."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


DEEP = {"grey": (1, 0), "colours": (3, 2), "grey and alpha": (2, 4), "colours and alpha": (4, 6)}


@pytest.mark.parametrize("kind", DEEP)
def test_more_than_8_bits_a_channel_are_refused_or_counted(kind, tmp_path, rng, tensor, model):
    channels, colour = DEEP[kind]
    (tmp_path / "deep.png").write_bytes(png(rng.integers(0, 2**16, (30, 40, channels)), colour))
    scene(rng, (40, 30)).save(tmp_path / "plain.png")
    with pytest.raises(DatasetError, match=r"cannot be read: deep\.png.*more than 8 bits a channel"):
        read_rgb(tmp_path / "deep.png")
    loader = opened(tmp_path, tensor, model, ["plain.png", "deep.png"], 224)
    with pytest.raises(DatasetError, match=r"deep\.png"):
        loader.load([0, 1])
    options = ImageNetOptions(path=str(tmp_path), skip_unusable=True)
    kept = ImageNet.open(model(tensor("image", ("batch", 3, 224, 224))), options)
    assert (kept.ids(range(len(kept))), len(kept.skipped)) == (("plain.png",), 1)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_a_mode_that_is_cut_off_when_it_is_converted_is_refused(mode, tmp_path):
    kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
    Image.fromarray(np.full((4, 5), 40_000, kind)).save(tmp_path / "deep.tif")
    with Image.open(tmp_path / "deep.tif") as kept:
        assert kept.mode == mode
    with pytest.raises(DatasetError, match=f"mode {mode}, more than 8 bits"):
        read_rgb(tmp_path / "deep.tif")
