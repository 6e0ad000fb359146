"""A torch model cut into prefixes: each gives what the whole module has inside, with the weights of the whole."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.tiny_models import conv_artifact, trained_conv
from torch import nn

from bytemlperf.conversion import convert
from bytemlperf.conversion.torch_cutting import TorchCuts, _shape
from bytemlperf.conversion.torch_module import named_outputs, torch_artifact_module
from bytemlperf.errors import ConversionError
from bytemlperf.spec import Axis, Format, Recipe

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
            assert spec.sized(2) == tuple(found[spec.name].shape)
            assert spec.shape[0] == Axis()
            if tensor in expected:
                assert torch.equal(found[spec.name], expected[tensor])
                seen.add(tensor)
    assert seen == set(expected)


def test_prefixes_are_brought_to_other_formats(model, tmp_path):
    cuts = TorchCuts(model, batch_size=2)
    cut = cuts.cut(["bn"], tmp_path)
    script = convert(cut, frozenset({Format.TORCHSCRIPT}), folder=tmp_path)
    with torch.inference_mode():
        for size in (2, 5):
            image = IMAGE[:1].expand(size, 1, 8, 8)
            (found,) = torch.jit.load(script.path)(image)
            expected = torch_artifact_module(cut)(image)["bn"]
            assert torch.equal(found, expected)


class OneSize(nn.Module):
    """Knows one batch size: no length can be seen to grow."""

    def forward(self, image):
        return image.reshape(2, 64) * 2


def build_one_size():
    return OneSize()


def test_of_a_model_of_one_batch_size_lengths_stay_numbers(model, tmp_path):
    recipe = Recipe(architecture="tests.conversion.test_torch_cutting:build_one_size")
    cuts = TorchCuts(attrs.evolve(model, spec=attrs.evolve(model.spec, recipe=recipe)), batch_size=2)
    assert [spec.shape for spec in cuts.cut(["reshape", "mul"], tmp_path).spec.outputs] == [(2, 64), (2, 64)]
    given = cuts.cut(["mul"], tmp_path, shapes={"mul": (128,)})
    assert given.spec.outputs[0].shape == (128,)


@pytest.mark.parametrize(
    ("one", "two", "written"),
    [
        ((2, 8), (3, 8), (Axis(), 8)),
        ((8, 4), (8, 6), (8, Axis(times=2))),
        ((3, 8), (4, 8), (3, 8)),
        ((2, 2), (3, 3), (2, 2)),
        ((2, 8), (24,), (2, 8)),
    ],
)
def test_a_length_that_is_a_multiple_of_both_batch_sizes_is_the_batchs(one, two, written):
    assert _shape(one, two, 2) == written


class Looking(nn.Module):
    """Looks at lengths and types, and makes a constant: torch.fx cannot trace it, torch.export can."""

    def __init__(self, *, grows=True):
        super().__init__()
        self.grows = grows  # an export takes what len() gives for a constant
        self.first, self.second = nn.Linear(64, 8), nn.Linear(8, 10)

    def forward(self, image):
        rows = self.first(image.reshape(image.shape[0] if self.grows else len(image), 64))
        lowest = torch.finfo(rows.dtype).min * (rows > 1).to(rows.dtype)
        return torch.softmax(self.second(rows + lowest), dim=1) * torch.tensor([1.0, 0.5]).repeat(5)


def build_looking(*, grows=True):
    return Looking(grows=grows)


@pytest.fixture
def looking(model, tmp_path):
    torch.manual_seed(5)
    weights = tmp_path / "looking.safetensors"
    save_file(Looking().state_dict(), weights)
    recipe = Recipe(architecture="tests.conversion.test_torch_cutting:build_looking")
    return attrs.evolve(model, spec=attrs.evolve(model.spec, recipe=recipe), path=weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("size", [1, 3])
def test_what_torch_fx_cannot_trace_is_exported_and_computes_the_same(looking, tmp_path, size, dtype):
    cuts = TorchCuts(looking, batch_size=size)
    (end,) = cuts.live_after(len(cuts.operators))
    cut = cuts.cut([end], tmp_path)
    image = torch.randn(size, 1, 8, 8, dtype=dtype)
    with torch.inference_mode():
        found = torch_artifact_module(cut).to(dtype)(image)[end]
        expected = torch_artifact_module(looking).to(dtype)(image)
    assert torch.equal(found, expected)
    assert found.dtype is dtype
    assert cut.spec.outputs[0].shape == (Axis(), 10)


@pytest.mark.parametrize("size", [1, 3])
def test_what_can_only_be_exported_for_one_batch_size_is_cut_for_that(looking, tmp_path, size):
    recipe = attrs.evolve(looking.spec.recipe, config={"grows": False})
    fixed = attrs.evolve(looking, spec=attrs.evolve(looking.spec, recipe=recipe))
    cuts = TorchCuts(fixed, batch_size=size)
    (end,) = cuts.live_after(len(cuts.operators))
    cut = cuts.cut([end], tmp_path)
    image = torch.randn(size, 1, 8, 8)
    with torch.inference_mode():
        assert torch.equal(torch_artifact_module(cut)(image)[end], torch_artifact_module(looking)(image))
    assert cut.spec.outputs[0].shape == (size, 10)


def test_operators_of_an_exported_graph_have_the_names_of_their_submodules(looking):
    cuts = TorchCuts(looking, batch_size=2)
    named = {str(operator): operator.outputs for operator in cuts.operators}
    assert named["Linear 'first'"] == ("linear",)
    assert named["Linear 'second'"] == ("linear_1",)
    assert "softmax 'softmax'" in named
    assert cuts.operators[0].inputs == ("image",)


@pytest.mark.parametrize("name", ["model", "looking"])
def test_an_input_is_handed_on_as_it_is(name, request, tmp_path):
    artifact = request.getfixturevalue(name)
    cut = TorchCuts(artifact, batch_size=2).cut(["image"], tmp_path)
    with torch.inference_mode():
        found = named_outputs(torch_artifact_module(cut)(IMAGE), cut.spec.outputs)
    assert torch.equal(found["t0"], IMAGE)


class Branching(nn.Module):
    """Looks at values: no graph can be traced of it."""

    def forward(self, image):
        return image if image.sum() > 0 else -image


def build_branching():
    return Branching()


def test_what_cannot_be_cut_is_refused(model, tmp_path):
    with pytest.raises(ConversionError, match="what no operator makes"):
        TorchCuts(model, batch_size=2).cut(["nothing"], tmp_path)
    with pytest.raises(ConversionError, match="cannot be cut"):
        TorchCuts(attrs.evolve(model, format=Format.ONNX), batch_size=2)
    recipe = Recipe(architecture="tests.conversion.test_torch_cutting:build_branching")
    with pytest.raises(ConversionError, match=r"cannot be traced; got .torch\.fx: TraceError.*torch\.export: "):
        TorchCuts(attrs.evolve(model, spec=attrs.evolve(model.spec, recipe=recipe)), batch_size=2)
