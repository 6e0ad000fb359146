"""A torch artifact becomes its module, with its own weights and nothing else."""

from __future__ import annotations

import attrs
import pytest
import torch
from safetensors.torch import save_file
from tests.tiny_models import conv_artifact, live, spec_of_conv, trained_conv, wide_and_deep_spec
from torch import nn

from bytemlperf.artifact import ModelArtifact
from bytemlperf.conversion.torch_module import named_outputs, torch_artifact_module
from bytemlperf.errors import (
    ArtifactError,
    BackendUnavailableError,
    MalformedOutputError,
    SpecError,
    WeightsUnavailableError,
)
from bytemlperf.spec import Format, Recipe


def _with_recipe(folder, **fields) -> ModelArtifact:
    return conv_artifact(folder, recipe=Recipe(**fields))


def test_a_recipe_gives_the_module_with_the_files_weights(tmp_path):
    module = torch_artifact_module(conv_artifact(tmp_path))
    expected = trained_conv().state_dict()
    assert module.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in module.state_dict().items())
    assert not module.training


def test_the_configuration_reaches_the_architecture(tmp_path):
    save_file(trained_conv(6).state_dict(), tmp_path / "weights.safetensors")
    recipe = Recipe(architecture="tests.tiny_models:build_conv", config={"channels": 6})
    assert torch_artifact_module(conv_artifact(tmp_path, recipe=recipe)).conv.out_channels == 6


def test_a_live_module_is_copied_in_evaluation_mode():
    module = trained_conv().train()
    copy = torch_artifact_module(live(module))
    assert not copy.training
    assert module.training
    with torch.no_grad():
        copy.conv.weight.zero_()
    assert module.conv.weight.abs().sum() > 0


def test_weights_of_another_architecture_are_refused(tmp_path):
    save_file({**trained_conv().state_dict(), "extra": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(ArtifactError, match=r"not the architecture's.*extra"):
        torch_artifact_module(conv_artifact(tmp_path))


def test_a_file_that_is_no_safetensors_file_is_refused(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"\x80\x04 a pickle, perhaps")
    with pytest.raises(ArtifactError, match="cannot be read") as caught:
        torch_artifact_module(conv_artifact(tmp_path))
    assert caught.value.where == str(tmp_path / "weights.safetensors")


def test_a_missing_file_is_named(tmp_path):
    artifact = attrs.evolve(conv_artifact(tmp_path), path=tmp_path / "gone.safetensors")
    with pytest.raises(WeightsUnavailableError, match=r"gone\.safetensors"):
        torch_artifact_module(artifact)


def test_another_version_of_the_definition_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="another version"):
        torch_artifact_module(_with_recipe(tmp_path, architecture="tests.tiny_models:build_conv", version="0.9"))


@pytest.mark.parametrize(
    ("recipe", "error", "message"),
    [
        (Recipe(architecture="no_such_package:build"), BackendUnavailableError, "no_such_package"),
        (Recipe(architecture="tests.tiny_models:no_such"), BackendUnavailableError, "no_such"),
        (Recipe(architecture="tests.tiny_models:build_conv", config={"chanels": 4}), SpecError, "chanels"),
        (Recipe(architecture="tests.tiny_models:build_nothing"), ArtifactError, "builds no module"),
        (None, ArtifactError, "no recipe"),
    ],
)
def test_a_recipe_that_cannot_be_built_is_told(tmp_path, recipe, error, message):
    with pytest.raises(error, match=message):
        torch_artifact_module(conv_artifact(tmp_path, recipe=recipe))


def test_an_error_of_the_architecture_itself_passes_as_it_is(tmp_path):
    recipe = Recipe(architecture="bytemlperf.spec:from_json", config={"kind": int, "data": "x"})
    with pytest.raises(SpecError):
        torch_artifact_module(conv_artifact(tmp_path, recipe=recipe))


def test_an_artifact_of_another_format_is_refused():
    with pytest.raises(ArtifactError, match="no torch module"):
        torch_artifact_module(ModelArtifact(spec=spec_of_conv(), format=Format.ONNX))


def test_a_live_artifact_without_a_module_is_refused():
    with pytest.raises(ArtifactError, match="no live module"):
        torch_artifact_module(live(None))


def test_a_module_that_cannot_be_copied_is_refused():
    module = nn.Linear(2, 2)
    module.kept = module(torch.ones(1, 2))
    with pytest.raises(ArtifactError, match="cannot be copied"):
        torch_artifact_module(live(module))


OUTPUTS = wide_and_deep_spec().outputs
A, B, C = torch.tensor([1.0]), torch.tensor([2]), torch.tensor([True])


@pytest.mark.parametrize(
    "result",
    [(A, B, C), [A, B, C], {"is_long": C, "kept:0": B, "score:0": A}, {"score": A, "kept": B, "is_long": C, "more": A}],
    ids=["tuple", "list", "original names", "canonical names"],
)
def test_outputs_are_named_by_order_or_by_their_own_names(result):
    named = named_outputs(result, OUTPUTS)
    assert list(named) == ["score", "kept", "is_long"]
    assert (named["score"], named["kept"], named["is_long"]) == (A, B, C)


def test_a_single_tensor_is_the_single_output():
    assert named_outputs(A, OUTPUTS[:1]) == {"score": A}


@pytest.mark.parametrize(
    ("result", "tensor"),
    [
        ((A, B), None),
        ((A, B, C, A), None),
        (A, None),
        ((A, None, C), "kept"),
        ({"score": A, "is_long": C}, "kept"),
        ("text", None),
    ],
)
def test_outputs_that_do_not_fit_the_spec_are_refused(result, tensor):
    with pytest.raises(MalformedOutputError) as caught:
        named_outputs(result, OUTPUTS)
    assert caught.value.tensor == tensor
