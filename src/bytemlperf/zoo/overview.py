"""What is known of a model before it is run: what it costs, what it is made of, whether its weights are here."""

from __future__ import annotations

import json
from enum import StrEnum
from functools import cache as memoised
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from bytemlperf.errors import BenchmarkError
from bytemlperf.fetch import is_here
from bytemlperf.spec import ModelCost, from_json
from bytemlperf.zoo.catalog import get
from bytemlperf.zoo.obtained import built, torch_recipe
from bytemlperf.zoo.random_weights import random_weights_are_there

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bytemlperf.conversion.torch_layers import Layers
    from bytemlperf.spec import ModelSpec

_COSTS: Final = "costs.json"


class Cached(StrEnum):
    """Which of a model's weights are on this machine."""

    PINNED = "pinned"
    RANDOM = "random"
    NONE = "none"


def cost(spec: ModelSpec | str) -> ModelCost | None:
    """Return what a model costs to run, as its spec or the catalog has it; None where nobody counted.

    The catalog's counts are made by `benchmarks/count_costs.py` and loaded without any framework.

    Example:
        >>> cost("digits-resnet-torch-fp32").weight_bytes > 0
        True
    """
    model = get(spec) if isinstance(spec, str) else spec
    return model.cost or _costs().get(model.name)


def cached(spec: ModelSpec | str, *, cache: Path | None = None) -> Cached:
    """Tell whether a model's weights are here: those of its sources, else random ones of seed 0.

    Files are looked for, not read. No framework is loaded, and no network touched.

    Args:
        spec: A spec, or a task's name.
        cache: Cache folder; see `fetch.cache_dir`.
    """
    model = get(spec) if isinstance(spec, str) else spec
    if any(is_here(source, cache=cache) for source in model.sources):
        return Cached.PINNED
    return Cached.RANDOM if random_weights_are_there(model, seed=0, cache=cache) else Cached.NONE


def layers(spec: ModelSpec | str) -> Mapping[str, Layers]:
    """Return a model's layers by type, most parameters first; those of its torch twin, where it has one.

    The module is built without its weights. Empty where there is no torch architecture, or it
    cannot be built on this machine.
    """
    from bytemlperf.conversion import torch_layers

    model = get(spec) if isinstance(spec, str) else spec
    recipe = torch_recipe(model)
    if recipe is None:
        return {}
    try:
        return torch_layers.layers(lambda: built(recipe))
    except BenchmarkError:
        return {}


@memoised
def _costs() -> Mapping[str, ModelCost]:
    text = files("bytemlperf.zoo").joinpath(_COSTS).read_text(encoding="utf-8")
    return {name: from_json(ModelCost, data) for name, data in json.loads(text).items()}
