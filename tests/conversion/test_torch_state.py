"""The state of a module is written the same every time, and described without running anything."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from tests.tiny_models import trained_conv
from torch import nn

from bytemlperf.conversion.torch_state import convert_state, state_digest, state_shapes, write_state
from bytemlperf.spec import DType


class Tied(nn.Module):
    """Two names for one weight, and one that is a view."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(4, 3)
        self.head = nn.Linear(3, 4, bias=False)
        self.head.weight = self.table.weight
        self.register_buffer("columns", torch.arange(12.0).reshape(3, 4).T)


class CountsValues(nn.Module):
    """A constructor that looks at values, as some do to spread rates over depth."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, int(width)) for width in torch.linspace(1, 3, 3).tolist())


def test_equal_states_give_equal_files(tmp_path):
    for name in "ab":
        write_state(trained_conv(), tmp_path / name, precision=DType.FLOAT32)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_written_loads_strictly(tmp_path):
    module = Tied()
    write_state(module, tmp_path / "a", precision=DType.FLOAT32)
    fresh = Tied()
    fresh.load_state_dict(load_file(tmp_path / "a"), strict=True)
    assert all(torch.equal(tensor, fresh.state_dict()[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_floating_point_weights_are_written_in_the_asked_precision(tmp_path, precision, dtype):
    write_state(trained_conv(), tmp_path / "a", precision=DType.of(precision))
    written = load_file(tmp_path / "a")
    assert written["conv.weight"].dtype is dtype
    assert written["bn.num_batches_tracked"].dtype is torch.int64


def test_a_state_dict_of_shared_weights_is_converted(tmp_path):
    torch.save(Tied().state_dict(), tmp_path / "a.pt")
    convert_state(tmp_path / "a.pt", tmp_path / "a.safetensors")
    assert set(load_file(tmp_path / "a.safetensors")) == {"table.weight", "head.weight", "columns"}


@pytest.mark.parametrize("build", [trained_conv, Tied, CountsValues])
def test_shapes_are_those_of_the_built_module(build):
    assert state_shapes(build) == {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}


def _changed(module, change):
    with torch.no_grad():
        change(module)
    return module


@pytest.mark.parametrize(
    "change",
    [
        lambda module: module.head.bias[3].add_(1e-7),
        lambda module: module.half(),
        lambda module: module.register_buffer("more", torch.zeros(1)),
        lambda module: setattr(module.head, "bias", nn.Parameter(module.head.bias.reshape(2, 5))),
    ],
    ids=["value", "type", "name", "shape"],
)
def test_a_digest_tells_every_change(change):
    assert state_digest(_changed(trained_conv(), change)) != state_digest(trained_conv())


def test_a_digest_does_not_depend_on_memory_layout():
    assert state_digest(trained_conv().to(memory_format=torch.channels_last)) == state_digest(trained_conv())


def test_empty_and_scalar_weights_have_a_digest():
    module = nn.Module()
    module.register_buffer("empty", torch.zeros(0, 3))
    module.register_buffer("scalar", torch.tensor(True))
    assert len(state_digest(module)) == 64
