"""A module is built without its weights being drawn, and all else is as always."""

from __future__ import annotations

import psutil
import torch
from torch import nn

from bytemlperf.conversion.torch_building import undrawn


class Rotary(nn.Module):
    """Parameters drawn in several ways, and buffers that are computed."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.table = nn.Parameter(torch.empty(8, 4))
        nn.init.trunc_normal_(self.table, std=0.02)
        self.norm = nn.LayerNorm(4)
        self.register_buffer("inverse", 1 / (10_000 ** (torch.arange(0, 4, 2) / 4)), persistent=False)
        self.frozen = nn.Parameter(torch.ones(2)).requires_grad_(requires_grad=False)


def test_nothing_is_drawn():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    undrawn(Rotary)
    assert torch.equal(torch.get_rng_state(), before)


def test_buffers_and_settings_are_as_always():
    built, usual = undrawn(Rotary), Rotary()
    assert torch.equal(built.inverse, usual.inverse)
    assert not built.frozen.requires_grad
    assert built.table.requires_grad
    shapes = {name: tuple(tensor.shape) for name, tensor in usual.state_dict().items()}
    assert {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()} == shapes


def test_once_it_is_built_weights_can_be_written():
    built, usual = undrawn(Rotary), Rotary()
    built.load_state_dict(usual.state_dict())
    x = torch.rand(2, 4)
    assert torch.equal(built.linear(x), usual.linear(x))
    nn.init.zeros_(built.table)
    assert not built.table.any()


def test_what_nobody_writes_to_takes_no_memory():
    process = psutil.Process()
    before = process.memory_info().rss
    built = undrawn(lambda: nn.Linear(20_000, 25_000, bias=False))
    assert built.weight.nbytes == 2_000_000_000
    assert process.memory_info().rss - before < 200_000_000
