"""What a model costs to run, as counted once and kept with it."""

from __future__ import annotations

import attrs

from bytemlperf.spec.fields import at_least


@attrs.frozen(kw_only=True)
class ModelCost:
    """Work and memory of a model at batch size 1, in its own precision.

    Attributes:
        flops: Operations of matrix products, convolutions and attention; a multiply-add is two.
        weight_bytes: Its weights and other state, as they are kept in a file.
        activation_bytes: What all its operators write, views left out; not what is alive at a time.
        counted: What counted it, so that two counts can be told apart.
    """

    flops: int = attrs.field(validator=at_least(0))
    weight_bytes: int = attrs.field(validator=at_least(0))
    activation_bytes: int = attrs.field(validator=at_least(0))
    counted: str = ""
