"""Make one batch of several prepared samples, for engines that take batches: numpy, syntax of Python 3.7."""

from __future__ import annotations

import numpy as np

if False:
    from typing import Any, Callable, Mapping, Sequence


class Gathering:
    """How samples that were prepared one by one are asked for together.

    Args:
        size: Samples in a call, at most.
        max_delay_ns: How long the first of a call waits for others.
        pads: Whether a call that is not full is filled up with its last sample, for engines of one batch size.
        axes: Along which axis each batched input is joined; inputs that are not named are shared by all samples.
        make: `make(inputs, size, padding)` gives the batch.
    """

    def __init__(
        self,
        *,
        size: int,
        max_delay_ns: int = 0,
        pads: bool,
        axes: Mapping[str, int],
        make: Callable[[Mapping[str, Any], int, int], Any],
    ) -> None:
        self.size, self.max_delay_ns = size, max_delay_ns
        self._pads, self._axes, self._make = pads, axes, make

    def joined(self, samples: Sequence[Any]) -> Any:
        """Return one batch of samples, each a batch of one."""
        count = len(samples)
        padding = self.size - count if self._pads else 0
        if count + padding == 1:
            return samples[0]
        filled = [*samples, *([samples[-1]] * padding)]
        inputs = {}
        for name, value in samples[0].inputs.items():
            axis = self._axes.get(name)
            inputs[name] = value if axis is None else np.concatenate([each.inputs[name] for each in filled], axis=axis)
        return self._make(inputs, count + padding, padding)
