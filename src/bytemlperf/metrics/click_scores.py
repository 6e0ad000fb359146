"""Probabilities of a click and what happened, found to fit each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import DatasetError, MalformedOutputError
from bytemlperf.metrics.pairs import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bytemlperf.sample import Array

_NAME: Final = "probabilities"


@attrs.frozen(kw_only=True, eq=False)
class ClickScores:
    """Scores of samples with their labels.

    Attributes:
        probability: [n] of floating-point numbers, as the model gave them, of a click; NaN where it gave NaN.
        clicked: bool[n], whether there was one.
    """

    probability: NDArray[np.floating]
    clicked: NDArray[np.bool_]


@attrs.frozen(kw_only=True)
class ScoresState:
    """Scores so far: of each sample a byte and its probability in the model's own type, 5 bytes for float32.

    Attributes:
        parts: Of each update.
    """

    parts: tuple[ClickScores, ...] = ()

    def with_more(self, scores: ClickScores) -> ScoresState:
        """Return the state after more scores."""
        return ScoresState(parts=(*self.parts, scores))

    def joined(self, *, most: int | None = None) -> ClickScores:
        """Return all scores in order, or the first ones."""
        empty = ClickScores(probability=np.empty(0), clicked=np.empty(0, np.bool_))
        ends = np.cumsum([len(part.clicked) for part in self.parts])
        parts = self.parts[: None if most is None else int(np.searchsorted(ends, most)) + 1] or (empty,)
        return ClickScores(
            probability=np.concatenate([part.probability for part in parts])[:most],
            clicked=np.concatenate([part.clicked for part in parts])[:most],
        )


def click_scores(outputs: Mapping[str, Array], labels: Array) -> ClickScores:
    """Read the probability of the second class.

    Args:
        outputs: `probabilities`, or one output of any name: [n], [n, 1] (of a click), or [n, 2] (of none and of one).
        labels: 0 or 1, [n].

    Raises:
        MalformedOutputError: If there are no such probabilities, or one lies outside 0 to 1.
        DatasetError: If a label is neither 0 nor 1.
    """
    clicked = np.asarray(labels)
    if clicked.ndim != 1 or clicked.dtype.kind not in "biu" or not np.isin(clicked, (0, 1)).all():
        raise DatasetError("labels are no clicks", got=f"{clicked.dtype} {clicked.shape}", expected="0 or 1, [n]")
    probability = both_probabilities(outputs, len(clicked))[:, 1]
    outside = probability[(probability < 0) | (probability > 1)]
    if outside.size:
        raise MalformedOutputError("a probability is none", got=float(outside[0]), expected="a number from 0 to 1")
    kept = probability.copy() if probability.dtype.kind == "f" else probability.astype(np.float64)  # no wave is held
    return ClickScores(probability=kept, clicked=clicked.astype(np.bool_))


def both_probabilities(outputs: Mapping[str, Array], n: int) -> NDArray[np.floating]:
    """Return the probabilities of no click and of one, [n, 2]; where the model gives one, the other is 1 less it.

    Args:
        outputs: As for `click_scores`.
        n: Samples.

    Raises:
        MalformedOutputError: If there are no such probabilities.
    """
    name = _NAME if _NAME in outputs or len(outputs) != 1 else next(iter(outputs))
    if name not in outputs:
        raise MalformedOutputError(
            f"the answer has no output {_NAME!r}", got=sorted(outputs), expected=f"{_NAME!r}, or one output of any name"
        )
    array = numbers(outputs[name], name=name, kind=MalformedOutputError, whose="output")
    match array.shape:
        case (rows, 2) if rows == n:
            return array
        case (rows,) | (rows, 1) if rows == n:
            click = array.reshape(n)
            return np.stack([1 - click, click], axis=1)
        case _:
            raise MalformedOutputError(
                f"the output {name!r} has the wrong shape", got=array.shape, expected=f"[{n}], [{n}, 1] or [{n}, 2]"
            )
