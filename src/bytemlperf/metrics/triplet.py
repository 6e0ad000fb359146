"""Accuracy over triplets: whether the more similar pair has the larger score."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.labels import PAIR
from bytemlperf.errors import DatasetError, MalformedOutputError
from bytemlperf.metrics.estimate import Metrics, joined
from bytemlperf.metrics.pairs import numbers
from bytemlperf.metrics.shares import bytemlperf_share, share_estimate
from bytemlperf.metrics.units import MOST_UNITS, Mean, Units

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
_PAIRS: Final = 2
"""Pairs of a triplet."""
_SCORED: Final = np.dtype([("pair", PAIR), ("score", np.float64)])
_JUDGED: Final = np.dtype([("triplet", np.int64), ("right", np.bool_)])


@attrs.frozen(kw_only=True)
class TripletState:
    """Scored pairs so far: of a triplet of which both are scored only its number is kept, and whether it is right.

    Attributes:
        alone: Pairs of whose triplet the other is still to come, and their scores.
        triplets: Number of the other triplets.
        right: Of these, those whose more similar pair has the larger score.
        with_nan: Pairs whose score is NaN.
        judged: Of each update, numbers of triplets and whether they are right; of the first 2^20 triplets.
    """

    alone: NDArray[np.void] = attrs.field(factory=lambda: np.empty(0, _SCORED), eq=False)
    triplets: int = 0
    right: int = 0
    with_nan: int = 0
    judged: tuple[NDArray[np.void], ...] = attrs.field(default=(), eq=False)


class TripletAccuracy:
    """Share of triplets whose more similar pair has the larger score.

    Each pair is a sample; pairs of a triplet may come in any order and in different batches. A NaN is wrong, and a
    triplet of which only one pair came is not counted, and noted.

    Attributes:
        name: `triplet_accuracy`.
        higher_is_better: True.
        figures: It is a share of triplets.
    """

    figures: ClassVar[Mapping[str, Mean]] = {"accuracy/triplet_accuracy": Mean(ends=(0.0, 1.0))}

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
        known = np.concatenate([state.alone, part])
        known = known[np.lexsort((~known["pair"]["similar"], known["pair"]["triplet"]))]
        _, first, count = np.unique(known["pair"]["triplet"], return_index=True, return_counts=True)
        whole = first[count == _PAIRS]
        judged = np.empty(len(whole), _JUDGED)
        judged["triplet"] = known["pair"]["triplet"][whole]
        judged["right"] = known["score"][whole] > known["score"][whole + 1]
        return TripletState(
            alone=np.delete(known, np.concatenate([whole, whole + 1])),
            triplets=state.triplets + len(whole),
            right=state.right + int(judged["right"].sum()),
            with_nan=state.with_nan + int(np.isnan(part["score"]).sum()),
            judged=(*state.judged, judged[: max(0, MOST_UNITS - state.triplets)]),
        )

    def compute(self, state: TripletState) -> Metrics:
        """Return `accuracy/triplet_accuracy` and, as ByteMLPerf rounds it, `accuracy/triplet_accuracy.bytemlperf`."""
        left_out = len(np.unique(state.alone["pair"]["triplet"]))
        note = joined(
            f"{left_out} triplets of which not both pairs were scored are not counted" if left_out else "",
            f"{state.with_nan} scores are NaN" if state.with_nan else "",
        )
        figure = share_estimate(state.right, state.triplets, _DEFINITION).noted(note)
        theirs = bytemlperf_share(state.right, state.triplets, _BYTEMLPERF).noted(note)
        return Metrics({"accuracy/triplet_accuracy": figure, "accuracy/triplet_accuracy.bytemlperf": theirs})

    def units(self, state: TripletState) -> Units:
        """Return by their numbers which triplets are right, 1 or 0, of those whose pairs were both scored."""
        judged = np.concatenate([np.empty(0, _JUDGED), *state.judged])
        return Units(ids=judged["triplet"], values=judged["right"][:, np.newaxis], noun="triplets")


def _scores(outputs: Mapping[str, Array], n: int) -> NDArray[np.float64]:
    name = "similarity" if "similarity" in outputs or len(outputs) != 1 else next(iter(outputs))
    if name not in outputs:
        raise MalformedOutputError("the answer has no score", got=sorted(outputs), expected="one output, [n] or [n, 1]")
    array = numbers(outputs[name], name=name, kind=MalformedOutputError, whose="output")
    if array.shape not in ((n,), (n, 1)):
        raise MalformedOutputError(f"the output {name!r} is no score of each pair", got=array.shape, expected=f"[{n}]")
    return array.reshape(n).astype(np.float64)
