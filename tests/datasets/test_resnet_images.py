from __future__ import annotations

import contextlib
import io
import math
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bytemlperf.datasets.resnet_images import crop_offset, read_rgb, resized_size, resnet_pixels
from bytemlperf.errors import DatasetError

BITS = 22
"""Pillow resamples 8-bit images with weights of that many bits after the point."""


def weights_of(source, target):
    """Return [target, source] integer weights of a triangle filter that is widened when it shrinks."""
    scale = source / target
    wide = max(scale, 1.0)
    table = np.zeros((target, source), np.int64)
    for out in range(target):
        centre = (out + 0.5) * scale
        low, high = max(0, int(centre - wide + 0.5)), min(source, int(centre + wide + 0.5))
        weights = [max(0.0, 1 - abs((place - centre + 0.5) / wide)) for place in range(low, high)]
        table[out, low:high] = [math.floor(weight / sum(weights) * 2**BITS + 0.5) for weight in weights]
    return table


def slow_resize(pixels, width, height):
    """Resize [height, width, 3] in two passes, each rounded to 8 bits: across, then down."""
    half = 1 << (BITS - 1)
    across = np.einsum("ow,hwc->hoc", weights_of(pixels.shape[1], width), pixels.astype(np.int64))
    across = np.clip((across + half) >> BITS, 0, 255)
    down = np.einsum("oh,hwc->owc", weights_of(pixels.shape[0], height), across)
    return np.clip((down + half) >> BITS, 0, 255).astype(np.uint8)


def slow_pixels(pixels):
    """Do what the published preset does, with formulas of its own and torch's arithmetic."""
    height, width = pixels.shape[:2]
    size = (256, int(256 * height / width)) if width <= height else (int(256 * width / height), 256)
    resized = slow_resize(pixels, *size)
    top, left = int(round((size[1] - 224) / 2.0)), int(round((size[0] - 224) / 2.0))  # noqa: RUF046 - as published
    cropped = torch.from_numpy(resized[top : top + 224, left : left + 224].copy()).permute(2, 0, 1)
    scaled = cropped.to(torch.float32).div(255)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return scaled.sub_(mean[:, None, None]).div_(std[:, None, None]).permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    ("height", "width"), [(375, 500), (500, 375), (300, 300), (256, 256), (100, 130), (257, 700), (2, 3), (224, 224)]
)
def test_pixels_are_those_of_the_published_preset(rng, height, width):
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = resnet_pixels(Image.fromarray(pixels))
    assert (found.dtype, found.shape) == (np.float32, (224, 224, 3))
    np.testing.assert_array_equal(found, slow_pixels(pixels))


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000))
def test_the_shorter_side_becomes_256_and_the_shape_is_kept(width, height):
    found = resized_size((width, height), shorter=256)
    assert min(found) == 256
    assert found == resized_size((height, width), shorter=256)[::-1]
    longer, shorter = max(width, height), min(width, height)
    assert max(found) == 256 * longer // shorter
    assert (found[0] >= found[1]) == (width >= height) or found[0] == found[1]


@settings(deadline=None)
@given(st.integers(224, 10000))
def test_the_crop_is_central_to_half_a_pixel(length):
    before, after = crop_offset(length), length - 224 - crop_offset(length)
    assert before >= 0
    assert abs(before - after) <= 1
    assert isinstance(before, int)


@pytest.mark.parametrize(("length", "offset"), [(225, 0), (227, 2), (229, 2), (341, 58), (343, 60), (256, 16)])
def test_half_a_pixel_goes_to_the_even_number(length, offset):
    assert crop_offset(length) == offset


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(name="photo", scope="module")
def _photo():
    across, down = np.meshgrid(np.linspace(0, 255, 90), np.linspace(0, 255, 70))
    return Image.fromarray(np.stack([across, down, (across + down) / 2], axis=2).astype(np.uint8))


def test_a_png_is_read_as_it_was_written(tmp_path, photo):
    photo.save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(read_rgb(tmp_path / "a.png")), np.asarray(photo))


def test_a_jpeg_is_read_to_within_its_loss(tmp_path, photo):
    photo.save(tmp_path / "a.jpg", quality=95)
    difference = np.asarray(read_rgb(tmp_path / "a.jpg"), float) - np.asarray(photo, float)
    assert np.abs(difference).mean() < 2


def test_grey_becomes_three_equal_channels(tmp_path, photo):
    grey = photo.convert("L")
    grey.save(tmp_path / "a.jpg")
    grey.save(tmp_path / "a.png")
    for name in ("a.jpg", "a.png"):
        found = np.asarray(read_rgb(tmp_path / name))
        assert (found == found[:, :, :1]).all()
    np.testing.assert_array_equal(found[:, :, 0], np.asarray(grey))


def test_transparency_is_dropped(tmp_path, photo):
    clear = photo.copy()
    clear.putalpha(Image.linear_gradient("L").resize(photo.size))
    clear.save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(read_rgb(tmp_path / "a.png")), np.asarray(photo))


def test_cmyk_is_converted_without_a_profile(tmp_path, photo):
    photo.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as file:
        assert file.mode == "CMYK"
        cyan, magenta, yellow, black = (np.asarray(band, float) for band in file.split())
    expected = np.stack([(255 - band) * (255 - black) / 255 for band in (cyan, magenta, yellow)], axis=2)
    assert np.abs(np.asarray(read_rgb(tmp_path / "a.jpg"), float) - expected).max() <= 1


def test_a_palette_is_looked_up(tmp_path, photo):
    photo.quantize(16).save(tmp_path / "a.png")
    found = read_rgb(tmp_path / "a.png")
    assert found.mode == "RGB"
    assert len(found.getcolors()) == 16


def test_an_orientation_in_exif_changes_nothing(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    photo.save(tmp_path / "turned.jpg", exif=exif)
    photo.save(tmp_path / "plain.jpg")
    turned, plain = read_rgb(tmp_path / "turned.jpg"), read_rgb(tmp_path / "plain.jpg")
    assert turned.size == photo.size
    np.testing.assert_array_equal(np.asarray(turned), np.asarray(plain))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.95])
def test_a_file_that_is_cut_off_is_named(tmp_path, photo, kind, share):
    whole = encoded(photo, kind)
    path = tmp_path / "cut off.jpg"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DatasetError, match=r"cannot be read: cut off\.jpg") as caught:
        read_rgb(path)
    assert caught.value.where == str(path)
    assert caught.value.__cause__ is not None


def test_a_text_is_no_image(tmp_path):
    (tmp_path / "a.jpg").write_text("not an image")
    with pytest.raises(DatasetError, match=r"a\.jpg.*UnidentifiedImageError"):
        read_rgb(tmp_path / "a.jpg")


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"gone\.jpg.*FileNotFoundError"):
        read_rgb(tmp_path / "gone.jpg")


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"]), st.data())
def test_a_damaged_file_is_an_image_or_a_typed_error(tmp_path_factory, photo, kind, data):
    damaged = bytearray(encoded(photo, kind))
    # The first bytes say how large the image is; any size would be tried.
    places = st.integers(len(damaged) // 3, len(damaged) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=20)):
        damaged[place] = value
    path = tmp_path_factory.mktemp("damaged") / "a.jpg"
    path.write_bytes(damaged)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow also warns of some damage that it can bear
        with contextlib.suppress(DatasetError):
            assert read_rgb(path).mode == "RGB"


def test_an_image_that_would_fill_the_memory_is_refused(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")))
    with pytest.raises(DatasetError, match=r"bomb\.png.*DecompressionBombError"):
        read_rgb(path)
