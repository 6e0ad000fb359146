"""A torch model cut into prefixes: each gives what the whole module has inside, with the weights of the whole."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from tests.tiny_models import conv_artifact, trained_conv
from torch import nn

from bytemlperf.conversion.torch_cutting import TorchCuts
from bytemlperf.conversion.torch_module import named_outputs, torch_artifact_module
from bytemlperf.errors import ConversionError
from bytemlperf.spec import Format, Recipe

IMAGE = torch.tensor(np.random.default_rng(3).standard_normal((2, 1, 8, 8)), dtype=torch.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return conv_artifact(tmp_path_factory.mktemp("conv"))


def inside():
    """What the submodules of the whole module give, by hooks."""
    module, found = trained_conv(), {}
    for name, each in module.named_children():
        each.register_forward_hook(lambda _, __, result, name=name: found.setdefault(name, result))
    with torch.inference_mode():
        module(IMAGE)
    return found


def test_every_cut_gives_what_the_whole_module_has_there(model, tmp_path):
    cuts = TorchCuts(model, batch_size=2)
    assert [str(operator) for operator in cuts.operators][:3] == ["Conv2d 'conv'", "BatchNorm2d 'bn'", "relu 'relu'"]
    expected, seen = inside(), set()
    for count in range(1, len(cuts.operators) + 1):
        tensors = cuts.live_after(count)
        cut = cuts.cut(tensors, tmp_path)
        with torch.inference_mode():
            found = named_outputs(torch_artifact_module(cut)(IMAGE), cut.spec.outputs)
        for spec, tensor in zip(cut.spec.outputs, tensors, strict=True):
            assert spec.shape == tuple(found[spec.name].shape)
            if tensor in expected:
                assert torch.equal(found[spec.name], expected[tensor])
                seen.add(tensor)
    assert seen == set(expected)


class Branching(nn.Module):
    """Looks at values: no graph can be traced of it."""

    def forward(self, image):
        return image if image.sum() > 0 else -image


def build_branching():
    return Branching()


def test_what_cannot_be_cut_is_refused(model, tmp_path):
    with pytest.raises(ConversionError, match="what no operator makes"):
        TorchCuts(model, batch_size=2).cut(["image"], tmp_path)
    with pytest.raises(ConversionError, match="cannot be cut"):
        TorchCuts(attrs.evolve(model, format=Format.ONNX), batch_size=2)
    recipe = Recipe(architecture="tests.conversion.test_torch_cutting:build_branching")
    with pytest.raises(ConversionError, match=r"torch\.fx cannot trace it"):
        TorchCuts(attrs.evolve(model, spec=attrs.evolve(model.spec, recipe=recipe)), batch_size=2)
