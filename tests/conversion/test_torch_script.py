"""A trace is kept only where it is the module at other batch sizes too."""

from __future__ import annotations

import warnings

import pytest
import torch
from tests.tiny_models import model_spec, wide_and_deep, wide_and_deep_spec
from torch import nn

from bytemlperf.conversion.examples import example_inputs
from bytemlperf.conversion.torch_module import torch_artifact_module
from bytemlperf.conversion.torch_script import export_torchscript
from bytemlperf.errors import ConversionError

SQUARE = model_spec({"x": ("batch", 3)}, {"y": ("batch", 3)})


def _load(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(path)


def test_a_trace_returns_the_specs_outputs_in_order_at_any_batch_size(tmp_path, recwarn):
    spec = wide_and_deep_spec()
    module = torch_artifact_module(wide_and_deep())
    export_torchscript(module, spec, tmp_path / "model.pt")
    assert not recwarn.list
    traced = _load(tmp_path / "model.pt")
    for size in (1, 2, 7):
        inputs = [torch.tensor(array) for array in example_inputs(spec, size, seed=size).values()]
        expected = module(*inputs)
        score, kept, is_long = traced(*inputs)
        torch.testing.assert_close(score, expected["score:0"])
        assert torch.equal(kept, expected["kept:0"])
        assert torch.equal(is_long, expected["is_long"])


class _Following(nn.Module):
    def forward(self, x):
        return x + torch.ones_like(x).cumsum(0)


class _Frozen(nn.Module):
    def forward(self, x):
        return x.reshape(2, 3) if len(x) == 2 else x


class _Branching(nn.Module):
    def forward(self, x):
        return x + 1 if len(x) == 2 else x


def test_a_trace_that_follows_the_length_is_kept(tmp_path):
    export_torchscript(_Following(), SQUARE, tmp_path / "model.pt")
    assert torch.equal(_load(tmp_path / "model.pt")(torch.zeros(4, 3))[0][:, 0], torch.arange(1, 5.0))


@pytest.mark.parametrize(
    ("module", "message"), [(_Frozen(), "only the batch size"), (_Branching(), "'y' differently")], ids=type
)
def test_a_trace_that_froze_the_batch_is_refused(tmp_path, module, message):
    with pytest.raises(ConversionError, match=message):
        export_torchscript(module, SQUARE, tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())


class _Untraceable(nn.Module):
    def forward(self, x):
        if torch.jit.is_tracing():
            raise ValueError("not here")
        return x


def test_a_module_that_cannot_be_traced_is_told(tmp_path):
    with pytest.raises(ConversionError, match=r"cannot be traced.*not here"):
        export_torchscript(_Untraceable(), SQUARE, tmp_path / "model.pt")
