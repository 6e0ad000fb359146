"""What photographs bring to average precision, as a table, and average precision of photographs drawn from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.metrics.coco_matching import OVERLAPS, RECALLS
from bytemlperf.metrics.units import Units

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bytemlperf.metrics.coco_matching import Matches
    from bytemlperf.metrics.units import Weighed

_NO_CLASS: Final = -1
_BITS: Final = 1 << np.arange(len(OVERLAPS))
_ALL: Final = int(_BITS.sum())


def photographs(matches: Sequence[Matches], images: Sequence[int]) -> Units:
    """Return a row for each detection, in the order of the photographs, and one for each that has none.

    The columns are class, score, right and ignored (a bit for each overlap) and objects that are to be found; these
    stand in the first row of their class in a photograph.

    Args:
        matches: Of all photographs.
        images: Ids of all photographs, also of those without a detection or an object.
    """
    empty = [np.array([[_NO_CLASS, -np.inf, 0, _ALL, 0]])] * len(images)
    parts = [*empty, *(_rows(each) for each in matches)]
    of = [*images, *(each.image_id for each in matches)]
    counts = [len(part) for part in parts]
    places = {image: place for place, image in enumerate(images)}
    order = np.argsort(np.repeat(np.array([places[each] for each in of], np.int64), counts), kind="stable")
    values = np.concatenate([np.empty((0, 5)), *parts])
    return Units(ids=np.repeat(np.array(of, np.int64), counts)[order], values=values[order], noun="photographs")


def _rows(matches: Matches) -> NDArray[np.float64]:
    found = len(matches.scores)
    rows = np.zeros((max(1, found), 5))
    rows[:, 0] = matches.category
    rows[0, 4] = matches.objects
    if not found:
        rows[0, 1], rows[0, 3] = -np.inf, _ALL
        return rows
    rows[:, 1], rows[:, 2], rows[:, 3] = matches.scores, _BITS @ matches.right, _BITS @ matches.ignored
    return rows


@attrs.frozen(kw_only=True, eq=False)
class _Class:
    """The detections of a class, best first; equal ones in the order of their photographs.

    Attributes:
        rows: int64[n], where they are among all rows.
        right: bool[overlaps, n].
        counted: bool[overlaps, n], which are right or wrong.
        objects: float64[n], that are to be found where a row stands.
    """

    rows: NDArray[np.intp]
    right: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    objects: NDArray[np.float64]


def average_precision(*, overlaps: slice = slice(None)) -> Callable[[NDArray[np.float64]], Weighed]:
    """Return the figure: the mean of average precision over classes that have an object, and over some overlaps.

    Args:
        overlaps: Which of the ten, 0.50 to 0.95.
    """

    def figure(values: NDArray[np.float64]) -> Weighed:
        classes = [_class(values, each, overlaps) for each in np.unique(values[:, 0]) if each != _NO_CLASS]

        def means(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            sums, counts = np.zeros(len(weights)), np.zeros(len(weights))
            for each in classes:
                drawn = weights[:, each.rows]
                objects = drawn @ each.objects
                sums += np.where(objects > 0, _precision(each, drawn, objects), 0.0)
                counts += objects > 0
            found: NDArray[np.float64] = sums / counts
            return found

        return means

    return figure


def _class(values: NDArray[np.float64], category: float, overlaps: slice) -> _Class:
    rows = np.flatnonzero(values[:, 0] == category)
    rows = rows[np.argsort(-values[rows, 1], kind="stable")]
    right, ignored = ((values[rows, column].astype(np.int64) & _BITS[overlaps, np.newaxis]) != 0 for column in (2, 3))
    return _Class(rows=rows, right=right, counted=~ignored, objects=values[rows, 4])


def _precision(of: _Class, drawn: NDArray[np.float64], objects: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over overlaps of average precision in each data set.

    It is read where a detection is right: there recall grows, and between two of these precision only falls.
    """
    levels = np.zeros(len(drawn))
    before: tuple[NDArray[np.bool_], NDArray[np.float64]] | None = None
    for right, counted in zip(of.right, of.counted, strict=True):
        if before is None or not np.array_equal(before[0], counted):
            before = counted, np.cumsum(drawn * counted, axis=1)
        places = np.flatnonzero(right)
        if places.size:
            hits = np.cumsum(drawn[:, places], axis=1)
            precision = hits / (before[1][:, places] + np.spacing(1))
            best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            reached = np.searchsorted(RECALLS, hits / objects[:, np.newaxis], side="right")
            levels += (best * np.diff(reached, axis=1, prepend=0)).sum(axis=1)
    mean: NDArray[np.float64] = levels / (len(RECALLS) * len(of.right))
    return mean
