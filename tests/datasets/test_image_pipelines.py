"""Pixels are those of torchvision's transforms on PIL images, written out here with PIL and plain arithmetic."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tests.datasets.image_files import names, photograph, write_devkit, write_tar

from bytemlperf.datasets.image_pipelines import CLIP, RESNET, SWIN
from bytemlperf.datasets.imagenet import ImageNet, ImageNetOptions
from bytemlperf.errors import DatasetError, DatasetUnavailableError, SpecError

SIZES = [(500, 375), (375, 500), (224, 224), (640, 97), (97, 640), (50, 41), (1024, 1023), (385, 384)]
MODES = ["RGB", "L", "CMYK"]


def by_torchvision(image, pipeline):
    """Resize, CenterCrop, ToTensor, Normalize; as functional.py computes sizes and offsets."""
    image = image.convert("RGB")
    width, height = image.size
    if pipeline is SWIN:
        image = image.resize((384, 384), Image.Resampling.BICUBIC)
    else:
        short = 256 if pipeline is RESNET else 224
        long = int(short * max(width, height) / min(width, height))
        size = (short, long) if width <= height else (long, short)
        image = image.resize(size, Image.Resampling.BILINEAR if pipeline is RESNET else Image.Resampling.BICUBIC)
        top, left = round((image.height - 224) / 2.0), round((image.width - 224) / 2.0)
        image = image.crop((left, top, left + 224, top + 224))
    mean = (0.48145466, 0.4578275, 0.40821073) if pipeline is CLIP else (0.485, 0.456, 0.406)
    std = (0.26862954, 0.26130258, 0.27577711) if pipeline is CLIP else (0.229, 0.224, 0.225)
    return (np.asarray(image, np.float64) / 255 - mean) / std, std


@pytest.mark.parametrize("pipeline", [RESNET, SWIN, CLIP], ids=lambda each: each.name)
@pytest.mark.parametrize("mode", MODES)
def test_pixels_are_those_of_torchvision(rng, pipeline, mode):
    for number, size in enumerate(SIZES if mode == "RGB" else SIZES[1:5]):
        file = photograph(rng, size, mode, orientation=number % 8 + 1)
        with Image.open(io.BytesIO(file)) as image:
            expected, std = by_torchvision(image, pipeline)
            found = pipeline.pixels(image.convert("RGB"))
        assert found.dtype == np.float32
        assert (np.abs(found - expected) * std * 255).max() <= 1


def test_nothing_of_an_image_at_384_is_cut_off_and_no_border_is_black():
    white = Image.new("RGB", (700, 300), (255, 255, 255))
    pixels = SWIN.pixels(white)
    assert pixels.shape == (384, 384, 3)
    assert np.ptp(pixels.reshape(-1, 3), axis=0).max() == 0
    marked = white.copy()
    marked.putpixel((0, 0), (0, 0, 0))
    assert SWIN.pixels(marked)[0, 0, 0] < pixels[0, 0, 0]


@pytest.fixture(name="spec")
def _spec(tensor, model):
    return model(tensor("image", ("batch", 3, 224, 224)), outputs=[tensor("logits", ("batch", 1000))])


def test_a_model_at_384_gets_swins_preprocessing(rng, tensor, model, tmp_path):
    (tmp_path / "a.JPEG").write_bytes(photograph(rng, (500, 375)))
    (tmp_path / "val_map.txt").write_text("a.JPEG 7\n")
    for named in ({}, {"preprocessing": "imagenet-swin/v1"}):
        spec = model(tensor("pixel_values", ("batch", 3, 384, 384)), **named)
        loader = ImageNet.open(spec, ImageNetOptions(path=str(tmp_path)))
        assert loader.preprocessing == "imagenet-swin/v1"
        with Image.open(tmp_path / "a.JPEG") as image:
            expected = SWIN.pixels(image.convert("RGB")).transpose(2, 0, 1)
        np.testing.assert_array_equal(loader.load([0])["pixel_values"][0], expected)
    with pytest.raises(SpecError, match="another preprocessing"):
        ImageNet.open(model(tensor("x", ("batch", 3, 384, 384)), preprocessing="clip/v1"), ImageNetOptions())


@pytest.fixture(name="photographs")
def _photographs(rng):
    return {name: photograph(rng, (40, 30)) for name in names(5)}


@pytest.fixture(name="archive")
def _archive(tmp_path, photographs):
    return write_tar(tmp_path / "ILSVRC2012_img_val.tar", dict(reversed(photographs.items())))


def test_an_archive_with_the_development_kit_is_the_folder(spec, tmp_path, photographs, archive):
    labels = [2, 0, 1, 0, 2]
    write_devkit(tmp_path / "kit", labels)
    folder = tmp_path / "val"
    folder.mkdir()
    for name, content in photographs.items():
        (folder / name).write_bytes(content)
    packed = ImageNet.open(spec, ImageNetOptions(path=str(archive), devkit="kit", workers=2))
    loose = ImageNet.open(spec, ImageNetOptions(path=str(folder), devkit=str(tmp_path / "kit")))
    assert packed.ids(range(5)) == loose.ids(range(5)) == tuple(names(5))
    assert packed.labels(range(5)).tolist() == loose.labels(range(5)).tolist() == labels
    np.testing.assert_array_equal(packed.load([4, 0])["image"], loose.load([4, 0])["image"])
    assert packed.fingerprint() == loose.fingerprint()
    content = bytearray(archive.read_bytes())
    content[content.index(photographs[names(1)[0]]) + 300] ^= 1
    archive.write_bytes(content)
    again = ImageNet.open(spec, ImageNetOptions(path=str(archive), devkit="kit"))
    assert again.fingerprint() != loose.fingerprint()


def test_an_archive_with_a_list_has_the_lists_order(spec, archive):
    (archive.parent / "val_map.txt").write_text(f"{names(3)[2]} 5\n{names(3)[0]} 999\n")
    loader = ImageNet.open(spec, ImageNetOptions(path=str(archive)))
    assert (loader.ids([0, 1]), loader.labels([0, 1]).tolist()) == ((names(3)[2], names(3)[0]), [5, 999])
    (archive.parent / "val_map.txt").write_text("none.JPEG 5\n")
    with pytest.raises(DatasetUnavailableError, match="1 of 1 images"):
        ImageNet.open(spec, ImageNetOptions(path=str(archive)))


def test_a_damaged_archive_or_kit_is_named(spec, tmp_path, archive):
    write_devkit(tmp_path / "kit", [0, 1])
    with pytest.raises(DatasetError, match="no label in the development kit"):
        ImageNet.open(spec, ImageNetOptions(path=str(archive), devkit="kit"))
    with pytest.raises(DatasetUnavailableError, match="development kit is missing"):
        ImageNet.open(spec, ImageNetOptions(path=str(archive), devkit="nowhere"))
    truth = tmp_path / "kit" / "data" / "ILSVRC2012_validation_ground_truth.txt"
    truth.write_text("9\n" * 5)
    with pytest.raises(DatasetError, match="no class of the kit"):
        ImageNet.open(spec, ImageNetOptions(path=str(archive), devkit="kit"))
    (tmp_path / "kit" / "data" / "meta.mat").write_bytes(b"none")
    with pytest.raises(DatasetError, match="table of classes cannot be read"):
        ImageNet.open(spec, ImageNetOptions(path=str(archive), devkit="kit"))
    archive.write_bytes(b"no archive" * 100)
    with pytest.raises(DatasetError, match="archive cannot be read"):
        ImageNet.open(spec, ImageNetOptions(path=str(archive)))


def test_the_last_images_may_be_held_out(spec, archive):
    (archive.parent / "val_map.txt").write_text("".join(f"{name} 1\n" for name in names(5)))
    loader = ImageNet.open(spec, ImageNetOptions(path=str(archive), held_out=2))
    assert (len(loader), list(loader.calibration())) == (3, [3, 4])
    assert not set(loader.ids(range(3))) & set(loader.ids(loader.calibration()))
    assert loader.load(loader.calibration())["image"].shape == (2, 3, 224, 224)
    assert loader.fingerprint() != ImageNet.open(spec, ImageNetOptions(path=str(archive))).fingerprint()


def test_unreadable_images_are_named_or_left_out_and_counted(spec, tmp_path, photographs):
    for name, content in photographs.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "deep.png").write_bytes(b"")
    Image.fromarray(np.full((30, 40), 4000, np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / names(5)[1]).write_bytes(photographs[names(5)[1]][:300])
    listed = [*names(5), "deep.png"]
    (tmp_path / "val_map.txt").write_text("".join(f"{name} {label}\n" for label, name in enumerate(listed)))
    loader = ImageNet.open(spec, ImageNetOptions(path=str(tmp_path)))
    assert len(loader) == 6
    with pytest.raises(DatasetError, match=r"deep\.png.*more than 8 bits"):
        loader.load([5])
    with pytest.raises(DatasetError, match=names(5)[1]):
        loader.load(range(6))
    kept = ImageNet.open(spec, ImageNetOptions(path=str(tmp_path), skip_unusable=True))
    assert kept.labels(range(len(kept))).tolist() == [0, 2, 3, 4]
    assert [name in text for name, text in zip([names(5)[1], "deep.png"], kept.skipped, strict=True)] == [True, True]
    assert kept.load(range(4))["image"].shape == (4, 3, 224, 224)
    for name in listed:
        (tmp_path / name).write_bytes(b"none")
    with pytest.raises(DatasetError, match="no image can be read"):
        ImageNet.open(spec, ImageNetOptions(path=str(tmp_path), skip_unusable=True))
