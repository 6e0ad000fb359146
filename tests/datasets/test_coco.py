from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from tests.published_layouts import coco

from bytemlperf.datasets.coco import Coco, CocoOptions, letterboxed, placed
from bytemlperf.datasets.coco_files import read_coco
from bytemlperf.errors import DatasetError, DatasetUnavailableError, SpecError


@pytest.fixture(name="published")
def _published(tmp_path, rng):
    return coco(tmp_path / "coco", rng, count=6)


@pytest.fixture(name="annotations")
def _annotations(published, tmp_path):
    return tmp_path / "coco" / "annotations" / "instances_val2017.json"


def opened(published, **options):
    return Coco.open(published.spec, CocoOptions(**{**published.options, **options}))


def changed(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_labels_say_where_the_photograph_lies(published):
    loader = opened(published)
    truth = loader.labels([2])[0]
    assert (truth.image_id, truth.width, truth.height) == (2, 120, 80)
    assert truth.scale == pytest.approx(64 / 120)
    assert (truth.left, truth.top) == (0, round((64 - round(80 * 64 / 120)) / 2 - 0.1))
    assert truth.categories.tolist() == [0, 1, 0, 1]
    assert truth.boxes[1, [0, 2, 3]].tolist() == [33, 20, 25]
    assert (len(loader), loader.metrics, loader.ids([5])) == (6, ("map",), ("5",))


def test_photographs_are_put_into_the_middle_on_grey(published):
    image = opened(published, workers=2).load(range(6))["images"]
    assert (image.shape, image.dtype) == ((6, 3, 64, 64), np.float32)
    top = placed((120, 80), (64, 64))[1][1]
    grey = np.float32(114) / np.float32(255)
    assert (image[:, :, :top] == grey).all()
    assert (image[:, :, top + 43 :] == grey).all()
    assert 0 <= image.min() <= image.max() <= 1
    marked = Image.new("RGB", (64, 32), (9, 8, 7))
    pixels = np.asarray(letterboxed(marked, (64, 64)))
    assert (pixels[16:48] == (9, 8, 7)).all()
    assert (pixels[:16] == 114).all()


@pytest.mark.parametrize("size", [(640, 480), (481, 640), (37, 1000), (640, 640), (1, 500)])
def test_a_box_comes_back_from_the_models_image(size):
    scale, (left, top), (width, height) = placed(size, (640, 640))
    assert 0 <= left <= 640 - width
    assert 0 <= top <= 640 - height
    assert width == pytest.approx(size[0] * scale, abs=0.51) or width == 1
    assert height == pytest.approx(size[1] * scale, abs=0.51)


def test_the_last_images_may_be_held_out(published):
    loader = opened(published, held_out=2)
    assert (len(loader), loader.ids(loader.calibration())) == (4, ("4", "5"))
    assert loader.fingerprint() != opened(published).fingerprint()


def test_a_photograph_of_the_same_size_has_another_fingerprint(published, tmp_path):
    before = opened(published).fingerprint()
    assert opened(published).fingerprint() == before
    photograph = tmp_path / "coco" / "val2017" / f"{3:012d}.jpg"
    content = bytearray(photograph.read_bytes())
    content[-10] ^= 1
    photograph.write_bytes(content)
    assert opened(published).fingerprint() != before


def test_unreadable_images_are_named_or_left_out_and_counted(published, tmp_path):
    broken = tmp_path / "coco" / "val2017" / f"{3:012d}.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(DatasetError, match=broken.name):
        opened(published).load(range(6))
    loader = opened(published, skip_unusable=True)
    assert loader.ids(range(len(loader))) == ("0", "1", "2", "4", "5")
    assert [broken.name in each for each in loader.skipped] == [True]


def test_objects_are_those_of_the_file_in_its_order_whatever_the_order_of_images(tmp_path, rng):
    ids, kinds = (rng.permutation(500)[:300] * 7).tolist(), [90, 3, 44]
    records = [
        {
            "image_id": ids[rng.integers(0, 290)],
            "category_id": kinds[rng.integers(0, 3)],
            "bbox": [float(value) for value in rng.random(4)],
            "iscrowd": int(rng.integers(0, 2)),
        }
        for _ in range(9_000)
    ]
    document = {
        "annotations": records,
        "info": {"year": 2017},
        "categories": [{"id": number} for number in kinds],
        "images": [{"id": number, "file_name": f"{number}.jpg"} for number in ids],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    for number in ids:
        (tmp_path / f"{number}.jpg").touch()
    found = list(read_coco(tmp_path / "a.json", tmp_path, cache=str(tmp_path / "cache")))
    assert [image.image_id for image in found] == sorted(ids)
    assert [image.file.name for image in found] == [f"{number}.jpg" for number in sorted(ids)]
    for image in found:
        mine = [each for each in records if each["image_id"] == image.image_id]
        assert image.boxes.tolist() == [each["bbox"] for each in mine]
        assert image.categories.tolist() == [sorted(kinds).index(each["category_id"]) for each in mine]
        assert image.crowd.tolist() == [bool(each["iscrowd"]) for each in mine]
        assert image.areas.tolist() == [each["bbox"][2] * each["bbox"][3] for each in mine]
    some = read_coco(tmp_path / "a.json", tmp_path, cache=str(tmp_path / "cache")).without([0, 2])
    assert [image.image_id for image in some.of([1, 0])] == [sorted(ids)[3], sorted(ids)[1]]


BROKEN = {
    "in the place of an array": lambda path: changed(path, lambda found: found.update(images={})),
    "two members": lambda path: path.write_text('{"images": [], "images": []}'),
    "no member 'categories'": lambda path: changed(path, lambda found: found.pop("categories")),
    "OverflowError": lambda path: changed(path, lambda found: found["images"][0].update(id=2**70)),
    "no JSON": lambda path: path.write_text("{"),
    "none of COCO's": lambda path: path.write_text("[]"),
    "none of COCO": lambda path: path.write_text('{"images": [{}]}'),
    "has no image": lambda path: path.write_text('{"images": [], "categories": [], "annotations": []}'),
    "is of no image": lambda path: changed(path, lambda found: found["annotations"][3].update(image_id=99)),
    "cannot be used": lambda path: changed(path, lambda found: found["annotations"][3].update(bbox=[1, 2, 3])),
    "object cannot be used": lambda path: changed(path, lambda found: found["annotations"][3].update(category_id=11)),
    "an object cannot be used": lambda path: changed(path, lambda found: found["annotations"][3].pop("bbox")),
    "object cannot": lambda path: changed(path, lambda found: found["annotations"][3].update(bbox=[1, 2, -3, 4])),
}


@pytest.mark.parametrize("message", BROKEN)
def test_damaged_annotations_are_named(published, annotations, message):
    BROKEN[message](annotations)
    with pytest.raises(DatasetError, match=message) as caught:
        opened(published)
    assert caught.value.where.startswith(str(annotations))
    if "object" in message or "is of" in message:
        assert caught.value.where.endswith("annotations[3]")


def test_what_is_missing_or_does_not_fit_is_told(published, annotations, tmp_path, tensor, model):
    (tmp_path / "coco" / "val2017" / f"{1:012d}.jpg").unlink()
    with pytest.raises(DatasetUnavailableError, match="1 of 6 images are missing"):
        opened(published)
    annotations.unlink()
    with pytest.raises(DatasetUnavailableError, match="annotations are missing"):
        opened(published)
    with pytest.raises(SpecError, match="does not fit"):
        Coco.open(model(tensor("ids", ("batch", 4), "int64")), CocoOptions())
    with pytest.raises(SpecError, match="another preprocessing"):
        Coco.open(model(tensor("image", ("batch", 3, 64, 64)), preprocessing="clip/v1"), CocoOptions())
