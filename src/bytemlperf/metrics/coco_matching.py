"""Which detections are right, and average precision of them, by COCO's rules.

Source: T.-Y. Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014, and its published evaluation (boxes,
    all areas, 100 detections of a class in an image, 101 recall levels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bytemlperf.datasets.labels import ImageTruth
    from bytemlperf.metrics.yolov5 import Detections

OVERLAPS: Final = np.linspace(0.5, 0.95, 10)
"""Least intersection over union at which a detection matches."""
RECALLS: Final = np.linspace(0.0, 1.0, 101)
"""Levels of recall at which precision is read."""
MOST: Final = 100
"""Detections of one class in one image that are looked at."""


@attrs.frozen(kw_only=True, eq=False)
class Matches:
    """What became of the detections of one class in one image.

    Attributes:
        image_id: Of the image.
        category: Of the class.
        scores: float64[n], best first.
        right: bool[10, n], for each overlap, whether a detection matches an object.
        ignored: bool[10, n], whether it matches a crowd, and counts neither way.
        objects: Objects that are to be found.
    """

    image_id: int
    category: int
    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    objects: int


def match(found: Detections, truth: ImageTruth) -> Iterator[Matches]:
    """Match an image's detections with its objects, class by class."""
    for category in np.union1d(found.categories, truth.categories).tolist():
        of_found, of_truth = found.categories == category, truth.categories == category
        order = np.argsort(-found.scores[of_found], kind="stable")[:MOST]
        crowd = truth.crowd[of_truth]
        last = np.argsort(crowd, kind="stable")
        overlap = overlaps(found.boxes[of_found][order], truth.boxes[of_truth][last], crowd[last])
        right, ignored = _matched(overlap, crowd[last])
        yield Matches(
            image_id=truth.image_id,
            category=category,
            scores=found.scores[of_found][order],
            right=right,
            ignored=ignored,
            objects=int((~crowd).sum()),
        )


def overlaps(found: NDArray[np.float64], objects: NDArray[np.float64], crowd: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return intersection over union, [found, objects]; over the detection's own area where an object is a crowd.

    Args:
        found: [n, 4], left, top, width and height.
        objects: [m, 4], the same.
        crowd: [m].
    """
    low = np.maximum(found[:, np.newaxis, :2], objects[np.newaxis, :, :2])
    high = np.minimum((found[:, :2] + found[:, 2:])[:, np.newaxis], (objects[:, :2] + objects[:, 2:])[np.newaxis])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    own, theirs = found[:, 2] * found[:, 3], objects[:, 2] * objects[:, 3]
    union = np.where(crowd, own[:, np.newaxis], own[:, np.newaxis] + theirs - shared)
    shares: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return shares


def _matched(overlap: NDArray[np.float64], crowd: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Give each detection, best first, the object that it overlaps most and nobody has; crowds only if none is left."""
    count = len(overlap)
    right, ignored = np.zeros((len(OVERLAPS), count), np.bool_), np.zeros((len(OVERLAPS), count), np.bool_)
    taken = np.zeros((len(OVERLAPS), len(crowd)), np.bool_)
    least, rows = np.minimum(OVERLAPS, 1 - 1e-10)[:, np.newaxis], np.arange(len(OVERLAPS))
    for number in np.flatnonzero((overlap >= OVERLAPS[0]).any(axis=1)).tolist():
        may = (overlap[number] >= least) & (~taken | crowd)
        proper = may & ~crowd
        may = np.where(proper.any(axis=1, keepdims=True), proper, may)
        chosen = len(crowd) - 1 - np.where(may, overlap[number], -1.0)[:, ::-1].argmax(axis=1)  # the last of equals
        matched = may.any(axis=1)
        taken[rows[matched], chosen[matched]] = True
        right[:, number] = matched & ~crowd[chosen]
        ignored[:, number] = matched & crowd[chosen]
    return right, ignored


def average_precisions(matches: Sequence[Matches]) -> dict[int, NDArray[np.float64]]:
    """Return average precision at each overlap, float64[10], of each class that has an object.

    Args:
        matches: Of all images; equal scores are ordered by their image's id.
    """
    by_class: dict[int, list[Matches]] = {}
    for each in sorted(matches, key=lambda each: each.image_id):
        by_class.setdefault(each.category, []).append(each)
    return {
        category: _average_precision(chosen)
        for category, chosen in sorted(by_class.items())
        if sum(each.objects for each in chosen)
    }


def _average_precision(matches: Sequence[Matches]) -> NDArray[np.float64]:
    scores = np.concatenate([each.scores for each in matches])
    order = np.argsort(-scores, kind="stable")
    right = np.concatenate([each.right for each in matches], axis=1)[:, order]
    wrong = ~right & ~np.concatenate([each.ignored for each in matches], axis=1)[:, order]
    objects = sum(each.objects for each in matches)
    hits, misses = np.cumsum(right, axis=1), np.cumsum(wrong, axis=1)
    recall = hits / objects
    precision = hits / (hits + misses + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return np.array([_read(recall[row], envelope[row]) for row in range(len(OVERLAPS))])


def _read(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Return the mean of precision at all levels of recall, 0 beyond the largest that is reached."""
    places = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(precision, 0.0)[places].mean())
