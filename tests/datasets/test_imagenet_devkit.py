"""The development kit says which images there are: one that is missing, or that it does not know, is told."""

from __future__ import annotations

import numpy as np
import pytest
from tests.datasets.image_files import names, photograph, write_devkit, write_tar

from bytemlperf.datasets.imagenet import ImageNet, ImageNetOptions
from bytemlperf.datasets.imagenet_devkit import devkit_labels
from bytemlperf.errors import DatasetError, DatasetUnavailableError

LABELS = [2, 0, 1, 0, 2]


@pytest.fixture(name="spec")
def _spec(tensor, model):
    return model(tensor("image", ("batch", 3, 224, 224)), outputs=[tensor("logits", ("batch", 1000))])


@pytest.fixture(name="content", scope="module")
def _content():
    return photograph(np.random.default_rng(5), (40, 30))


@pytest.fixture(name="kit")
def _kit(tmp_path):
    return write_devkit(tmp_path / "kit", LABELS)


@pytest.fixture(params=["folder", "archive"])
def write(request, tmp_path, content):
    """Write images as a folder or as an archive, and return its path."""

    def folder(listed):
        for name in listed:
            (tmp_path / "val" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "val" / name).write_bytes(content)
        return tmp_path / "val"

    def archive(listed):
        return write_tar(tmp_path / "val.tar", dict.fromkeys(listed, content))

    return {"folder": folder, "archive": archive}[request.param]


def opened(spec, path, kit, **options):
    return ImageNet.open(spec, ImageNetOptions(path=str(path), devkit=str(kit), **options))


def test_labels_are_places_among_the_sorted_wordnet_ids(spec, write, kit):
    loader = opened(spec, write(reversed(names(5))), kit)
    assert (loader.ids(range(5)), loader.labels(range(5)).tolist()) == (tuple(names(5)), LABELS)
    assert not loader.skipped


@pytest.mark.parametrize("absent", [1, 3, 5])
def test_an_image_that_is_missing_is_named_or_counted(spec, write, kit, absent):
    path = write([name for name in names(5) if name != names(5)[absent - 1]])
    with pytest.raises(DatasetUnavailableError, match="1 of 5 images of the development kit are missing") as caught:
        opened(spec, path, kit)
    assert (caught.value.where, caught.value.got) == (str(kit), names(5)[absent - 1])
    loader = opened(spec, path, kit, skip_unusable=True)
    assert loader.labels(range(4)).tolist() == [*LABELS[: absent - 1], *LABELS[absent:]]
    assert [each.partition(":")[0] for each in loader.skipped] == [names(5)[absent - 1]]


@pytest.mark.parametrize(
    "name", ["photo.jpg", "ILSVRC2012_val_00000006.JPEG", "ILSVRC2012_val_00000000.JPEG", "ILSVRC2012_val_00000003.jpg"]
)
def test_an_image_that_the_kit_does_not_know_is_named_or_counted(spec, write, kit, name):
    path = write([*names(5), name])
    with pytest.raises(DatasetError, match="no label in the development kit") as caught:
        opened(spec, path, kit)
    assert caught.value.got == name
    loader = opened(spec, path, kit, skip_unusable=True)
    assert len(loader) == 5
    assert [each.partition(":")[0] for each in loader.skipped] == [name]


def test_an_unreadable_image_is_counted_with_those_that_are_missing(spec, tmp_path, kit, content):
    (tmp_path / "val").mkdir()
    for name in names(4):
        (tmp_path / "val" / name).write_bytes(content[:100] if name == names(4)[1] else content)
    loader = opened(spec, tmp_path / "val", kit, skip_unusable=True)
    assert len(loader) == 3
    assert [names(5)[4] in loader.skipped[0], names(5)[1] in loader.skipped[1], len(loader.skipped)] == [True, True, 2]


def test_two_images_of_one_number_are_refused(kit):
    twice = [f"{folder}/{name}" for name in names(5) for folder in "ab"]
    with pytest.raises(DatasetError, match="two images have one number") as caught:
        list(devkit_labels(kit, lambda: twice, classes=None))
    assert caught.value.got == [f"a/{names(1)[0]}", f"b/{names(1)[0]}"]


def test_a_kit_with_more_classes_than_the_model_is_refused(kit):
    with pytest.raises(DatasetError, match="more classes than the model"):
        list(devkit_labels(kit, lambda: names(5), classes=2))
