"""What a model costs to run, as counted once and kept with it."""

from __future__ import annotations

import attrs

from bytemlperf.spec.fields import at_least


@attrs.frozen(kw_only=True)
class ModelCost:
    """Work and memory of a model at batch size 1; `bytemlperf.graph` counts it.

    Attributes:
        flops: Two for each product that is added up in matrix products, convolutions and recurrent layers.
        weight_bytes: All weights, each once.
        moved_bytes: Read and written, if every operator reads its inputs and writes its outputs once.
        counted: How it was counted, and of what: the model's own graph, or its twin's, say.
    """

    flops: int = attrs.field(validator=at_least(0))
    weight_bytes: int = attrs.field(validator=at_least(0))
    moved_bytes: int = attrs.field(validator=at_least(0))
    counted: str = ""
