"""Which torch module stands behind a model of another framework."""

from __future__ import annotations

import attrs
import pytest

from bytemlperf import zoo
from bytemlperf.spec import Format, Framework


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("widedeep-tf-fp32", "bytemlperf.zoo.architectures.widedeep_torch:build"),
        ("unet-onnx-fp32", "bytemlperf.zoo.architectures.unet_torch:build"),
        ("swin-large-torch-fp32", "bytemlperf.zoo.architectures.swin_torch:build"),
    ],
)
def test_a_definition_is_the_same_model_in_torch(name, architecture):
    spec = zoo.get(name)

    definition = zoo.torch_definition(spec)

    assert definition.recipe.architecture == architecture
    assert (definition.framework, definition.format) == (Framework.TORCH, Format.TORCH)
    same = attrs.evolve(definition, recipe=spec.recipe, framework=spec.framework, format=spec.format)
    assert same == spec


def test_a_model_that_is_only_a_file_has_none():
    assert zoo.torch_definition(attrs.evolve(zoo.get("unet-onnx-fp32"), recipe=None)) is None


def test_a_tensorflow_architecture_without_a_twin_has_none():
    spec = zoo.get("widedeep-tf-fp32")
    lone = attrs.evolve(spec, recipe=attrs.evolve(spec.recipe, architecture="lonely.package_tf:build"))

    assert zoo.torch_definition(lone) is None
