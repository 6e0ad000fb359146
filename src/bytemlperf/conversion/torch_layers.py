"""What a torch module is made of, without its weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import attrs
from torch import nn

from bytemlperf.conversion.torch_building import undrawn
from bytemlperf.spec.fields import as_dict


@attrs.frozen(kw_only=True)
class Layers:
    """Layers of one type.

    Attributes:
        count: How many there are.
        parameters: What they hold themselves; one that two of them share counts once.
    """

    count: int
    parameters: int


def layers(build: Callable[[], nn.Module]) -> Mapping[str, Layers]:
    """Return a module's layers by type: those that hold parameters, or hold no other layer; most parameters first."""
    counts: Counter[str] = Counter()
    parameters: Counter[str] = Counter()
    counted: set[int] = set()
    module = undrawn(build)
    for layer in module.modules():
        own = list(layer.parameters(recurse=False))
        if own or next(layer.children(), None) is None:
            counts[type(layer).__name__] += 1
            parameters[type(layer).__name__] += sum(each.numel() for each in own if id(each) not in counted)
            counted.update(map(id, own))
    order = sorted(counts, key=lambda name: (-parameters[name], name))
    return as_dict({name: Layers(count=counts[name], parameters=parameters[name]) for name in order})
