"""A live module becomes an artifact whose spec was found by running it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny_models import WideAndDeep, trained_conv
from torch import nn

from bytemlperf import zoo
from bytemlperf.artifact import Provenance
from bytemlperf.conversion.torch_module import named_outputs, torch_artifact_module
from bytemlperf.errors import ArtifactError, SpecError, UnknownNameError
from bytemlperf.spec import Axis, DType, Format, Framework, Purpose, TensorSpec


class Calling(nn.Module):
    """A module of one function, with a weight."""

    def __init__(self, function):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.function = function

    def forward(self, x):
        return self.function(x, self.weight)


class Pair(nn.Module):
    def forward(self, first, second, scale=None):
        total = first + second
        return (total, total.sum(1)) if scale is None else (total * scale, total.sum(1))


class KeywordOnly(nn.Module):
    def forward(self, *, x):
        return x


class Variadic(nn.Module):
    def forward(self, *xs):
        return xs[0] + xs[1]


def test_the_spec_is_found_by_running():
    module = trained_conv()
    spec = zoo.from_module(module, torch.zeros(4, 1, 8, 8)).spec
    assert spec.name == "Conv"
    assert spec.inputs == (TensorSpec(name="image", shape=("batch", 1, 8, 8), dtype="fp32"),)
    assert spec.outputs == (TensorSpec(name="output", shape=("batch", 10), dtype="fp32"),)
    assert (spec.framework, spec.format, spec.purpose) == (Framework.TORCH, Format.TORCH_MODULE, Purpose.CUSTOM)
    assert spec.parameters == sum(each.numel() for each in module.parameters())


def test_the_artifact_holds_the_module():
    module = trained_conv()
    artifact = zoo.from_module(module, torch.zeros(1, 1, 8, 8), name="mine")
    assert artifact.module is module
    assert (artifact.name, artifact.path, artifact.provenance) == ("mine", None, Provenance.LOCAL)
    assert artifact.origin == "tests.tiny_models.Conv"


def test_equal_weights_have_equal_digests_and_others_others():
    example = torch.zeros(1, 1, 8, 8)
    one, same, other = trained_conv(), trained_conv(), trained_conv()
    with torch.no_grad():
        other.head.bias[0] += 1e-3
    digests = [zoo.from_module(each, example).sha256 for each in (one, same, other)]
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 64


def test_the_module_is_left_as_it_was():
    module = trained_conv().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    zoo.from_module(module, torch.rand(4, 1, 8, 8))
    assert module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize(
    "example",
    [
        {"image": torch.zeros(2, 1, 8, 8)},
        (torch.zeros(2, 1, 8, 8),),
        [np.zeros((2, 1, 8, 8), np.float32)],
        np.zeros((2, 1, 8, 8), np.float32),
        torch.zeros(1, 1, 8, 8),
    ],
    ids=["mapping", "tuple", "list of arrays", "array", "batch of one"],
)
def test_an_example_comes_in_many_forms(example):
    assert zoo.from_module(trained_conv(), example).spec.inputs[0].shape == (Axis(), 1, 8, 8)


def test_inputs_may_be_multiples_of_the_batch_or_unbatched():
    example = {"ids": torch.zeros(78, 2, dtype=torch.int64), "mask": torch.ones(3, 7).long(), "scale": torch.ones(5)}
    artifact = zoo.from_module(WideAndDeep(), example, shapes={"ids": ["26*batch", 2]})
    shapes = {each.name: (each.shape, each.dtype) for each in (*artifact.spec.inputs, *artifact.spec.outputs)}
    assert shapes == {
        "ids": ((Axis("batch", 26), 2), DType.INT64),
        "mask": ((Axis(), 7), DType.INT64),
        "scale": ((5,), DType.FLOAT32),
        "unused": ((Axis(), 104), DType.FLOAT32),
        "kept": ((Axis(),), DType.INT64),
        "score": ((Axis(),), DType.FLOAT32),
        "is_long": ((Axis(),), DType.BOOL),
    }
    assert [each.original_name for each in artifact.spec.outputs] == [None, "kept:0", "score:0", None]


def test_the_specs_names_are_those_by_which_backends_name_outputs():
    example = {"ids": torch.zeros(78, 2, dtype=torch.int64), "mask": torch.ones(3, 7).long(), "scale": torch.ones(5)}
    artifact = zoo.from_module(WideAndDeep(), example, shapes={"ids": ["26*batch", 2]})
    result = torch_artifact_module(artifact)(*example.values())
    assert set(named_outputs(result, artifact.spec.outputs)) == {"unused", "kept", "score", "is_long"}


def test_a_mapping_is_put_into_the_order_of_the_arguments():
    example = {"second": torch.zeros(2, 3), "first": torch.zeros(2, 3, dtype=torch.float64)}
    spec = zoo.from_module(Pair(), example).spec
    assert [(each.name, each.dtype) for each in spec.inputs] == [
        ("first", DType.FLOAT64),
        ("second", DType.FLOAT32),
    ]
    assert [(each.name, each.shape) for each in spec.outputs] == [("output_0", (Axis(), 3)), ("output_1", (Axis(),))]


def test_an_input_of_the_same_length_may_be_called_unbatched():
    example = (torch.zeros(4, 3), torch.zeros(4, 3), torch.ones(3))
    spec = zoo.from_module(Pair(), example, shapes={"scale": [3]}).spec
    assert [each.shape for each in spec.inputs] == [(Axis(), 3), (Axis(), 3), (3,)]


def test_without_a_batch_axis_all_is_fixed():
    spec = zoo.from_module(trained_conv(), torch.zeros(4, 1, 8, 8), batch_axis=None).spec
    assert (spec.inputs[0].shape, spec.outputs[0].shape) == ((4, 1, 8, 8), (4, 10))


def test_the_precision_is_that_of_most_parameters():
    module = trained_conv().half()
    assert zoo.from_module(module, torch.zeros(2, 1, 8, 8).half()).spec.precision is DType.FLOAT16


def test_variadic_arguments_are_numbered():
    spec = zoo.from_module(Variadic(), (torch.zeros(2, 3), torch.zeros(2, 3))).spec
    assert [each.name for each in spec.inputs] == ["xs_0", "xs_1"]


@pytest.mark.parametrize(
    ("module", "example", "words"),
    [
        (trained_conv(), {"picture": torch.zeros(2, 1, 8, 8)}, "does not fit the arguments of Conv.forward"),
        (trained_conv(), (torch.zeros(1), torch.zeros(1)), "does not fit the arguments"),
        (trained_conv(), (), "does not fit the arguments"),
        (trained_conv(), "text", "does not fit|no tensor"),
        (trained_conv(), (object(),), "argument 'image' is no tensor"),
        (KeywordOnly(), {"x": torch.zeros(2)}, "wrap the module"),
        (Variadic(), (), "cannot be passed"),
        (trained_conv(), torch.zeros(2, 3, 8, 8), r"cannot be run on image \[2, 3, 8, 8\]"),
        (Calling(lambda x, w: x.tolist()), torch.zeros(2, 3), "something else than tensors"),
        (Calling(lambda x, w: (x, None)), torch.zeros(2, 3), "something else than tensors"),
        (Calling(lambda x, w: {"a": 1}), torch.zeros(2, 3), "something else than tensors"),
        (Calling(lambda x, w: x.reshape(2, 3) * w), torch.zeros(2, 3), r"cannot be run on x \[3, 3\].*batch_axis=None"),
        (Calling(lambda x, w: torch.cat([x, x[:1]])), torch.zeros(2, 3), "grows with the batch in a way"),
        (Calling(lambda x, w: torch.complex(x, x)), torch.zeros(2, 3), "'output' is of a type that no spec can name"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else str(value)[:20].replace("\n", " "),
)
def test_what_cannot_be_understood_is_told(module, example, words):
    with pytest.raises(SpecError, match=words):
        zoo.from_module(module, example)


def test_a_given_output_that_the_module_contradicts_is_refused():
    with pytest.raises(SpecError, match="the given shape of 'output' contradicts"):
        zoo.from_module(trained_conv(), torch.zeros(2, 1, 8, 8), shapes={"output": ["5*batch", 10]})


def test_a_given_output_that_the_module_confirms_is_taken():
    spec = zoo.from_module(trained_conv(), torch.zeros(2, 1, 8, 8), shapes={"output": ["batch", 10]}).spec
    assert spec.outputs[0].shape == (Axis(), 10)


def test_given_shapes_of_different_batch_sizes_are_refused():
    example = (torch.zeros(4, 3), torch.zeros(2, 3))
    with pytest.raises(SpecError, match="different batch sizes"):
        zoo.from_module(Pair(), example, shapes={"first": ["batch", 3], "second": ["batch", 3]})


def test_a_given_shape_that_contradicts_the_example_is_refused():
    with pytest.raises(SpecError, match="contradicts"):
        zoo.from_module(trained_conv(), torch.zeros(2, 1, 8, 8), shapes={"image": ["batch", 3, 8, 8]})


def test_a_shape_of_an_unknown_tensor_is_refused():
    with pytest.raises(UnknownNameError, match="'z'"):
        zoo.from_module(trained_conv(), torch.zeros(2, 1, 8, 8), shapes={"z": ["batch"]})


def test_what_is_no_module_is_refused():
    with pytest.raises(ArtifactError, match="no live module"):
        zoo.from_module(lambda x: x, torch.zeros(2))
