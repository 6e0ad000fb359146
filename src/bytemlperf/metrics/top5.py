"""Top-5 accuracy of a classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.metrics.estimate import Metrics
from bytemlperf.metrics.shares import share_estimate
from bytemlperf.metrics.top1 import checked_logits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bytemlperf.sample import Array

_BEST: Final = 5
_DEFINITION: Final = (
    "share of samples whose label is among the five largest logits (of equals the first count); exact binomial interval"
)


@attrs.frozen(kw_only=True)
class Top5State:
    """Counts so far.

    Attributes:
        n: Samples.
        right: Those whose label is among the five largest logits.
        with_nan: Those with a NaN among their logits, which are wrong.
        classes: Logits of a sample; None before the first.
    """

    n: int = 0
    right: int = 0
    with_nan: int = 0
    classes: int | None = None


class Top5:
    """Share of samples whose label is among the five largest logits; of equal ones the first count.

    Attributes:
        name: `top5`.
        higher_is_better: True.
        classes: Number of classes that a model must have; None takes what comes.

    Example:
        >>> metric = Top5()
        >>> state = metric.update(metric.initial(), {"logits": np.arange(10.0)[np.newaxis]}, np.array([5]))
        >>> metric.compute(state)["accuracy/top5"].value
        1.0
    """

    def __init__(self, *, classes: int | None = None) -> None:
        """Say how many classes there are, where it is known."""
        self.name = "top5"
        self.higher_is_better = True
        self.classes = classes

    def initial(self) -> Top5State:
        """Return the state before the first sample."""
        return Top5State(classes=self.classes)

    def update(self, state: Top5State, outputs: Mapping[str, Array], labels: Array) -> Top5State:
        """Return the state after more samples; arguments and errors are those of `Top1.update`.

        Raises:
            MalformedOutputError: If there are no logits [n, classes].
            DatasetError: If labels are no class indices of the model.
        """
        expected, logits = checked_logits(outputs, labels, classes=state.classes)
        return Top5State(
            n=state.n + len(expected),
            right=state.right + int(_is_right(logits, expected).sum()),
            with_nan=state.with_nan + int(np.isnan(logits).any(axis=1).sum()),
            classes=logits.shape[1],
        )

    def right(self, outputs: Mapping[str, Array], labels: Array) -> NDArray[np.bool_]:
        """Return bool[n], which samples are right.

        Raises:
            MalformedOutputError: As `update`.
            DatasetError: As `update`.
        """
        expected, logits = checked_logits(outputs, labels, classes=self.classes)
        return _is_right(logits, expected)

    def compute(self, state: Top5State) -> Metrics:
        """Return `accuracy/top5`."""
        note = f"{state.with_nan} samples have NaN among their logits and count as wrong" if state.with_nan else ""
        return Metrics({"accuracy/top5": share_estimate(state.right, state.n, _DEFINITION).noted(note)})


def _is_right(logits: NDArray[np.floating], expected: NDArray[np.int64]) -> NDArray[np.bool_]:
    at_label = np.take_along_axis(logits, expected[:, np.newaxis], axis=1)
    earlier = np.arange(logits.shape[1]) < expected[:, np.newaxis]
    better = ((logits > at_label) | ((logits == at_label) & earlier)).sum(axis=1)
    is_right: NDArray[np.bool_] = (better < _BEST) & ~np.isnan(logits).any(axis=1)
    return is_right
