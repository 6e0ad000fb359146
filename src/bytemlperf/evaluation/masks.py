"""Which positions of some samples' outputs are valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bytemlperf.evaluation.subject import Subject
from bytemlperf.sample import Array


def masks_of(subject: Subject, samples: Sequence[int]) -> Mapping[str, Array]:
    """Return the inputs that say which positions of some samples' outputs are valid."""
    wanted = {tensor.valid for tensor in subject.original.spec.outputs if tensor.valid is not None}
    if not wanted:
        return {}
    inputs = subject.data.loader.load(samples)
    return {name: np.asarray(inputs[name]) for name in wanted}
