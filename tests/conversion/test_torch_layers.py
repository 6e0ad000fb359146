"""What a module is made of is told without drawing its weights."""

from __future__ import annotations

import torch
from tests.tiny_models import build_conv
from torch import nn

from bytemlperf.conversion.torch_layers import layers


def test_layers_are_counted_by_type_most_parameters_first():
    found = layers(build_conv)
    assert {name: (each.count, each.parameters) for name, each in found.items()} == {
        "Linear": (1, 50),
        "Conv2d": (1, 36),
        "BatchNorm2d": (1, 8),
        "Dropout": (1, 0),
    }
    assert next(iter(found)) == "Linear"


def test_a_weight_that_two_layers_share_counts_once():
    def tied():
        module = nn.ModuleDict({"table": nn.Embedding(4, 3), "head": nn.Linear(3, 4, bias=False)})
        module["head"].weight = module["table"].weight
        return module

    assert sum(each.parameters for each in layers(tied).values()) == 12


def test_nothing_is_drawn():
    before = torch.get_rng_state()
    layers(build_conv)
    assert torch.equal(torch.get_rng_state(), before)
