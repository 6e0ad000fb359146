from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.datasets.images import image_input
from bytemlperf.errors import SpecError


def find(spec):
    return image_input(spec, channels=3, height=4, width=5, preprocessing="p/v1", dataset="d")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_one_input_of_an_images_shape_is_found_whatever_its_name(tensor, model, dtype):
    found = find(model(tensor("pixel_values", ("batch", 3, 4, 5), dtype)))
    assert (found.name, found.channels_last) == ("pixel_values", False)


def test_channels_may_come_last(tensor, model, rng):
    found = find(model(tensor("image", ("batch", 4, 5, 3))))
    images = rng.standard_normal((2, 3, 4, 5))
    turned = found.from_channels_first(images)
    assert found.channels_last
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, np.moveaxis(images, 1, -1))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        (("batch", 3, 5, 4), "float32"),
        (("batch", 1, 4, 5), "float32"),
        (("batch", 3, 4), "float32"),
        ((1, 3, 4, 5), "float32"),
        (("2*batch", 3, 4, 5), "float32"),
        (("batch", 3, 4, 5), "uint8"),
    ],
)
def test_any_other_input_is_refused_and_shown(tensor, model, shape, dtype):
    with pytest.raises(SpecError, match="data set 'd' does not fit model 'model'") as caught:
        find(model(tensor("image", shape, dtype)))
    assert f"image: {dtype}" in caught.value.got[0]
    assert "[batch, 3, 4, 5]" in caught.value.expected


def test_a_model_with_two_inputs_is_refused(tensor, model):
    with pytest.raises(SpecError, match="does not fit"):
        find(model(tensor("image", ("batch", 3, 4, 5)), tensor("more", ("batch",))))


def test_a_model_of_another_preprocessing_is_refused(tensor, model):
    image = tensor("image", ("batch", 3, 4, 5))
    assert find(model(image, preprocessing="p/v1")).name == "image"
    with pytest.raises(SpecError, match=r"wants another preprocessing than .*; got 'p/v2'; expected p/v1"):
        find(model(image, preprocessing="p/v2"))
