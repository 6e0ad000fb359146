"""Zero-shot accuracy of an image-text model: the prompt that fits an image best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.metrics.estimate import Metrics
from bytemlperf.metrics.shares import bytemlperf_share, share_estimate
from bytemlperf.metrics.top1 import checked_logits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bytemlperf.sample import Array

_OUTPUT: Final = "logits_per_image"
_DEFINITION: Final = (
    "share of images whose largest similarity (the first of equals) is that of their own class's prompt; "
    "exact binomial interval"
)
_BYTEMLPERF: Final = (
    "ByteMLPerf's formula, for comparison only: the same share, rounded to 5 decimals, a NaN being the largest; exact "
    "binomial interval"
)


@attrs.frozen(kw_only=True)
class ZeroShotState:
    """Counts so far.

    Attributes:
        n: Images.
        right: Those that fit their class's prompt best.
        right_bytemlperf: The same by ByteMLPerf's formula.
        prompts: Number of prompts; None before the first image.
    """

    n: int = 0
    right: int = 0
    right_bytemlperf: int = 0
    prompts: int | None = None


class ZeroShotTop1:
    """Share of images that fit the prompt of their own class best; an image with a NaN is wrong.

    Attributes:
        name: `zero_shot_top1`.
        higher_is_better: True.
    """

    def __init__(self) -> None:
        """Take no options."""
        self.name = "zero_shot_top1"
        self.higher_is_better = True

    def initial(self) -> ZeroShotState:
        """Return the state before the first image."""
        return ZeroShotState()

    def update(self, state: ZeroShotState, outputs: Mapping[str, Array], labels: Array) -> ZeroShotState:
        """Return the state after more images.

        Args:
            state: From `initial` or `update`.
            outputs: `logits_per_image` [n, prompts], or one output of any name.
            labels: Index of the right prompt, [n].

        Raises:
            MalformedOutputError: If there are no such similarities.
            DatasetError: If a label is no prompt's index.
        """
        expected, logits = checked_logits(_per_image(outputs), labels, classes=state.prompts)
        return ZeroShotState(
            n=state.n + len(expected),
            right=state.right + int(_is_right(logits, expected).sum()),
            right_bytemlperf=state.right_bytemlperf + int((logits.argmax(axis=1) == expected).sum()),
            prompts=logits.shape[1],
        )

    def right(self, outputs: Mapping[str, Array], labels: Array) -> NDArray[np.bool_]:
        """Return bool[n], which images are right.

        Raises:
            MalformedOutputError: As `update`.
            DatasetError: As `update`.
        """
        expected, logits = checked_logits(_per_image(outputs), labels, classes=None)
        return _is_right(logits, expected)

    def compute(self, state: ZeroShotState) -> Metrics:
        """Return `accuracy/zero_shot_top1` and, by ByteMLPerf's formula, `accuracy/zero_shot_top1.bytemlperf`."""
        theirs = bytemlperf_share(state.right_bytemlperf, state.n, _BYTEMLPERF)
        return Metrics(
            {
                "accuracy/zero_shot_top1": share_estimate(state.right, state.n, _DEFINITION),
                "accuracy/zero_shot_top1.bytemlperf": theirs,
            }
        )


def _per_image(outputs: Mapping[str, Array]) -> Mapping[str, Array]:
    return {"logits": outputs[_OUTPUT]} if _OUTPUT in outputs else outputs


def _is_right(logits: NDArray[np.floating], expected: NDArray[np.int64]) -> NDArray[np.bool_]:
    is_right: NDArray[np.bool_] = (logits.argmax(axis=1) == expected) & ~np.isnan(logits).any(axis=1)
    return is_right
