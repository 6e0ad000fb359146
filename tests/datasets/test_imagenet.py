from __future__ import annotations

import threading
import weakref

import numpy as np
import pytest
from PIL import Image

from bytemlperf.datasets.batching import batches, waves
from bytemlperf.datasets.imagenet import ImageNet, ImageNetOptions
from bytemlperf.datasets.images import ImageInput
from bytemlperf.datasets.listed_files import LabelledFile
from bytemlperf.datasets.resnet_images import resnet_pixels
from bytemlperf.errors import DatasetError, DatasetUnavailableError, SpecError

FIRST = ImageInput(name="image", channels_last=False)


@pytest.fixture(name="spec")
def _spec(tensor, model):
    return model(
        tensor("image", ("batch", 3, 224, 224)),
        outputs=[tensor("logits", ("batch", 3))],
        preprocessing="imagenet-resnet/v1",
    )


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    """Three classes of noise, as PNG so that nothing is lost, in sizes that must be cut on either side."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(7)
    sizes = [(40, 30), (30, 40), (33, 33)]
    for label, name in enumerate(["n01", "n02", "n03"]):
        (folder / name).mkdir()
        for rank, (width, height) in enumerate(sizes[: label + 1]):
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{rank}.png")
    return folder


def open_at(folder, spec, **options):
    return ImageNet.open(spec, ImageNetOptions(path=str(folder), **options))


def test_images_and_labels_are_those_of_the_folder(folder, spec):
    loader = open_at(folder, spec, workers=2)
    names = ["n01/0.png", "n02/0.png", "n03/0.png", "n02/1.png", "n03/1.png", "n03/2.png"]
    image = loader.load(range(6))["image"]
    assert loader.ids(range(6)) == tuple(names)
    assert loader.labels(range(6)).tolist() == [0, 1, 2, 1, 2, 2]
    assert loader.labels([0]).dtype == np.int64
    assert (image.dtype, image.shape) == (np.float32, (6, 3, 224, 224))
    for row, name in zip(image, names, strict=True):
        with Image.open(folder / name) as file:
            np.testing.assert_array_equal(row, resnet_pixels(file.convert("RGB")).transpose(2, 0, 1))


def test_images_come_in_the_order_that_is_asked_for_whatever_the_threads(folder, spec):
    one, many = open_at(folder, spec, workers=1), open_at(folder, spec, workers=5)
    order = [5, 0, 3, 3, 1, 2, 4] * 5
    np.testing.assert_array_equal(many.load(order)["image"], one.load(range(6))["image"][order])


def test_channels_come_last_where_the_model_has_them_last(folder, spec, tensor, model):
    last = open_at(folder, model(tensor("pixels", ("batch", 224, 224, 3))))
    first = open_at(folder, spec)
    np.testing.assert_array_equal(last.load([1])["pixels"][0], np.moveaxis(first.load([1])["image"][0], 0, -1))


def test_a_model_with_a_background_class_has_labels_one_higher(folder, tensor, model):
    (folder / "val_map.txt").write_text("n01/0.png 0\nn02/0.png 999\n", encoding="utf-8")
    try:
        image = tensor("image", ("batch", 3, 224, 224))
        for classes, labels in ((1001, [1, 1000]), (1000, [0, 999])):
            spec = model(image, outputs=[tensor("logits", ("batch", classes))])
            assert open_at(folder, spec).labels([0, 1]).tolist() == labels
        with pytest.raises(DatasetError, match="a label below 3"):
            open_at(folder, model(image, outputs=[tensor("logits", ("batch", 3))]))
        assert len(open_at(folder, model(image))) == 2
    finally:
        (folder / "val_map.txt").unlink()


def test_synsets_may_be_named_relative_to_the_folder(folder, spec):
    (folder / "order.txt").write_text("n03\nn01\nn02\n", encoding="utf-8")
    try:
        assert open_at(folder, spec, synsets="order.txt").labels(range(3)).tolist() == [0, 1, 2]
        assert open_at(folder, spec, synsets="order.txt").ids([0]) == ("n03/0.png",)
    finally:
        (folder / "order.txt").unlink()


def test_a_damaged_image_is_named_and_the_others_can_be_read(tmp_path, spec):
    for name in ("n01", "n02", "n03"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (50, 50)).save(tmp_path / name / "a.jpg")
    whole = (tmp_path / "n02" / "a.jpg").read_bytes()
    (tmp_path / "n02" / "a.jpg").write_bytes(whole[: len(whole) // 2])
    loader = open_at(tmp_path, spec, workers=2)
    with pytest.raises(DatasetError, match=r"cannot be read: a\.jpg") as caught:
        loader.load([0, 1, 2])
    assert caught.value.where == str(tmp_path / "n02" / "a.jpg")
    assert loader.load([0, 2])["image"].shape == (2, 3, 224, 224)


class Reader:
    """Gives images that do not exist, and counts how many are alive at once."""

    def __init__(self, *, together=1):
        self.alive = 0
        self.most = 0
        self.calls = 0
        self._lock = threading.Lock()
        self._together = threading.Barrier(together, timeout=20)

    def __call__(self, path):
        image = Image.new("RGB", (256, 256), (int(path.stem), 0, 0))
        with self._lock:
            self.alive += 1
            self.calls += 1
            self.most = max(self.most, self.alive)
        weakref.finalize(image, self._gone)
        self._together.wait()
        return image

    def _gone(self):
        with self._lock:
            self.alive -= 1


def made_of(reader, tmp_path, *, count, workers):
    files = [LabelledFile(name=f"{index}.jpg", label=0, size_bytes=1) for index in range(count)]
    return ImageNet(tmp_path, files, to=FIRST, workers=workers, read=reader)


def test_no_more_images_are_alive_than_there_are_workers(tmp_path):
    reader = Reader()
    image = made_of(reader, tmp_path, count=60, workers=3).load(range(60))["image"]
    assert reader.calls == 60
    assert 1 <= reader.most <= 3
    red = np.round((image[:, 0, 0, 0] * 0.229 + 0.485) * 255)
    assert red.tolist() == list(range(60))


def test_workers_decode_at_the_same_time(tmp_path):
    reader = Reader(together=3)  # a reader returns only when two others read, too
    made_of(reader, tmp_path, count=12, workers=3).load(range(12))
    assert reader.most == 3


def test_after_an_error_no_further_image_is_read(tmp_path):
    calls = []

    def read(path):
        calls.append(path)
        raise DatasetError("damaged")

    with pytest.raises(DatasetError, match="damaged"):
        made_of(read, tmp_path, count=500, workers=2).load(range(500))
    assert len(calls) <= 2


def test_a_slow_image_holds_up_no_other(tmp_path):
    last = threading.Event()
    seen_while_the_first_was_read = []

    def read(path):
        if path.stem == "19":
            last.set()
        if path.stem == "0":
            seen_while_the_first_was_read.append(last.wait(60))
        return Image.new("RGB", (256, 256))

    made_of(read, tmp_path, count=20, workers=2).load(range(20))
    assert seen_while_the_first_was_read == [True]


def test_of_several_errors_that_of_the_first_image_is_raised(tmp_path):
    second = threading.Event()

    def read(path):
        if path.stem == "0":
            second.wait(60)
        second.set()
        raise DatasetError(f"damaged {path.stem}")

    with pytest.raises(DatasetError, match="damaged 0"):
        made_of(read, tmp_path, count=20, workers=2).load(range(20))


def test_no_thread_is_left(folder, spec):
    before = set(threading.enumerate())
    open_at(folder, spec, workers=4).load(range(6))
    assert set(threading.enumerate()) <= before


def test_waves_hold_a_whole_data_set_in_bounded_memory(tmp_path, tensor):
    reader = Reader()
    loader = made_of(reader, tmp_path, count=23, workers=2)
    spec = tensor("image", ("batch", 3, 224, 224))
    seen = []
    for wave in waves(loader, [spec], range(23), batch_size=2, max_bytes=8 * 602112):
        assert sum(array.nbytes for array in wave.inputs.values()) <= 8 * 602112
        seen += wave.samples[wave.samples >= 0].tolist()
    assert seen == list(range(23))
    assert reader.calls == 23
    assert reader.most <= 2


def test_images_make_batches(folder, spec):
    loader = open_at(folder, spec)
    made = batches(loader, spec.inputs, range(5), batch_size=4)
    assert made.inputs["image"].shape == (2, 4, 3, 224, 224)
    assert made.padding.tolist() == [0, 3]


def test_the_fingerprint_covers_names_labels_and_contents(tmp_path):
    def fingerprint(*files):
        for name, _, content in files:
            (tmp_path / name).write_bytes(content)
        made = [LabelledFile(name=name, label=label, size_bytes=len(content)) for name, label, content in files]
        return ImageNet(tmp_path, made, to=FIRST).fingerprint()

    same = fingerprint(("a", 0, b"12345"), ("b", 1, b"123456"))
    others = [
        fingerprint(("a", 0, b"12345")),
        fingerprint(("b", 1, b"123456"), ("a", 0, b"12345")),
        fingerprint(("c", 0, b"12345"), ("b", 1, b"123456")),
        fingerprint(("a", 1, b"12345"), ("b", 1, b"123456")),
        fingerprint(("a", 0, b"12346"), ("b", 1, b"123456")),
    ]
    assert len({same, *others}) == 6
    assert same == fingerprint(("a", 0, b"12345"), ("b", 1, b"123456"))


def test_without_a_folder_the_layout_is_told(spec):
    with pytest.raises(DatasetUnavailableError, match=r"come with no package.*n01440764.*option `path`"):
        ImageNet.open(spec, ImageNetOptions())


def test_a_missing_folder_is_named(spec, tmp_path):
    with pytest.raises(DatasetUnavailableError, match="are missing") as caught:
        open_at(tmp_path / "none", spec)
    assert caught.value.where == str(tmp_path / "none")


def test_another_size_or_preprocessing_is_refused(folder, tensor, model):
    with pytest.raises(SpecError, match="'imagenet2012' does not fit"):
        open_at(folder, model(tensor("image", ("batch", 3, 299, 299))))
    with pytest.raises(SpecError, match=r"wants another preprocessing than .* got 'imagenet-other/v1'"):
        open_at(folder, model(tensor("image", ("batch", 3, 224, 224)), preprocessing="imagenet-other/v1"))


@pytest.mark.parametrize("index", [-1, 6])
def test_an_index_outside_the_folder_is_refused(folder, spec, index):
    loader = open_at(folder, spec)
    for ask in (loader.load, loader.labels, loader.ids):
        with pytest.raises(DatasetError, match="no such sample"):
            ask([index])


def test_it_says_what_it_is(folder, spec):
    loader = open_at(folder, spec)
    assert (loader.name, loader.metrics, len(loader)) == ("imagenet2012", ("top1",), 6)
    assert loader.preprocessing == "imagenet-resnet/v1"
    assert tuple(loader.calibration()) == ()
