"""Which torch module stands behind a model of another framework."""

from __future__ import annotations

import attrs
import pytest

from bytemlperf import zoo
from bytemlperf.spec import Format, Framework
from bytemlperf.zoo.twins import torch_twin


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("widedeep-tf-fp32", "bytemlperf.zoo.architectures.widedeep_torch:build"),
        ("unet-onnx-fp32", "bytemlperf.zoo.architectures.unet_torch:build"),
    ],
)
def test_a_twin_is_the_same_model_in_torch(name, architecture):
    spec = zoo.get(name)

    twin = torch_twin(spec)

    assert twin.recipe.architecture == architecture
    assert (twin.framework, twin.format) == (Framework.TORCH, Format.TORCH)
    assert attrs.evolve(twin, recipe=spec.recipe, framework=spec.framework, format=spec.format) == spec


def test_a_model_of_torch_or_without_a_definition_has_none():
    spec = zoo.get("widedeep-tf-fp32")
    lone = attrs.evolve(spec.recipe, architecture="lonely.package_tf:build")

    assert torch_twin(zoo.get("swin-large-torch-fp32")) is None
    assert torch_twin(attrs.evolve(spec, recipe=None)) is None
    assert torch_twin(attrs.evolve(spec, recipe=lone)) is None
