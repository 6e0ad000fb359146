"""Accuracy over triplets: whether the more similar pair has the larger score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.labels import PAIR
from bytemlperf.errors import DatasetError, MalformedOutputError
from bytemlperf.metrics.estimate import Metrics, joined
from bytemlperf.metrics.pairs import numbers
from bytemlperf.metrics.shares import bytemlperf_share, share_estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bytemlperf.sample import Array

_DEFINITION: Final = (
    "share of triplets (A, B, C) in which the more similar pair has the larger score, equal scores being wrong; "
    "exact binomial interval"
)
_BYTEMLPERF: Final = (
    "ByteMLPerf's formula, for comparison only: the same share, rounded to 5 decimals; exact binomial interval"
)
_SCORED: Final = np.dtype([("pair", PAIR), ("score", np.float64)])


@attrs.frozen(kw_only=True)
class TripletState:
    """Scored pairs so far.

    Attributes:
        parts: Of each update, pairs and their scores.
    """

    parts: tuple[NDArray[np.void], ...] = ()


class TripletAccuracy:
    """Share of triplets whose more similar pair has the larger score.

    Each pair is a sample; pairs of a triplet may come in any order and in different batches. A NaN is wrong, and a
    triplet of which only one pair came is not counted, and noted.

    Attributes:
        name: `triplet_accuracy`.
        higher_is_better: True.
    """

    def __init__(self) -> None:
        """Take no options."""
        self.name = "triplet_accuracy"
        self.higher_is_better = True

    def initial(self) -> TripletState:
        """Return the state before the first pair."""
        return TripletState()

    def update(self, state: TripletState, outputs: Mapping[str, Array], labels: Array) -> TripletState:
        """Return the state after more pairs.

        Args:
            state: From `initial` or `update`.
            outputs: One output of any name, or `similarity`: [n] or [n, 1].
            labels: [n] of dtype `PAIR`.

        Raises:
            MalformedOutputError: If there is no such score.
            DatasetError: If labels are none of pairs.
        """
        pairs = np.asarray(labels)
        if pairs.dtype != PAIR or pairs.ndim != 1:
            raise DatasetError("labels are none of pairs", got=str(pairs.dtype), expected="triplet and similar, [n]")
        part = np.empty(len(pairs), _SCORED)
        part["pair"], part["score"] = pairs, _scores(outputs, len(pairs))
        return TripletState(parts=(*state.parts, part))

    def compute(self, state: TripletState) -> Metrics:
        """Return `accuracy/triplet_accuracy` and, as ByteMLPerf rounds it, `accuracy/triplet_accuracy.bytemlperf`."""
        pairs = np.concatenate([np.empty(0, _SCORED), *state.parts])
        order = np.lexsort((~pairs["pair"]["similar"], pairs["pair"]["triplet"]))
        pairs = pairs[order]
        triplets, first, count = np.unique(pairs["pair"]["triplet"], return_index=True, return_counts=True)
        whole = first[count == 2]  # noqa: PLR2004 - a triplet is two pairs
        scores = pairs["score"]
        right = int((scores[whole] > scores[whole + 1]).sum())
        left_out, nan = len(triplets) - len(whole), int(np.isnan(scores).sum())
        note = joined(
            f"{left_out} triplets of which not both pairs were scored are not counted" if left_out else "",
            f"{nan} scores are NaN" if nan else "",
        )
        figure = share_estimate(right, len(whole), _DEFINITION).noted(note)
        theirs = bytemlperf_share(right, len(whole), _BYTEMLPERF).noted(note)
        return Metrics({"accuracy/triplet_accuracy": figure, "accuracy/triplet_accuracy.bytemlperf": theirs})


def _scores(outputs: Mapping[str, Array], n: int) -> NDArray[np.float64]:
    name = "similarity" if "similarity" in outputs or len(outputs) != 1 else next(iter(outputs))
    if name not in outputs:
        raise MalformedOutputError("the answer has no score", got=sorted(outputs), expected="one output, [n] or [n, 1]")
    array = numbers(outputs[name], name=name, kind=MalformedOutputError, whose="output")
    if array.shape not in ((n,), (n, 1)):
        raise MalformedOutputError(f"the output {name!r} is no score of each pair", got=array.shape, expected=f"[{n}]")
    return array.reshape(n).astype(np.float64)
