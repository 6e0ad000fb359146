"""From the raw outputs of YOLOv5 to detections: decoding of its heads, and non-maximum suppression.

Source: YOLOv5 by Ultralytics, release 7.0: the decoding of `models/yolo.py` (Detect), the suppression of
    `utils/general.py` (non_max_suppression) with the settings of `val.py`, and the anchors of `models/yolov5s.yaml`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import MalformedOutputError
from bytemlperf.metrics.pairs import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bytemlperf.datasets.labels import ImageTruth
    from bytemlperf.sample import Array

ANCHORS: Final = {
    8: ((10, 13), (16, 30), (33, 23)),
    16: ((30, 61), (62, 45), (59, 119)),
    32: ((116, 90), (156, 198), (373, 326)),
}
"""Width and height of each head's anchors in pixels, by the head's stride."""
_BOX: Final = 5
_FAR: Final = 7680
"""Boxes of different classes are moved apart by more than an image, so that they never overlap."""
_MOST_CANDIDATES: Final = 30_000


@attrs.frozen(kw_only=True)
class Suppression:
    """How candidates become detections; the defaults are those of YOLOv5's own evaluation.

    Attributes:
        least_score: A candidate's objectness, and its objectness times its class's probability, must be above.
        most_overlap: Of two candidates of one class that overlap more (intersection over union), the worse goes.
        most: Detections of an image.
    """

    least_score: float = 0.001
    most_overlap: float = 0.6
    most: int = 300


@attrs.frozen(kw_only=True, eq=False)
class Detections:
    """What was found in an image, best first.

    Attributes:
        boxes: float64[n, 4], left, top, width and height in pixels of the photograph.
        scores: float64[n].
        categories: int64[n], from 0.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    categories: NDArray[np.int64]


def candidates(outputs: Mapping[str, Array], *, n: int) -> NDArray[np.float64]:
    """Return candidates in pixels of the model's image, [n, candidates, 5 + classes].

    Each is centre x, centre y, width, height, objectness and the classes' probabilities. The decoded output
    [n, candidates, 5 + classes] is taken where there is one; else the heads [n, anchors, rows, columns, 5 + classes]
    are decoded, in order of their strides.

    Raises:
        MalformedOutputError: If there is neither.
    """
    arrays = [numbers(value, name=name, kind=MalformedOutputError, whose="output") for name, value in outputs.items()]
    decoded = [array for array in arrays if array.ndim == 3 and array.shape[2] > _BOX]  # noqa: PLR2004 - as documented
    heads = [array for array in arrays if array.ndim == 5 and array.shape[4] > _BOX]  # noqa: PLR2004 - as documented
    if (len(decoded) != 1 and len(heads) != len(ANCHORS)) or any(len(array) != n for array in (*decoded, *heads)):
        raise MalformedOutputError(
            "the answer has neither candidates nor YOLOv5's three heads",
            got={name: np.shape(value) for name, value in outputs.items()},
            expected=f"[{n}, candidates, 5 + classes], or three [{n}, 3, rows, columns, 5 + classes]",
        )
    return decoded[0].astype(np.float64) if len(decoded) == 1 else decoded_heads(heads)


def decoded_heads(heads: list[Array]) -> NDArray[np.float64]:
    """Decode the three heads of YOLOv5, whose values are logits.

    The head with the most rows has stride 8, the next 16, the last 32.

    Args:
        heads: [n, 3, rows, columns, 5 + classes] each.

    Raises:
        MalformedOutputError: If a head has not its three anchors.
    """
    ordered = sorted(heads, key=lambda head: -head.shape[2])
    parts = [_decoded(head, stride, ANCHORS[stride]) for head, stride in zip(ordered, ANCHORS, strict=True)]
    return np.concatenate(parts, axis=1)


def _decoded(head: Array, stride: int, anchors: tuple[tuple[int, int], ...]) -> NDArray[np.float64]:
    n, count, rows, columns, width = head.shape
    if count != len(anchors):
        raise MalformedOutputError("a head of YOLOv5 has other anchors", got=head.shape, expected="3 on the 2nd axis")
    values = 1.0 / (1.0 + np.exp(-head.astype(np.float64)))
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
    values[..., 0:2] = (values[..., 0:2] * 2 - 0.5 + grid) * stride
    values[..., 2:4] = (values[..., 2:4] * 2) ** 2 * np.array(anchors, np.float64)[:, np.newaxis, np.newaxis, :]
    return values.reshape(n, count * rows * columns, width)


def detections(found: NDArray[np.float64], truth: ImageTruth, settings: Suppression) -> Detections:
    """Suppress candidates and put what is left into the photograph.

    Every class of a candidate that is likely enough is a candidate of its own, as in YOLOv5's evaluation. A candidate
    with a NaN is none.

    Args:
        found: [candidates, 5 + classes], of one image.
        truth: How the photograph was put into the model's image.
        settings: Of the suppression.
    """
    found = found[(found[:, 4] > settings.least_score) & np.isfinite(found).all(axis=1)]
    scores = found[:, _BOX:] * found[:, 4:5]
    which, categories = np.nonzero(scores > settings.least_score)
    values = scores[which, categories]
    best = np.argsort(-values, kind="stable")[:_MOST_CANDIDATES]
    corners, values, categories = _corners(found[which[best], :4]), values[best], categories[best]
    kept = suppressed(corners + _FAR * categories[:, np.newaxis], settings)
    return Detections(boxes=_in_photograph(corners[kept], truth), scores=values[kept], categories=categories[kept])


def suppressed(corners: NDArray[np.float64], settings: Suppression) -> NDArray[np.int64]:
    """Return which boxes stay, best first.

    Args:
        corners: [n, 4], left, top, right and bottom, best first.
        settings: Of the suppression.
    """
    left = np.arange(len(corners))
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    kept: list[int] = []
    while left.size and len(kept) < settings.most:
        best, left = int(left[0]), left[1:]
        kept.append(best)
        low = np.maximum(corners[left, :2], corners[best, :2])
        high = np.minimum(corners[left, 2:], corners[best, 2:])
        shared = np.prod(np.clip(high - low, 0, None), axis=1)
        left = left[shared <= settings.most_overlap * (areas[left] + areas[best] - shared)]
    return np.array(kept, np.int64)


def _corners(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    half = boxes[:, 2:4] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _in_photograph(corners: NDArray[np.float64], truth: ImageTruth) -> NDArray[np.float64]:
    """Return left, top, width and height in pixels of the photograph, cut off at its edges."""
    moved = (corners - np.array([truth.left, truth.top] * 2)) / truth.scale
    cut = np.clip(moved, 0, np.array([truth.width, truth.height] * 2, np.float64))
    return np.concatenate([cut[:, :2], cut[:, 2:] - cut[:, :2]], axis=1)
