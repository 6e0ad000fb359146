"""The same model in torch: what the outputs of its other forms are held against."""

from __future__ import annotations

from importlib.util import find_spec

import attrs

from bytemlperf.spec import Format, Framework, ModelSpec
from bytemlperf.zoo.obtained import torch_recipe


def torch_twin(spec: ModelSpec) -> ModelSpec | None:
    """Return a model's spec over its torch architecture: the same weights, inputs and outputs.

    None where the model is of torch itself, or has no torch architecture: no recipe, or one of
    TensorFlow (`..._tf:build`) without a twin (`..._torch:build`) beside it.
    """
    recipe = torch_recipe(spec)
    if spec.format is Format.TORCH or recipe is None or not _exists(recipe.architecture.partition(":")[0]):
        return None
    return attrs.evolve(spec, framework=Framework.TORCH, format=Format.TORCH, recipe=recipe, twin=None)


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
