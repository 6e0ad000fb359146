from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bytemlperf.datasets.base import DatasetOptions
from bytemlperf.datasets.digits import Digits, read_digits
from bytemlperf.datasets.images import ImageInput
from bytemlperf.errors import DatasetError, DatasetUnavailableError, SpecError


@pytest.fixture(name="spec")
def _spec(tensor, model):
    return model(tensor("image", ("batch", 1, 8, 8)), outputs=[tensor("logits", ("batch", 10))])


@pytest.fixture(name="digits")
def _digits(spec):
    return Digits.open(spec, DatasetOptions())


@pytest.fixture(name="published", scope="module")
def _published():
    return load_digits()


def test_the_last_360_published_images_are_evaluated(digits, published):
    everything = range(len(digits))
    image = digits.load(everything)["image"]
    assert len(digits) == 360
    assert (image.dtype, image.shape) == (np.float32, (360, 1, 8, 8))
    np.testing.assert_array_equal(image[:, 0], (published.images[-360:] / 16).astype(np.float32))
    np.testing.assert_array_equal(digits.labels(everything), published.target[-360:])
    assert digits.labels(everything).dtype == np.int64


def test_the_first_1437_published_images_are_for_calibration(digits, published):
    chosen = digits.calibration()
    assert len(chosen) == 1437
    assert min(chosen) == len(digits)
    np.testing.assert_array_equal(digits.load(chosen)["image"][:, 0] * 16, published.images[:1437])


def test_ids_are_positions_in_the_published_file_and_the_splits_share_none(digits):
    held_out, training = digits.ids(range(360)), digits.ids(digits.calibration())
    assert held_out[0] == "digits/1437"
    assert held_out[-1] == "digits/1796"
    assert training[0] == "digits/0"
    assert training[-1] == "digits/1436"
    assert not set(held_out) & set(training)
    assert len(set(held_out) | set(training)) == 1797


def test_images_come_in_the_order_that_is_asked_for(digits):
    whole = digits.load(range(360))["image"]
    np.testing.assert_array_equal(digits.load([7, 0, 7])["image"], whole[[7, 0, 7]])


def test_channels_come_last_where_the_model_has_them_last(digits, tensor, model):
    other = Digits.open(model(tensor("input_1", ("batch", 8, 8, 1))), DatasetOptions())
    np.testing.assert_array_equal(other.load([3])["input_1"][..., 0], digits.load([3])["image"][:, 0])


@pytest.mark.parametrize("index", [-1, 1797])
def test_an_index_outside_the_file_is_refused(digits, index):
    for ask in (digits.load, digits.labels, digits.ids):
        with pytest.raises(DatasetError, match="no such sample"):
            ask([index])


def test_another_models_input_is_refused(tensor, model):
    with pytest.raises(SpecError, match="'digits' does not fit"):
        Digits.open(model(tensor("image", ("batch", 3, 224, 224))), DatasetOptions())


def test_the_fingerprint_changes_with_any_pixel_or_label(published):
    images, labels = published.images.astype(np.uint8), published.target.astype(np.uint8)
    to = ImageInput(name="image", channels_last=False)
    prints = {Digits(images, labels, to=to).fingerprint(), Digits(images.copy(), labels, to=to).fingerprint()}
    assert len(prints) == 1
    other_image, other_label = images.copy(), labels.copy()
    other_image[5, 3, 3] ^= 1
    other_label[5] ^= 1
    prints |= {Digits(other_image, labels, to=to).fingerprint(), Digits(images, other_label, to=to).fingerprint()}
    assert len(prints) == 3


def test_top1_is_what_the_labels_are_for(digits):
    assert (digits.name, digits.metrics, digits.preprocessing) == ("digits", ("top1",), "digits/v1")


def test_an_installation_without_the_images_is_told_so(tmp_path):
    with pytest.raises(DatasetUnavailableError, match="the digits are missing") as caught:
        read_digits(tmp_path / "digits.npz")
    assert caught.value.where == str(tmp_path / "digits.npz")
