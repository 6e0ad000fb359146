"""The torch definition behind a model of another framework: its weights' owner, and an independent reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bytemlperf.spec import Format, Framework
from bytemlperf.zoo.obtained import source_digest, torch_recipe

if TYPE_CHECKING:
    from bytemlperf.spec import ModelSpec


def torch_definition(spec: ModelSpec) -> ModelSpec | None:
    """Return the same model as a torch module: the same weights, inputs, outputs and names.

    An ONNX model of the zoo is exported from its recipe's torch module, and a TensorFlow
    architecture has a torch twin beside it, which takes the same configuration.

    Args:
        spec: Any model.

    Returns:
        Its spec in torch; None where it has no such definition.

    Example:
        >>> from bytemlperf import zoo
        >>> torch_definition(zoo.get("widedeep-tf-fp32")).recipe.architecture
        'bytemlperf.zoo.architectures.widedeep_torch:build'
    """
    recipe = torch_recipe(spec)
    if recipe is None or (recipe != spec.recipe and source_digest(recipe.architecture) is None):
        return None
    return attrs.evolve(spec, framework=Framework.TORCH, format=Format.TORCH, recipe=recipe)
