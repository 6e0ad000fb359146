"""What a module does is counted without computing it, and agrees with a count by hand."""

from __future__ import annotations

import pytest
import torch
from tests.tiny_models import build_conv, spec_of_conv
from torch import nn

from bytemlperf.conversion.torch_counting import count, layers
from bytemlperf.errors import ConversionError

PIXELS = 8 * 8


def test_operations_and_bytes_are_those_counted_by_hand():
    found = count(build_conv, spec_of_conv())
    assert found.flops == 2 * PIXELS * 4 * 9 + 2 * 4 * 10  # 4 filters of 3x3x1 at each pixel; a head of 4x10
    trained = 4 * 9 + 4 * 4 + 4 * 10 + 10
    assert found.weight_bytes == 4 * trained + 8  # and the counter of the normalisation
    assert found.activation_bytes >= 4 * (3 * PIXELS * 4 + 4 + 10)  # convolution, normalisation, ReLU, mean, head


def test_half_the_precision_is_half_the_bytes():
    found = count(build_conv, spec_of_conv(precision="fp16"))
    assert found.weight_bytes == count(build_conv, spec_of_conv()).weight_bytes // 2 + 4
    assert found.flops == count(build_conv, spec_of_conv()).flops


def test_work_that_depends_on_values_cannot_be_counted():
    class Branches(nn.Module):
        def forward(self, image):
            return image if image.sum() > 0 else -image

    with pytest.raises(ConversionError, match="cannot be counted"):
        count(Branches, spec_of_conv())


def test_layers_are_counted_by_type_most_parameters_first():
    found = layers(build_conv)
    assert {name: (each.count, each.parameters) for name, each in found.items()} == {
        "Linear": (1, 50),
        "Conv2d": (1, 36),
        "BatchNorm2d": (1, 8),
        "Dropout": (1, 0),
    }
    assert next(iter(found)) == "Linear"


def test_nothing_is_drawn():
    before = torch.get_rng_state()
    layers(build_conv)
    assert torch.equal(torch.get_rng_state(), before)
