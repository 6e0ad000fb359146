"""Mean average precision of a detector, by COCO's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.datasets.labels import ImageTruth
from bytemlperf.errors import DatasetError
from bytemlperf.metrics.coco_matching import Matches, average_precisions, match
from bytemlperf.metrics.estimate import Estimate, Metrics
from bytemlperf.metrics.yolov5 import Suppression, candidates, detections
from bytemlperf.statistics.interval import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bytemlperf.sample import Array

RESAMPLES: Final = 100
"""Data sets that are drawn for the interval: each is a whole evaluation."""
_FEW: Final = 2
_WHAT: Final = "COCO's average precision of boxes over classes, YOLOv5's own suppression before"
_INTERVAL: Final = f"percentile interval of {RESAMPLES} bootstrap drawings of images"
_DEFINITIONS: Final = {
    "accuracy/map": f"{_WHAT}; mean over overlaps 0.50 to 0.95; {_INTERVAL}",
    "accuracy/map50": f"{_WHAT}; at overlap 0.50; {_INTERVAL}",
}


@attrs.frozen(kw_only=True)
class DetectionState:
    """Matches so far.

    Attributes:
        parts: Of each update, what became of the detections.
        images: Ids of the images.
    """

    parts: tuple[tuple[Matches, ...], ...] = ()
    images: tuple[int, ...] = ()


class DetectionMap:
    """Mean average precision of YOLOv5's detections over COCO's classes.

    Labels are `ImageTruth`s, which say how a photograph was put into the model's image, so that boxes are compared in
    the photograph. A candidate with a NaN is no detection.

    Attributes:
        name: `map`.
        higher_is_better: True.
        suppression: How candidates become detections.
    """

    def __init__(self, *, suppression: Suppression | None = None) -> None:
        """Say how candidates become detections, where not as YOLOv5 does."""
        self.name = "map"
        self.higher_is_better = True
        self.suppression = suppression or Suppression()

    def initial(self) -> DetectionState:
        """Return the state before the first image."""
        return DetectionState()

    def update(self, state: DetectionState, outputs: Mapping[str, Array], labels: Array) -> DetectionState:
        """Return the state after more images.

        Args:
            state: From `initial` or `update`.
            outputs: What `bytemlperf.metrics.yolov5.candidates` takes.
            labels: `ImageTruth`s [n].

        Raises:
            MalformedOutputError: If there are no candidates.
            DatasetError: If labels are none of images.
        """
        truths = np.asarray(labels, object).ravel().tolist()
        wrong = [each for each in truths if not isinstance(each, ImageTruth)]
        if wrong:
            raise DatasetError("a label is no image's", got=wrong[0], expected="an ImageTruth for each sample")
        found = candidates(outputs, n=len(truths))
        part = tuple(
            each
            for row, truth in zip(found, truths, strict=True)
            for each in match(detections(row, truth, self.suppression), truth)
        )
        images = (*state.images, *(truth.image_id for truth in truths))
        return DetectionState(parts=(*state.parts, part), images=images)

    def compute(self, state: DetectionState) -> Metrics:
        """Return `accuracy/map` (overlaps 0.50 to 0.95) and `accuracy/map50`."""
        matches = [each for part in state.parts for each in part]
        values = _means(average_precisions(matches))
        if values is None:
            note = "no image has an object"
            return Metrics(
                {
                    name: Estimate(value=None, unit="1", definition=text, note=note)
                    for name, text in _DEFINITIONS.items()
                }
            )
        drawn = _drawn(matches, state.images)
        return Metrics(
            {
                name: Estimate(value=float(value), unit="1", n=len(state.images), definition=text).within(interval)
                for (name, text), value, interval in zip(_DEFINITIONS.items(), values, drawn, strict=True)
            }
        )


def _means(by_class: Mapping[int, NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """Return the mean over overlaps and the one at 0.50, over classes; None where no class has an object."""
    if not by_class:
        return None
    table = np.stack(list(by_class.values()))
    return np.array([table.mean(), table[:, 0].mean()])


def _drawn(matches: list[Matches], images: tuple[int, ...]) -> tuple[Interval, ...]:
    unbounded = (Interval(low=0.0, high=1.0, level=0.95),) * len(_DEFINITIONS)
    if len(images) < _FEW:
        return unbounded
    rng, places = np.random.default_rng(0), {image: place for place, image in enumerate(images)}
    of_match = np.array([places[each.image_id] for each in matches])
    counts = (rng.multinomial(len(images), [1 / len(images)] * len(images)) for _ in range(RESAMPLES))
    figures = [_means(average_precisions(matches, count[of_match].astype(np.float64))) for count in counts]
    found = np.stack([each for each in figures if each is not None] or [np.array([0.0, 0.0]), np.array([1.0, 1.0])])
    low, high = np.quantile(found, [0.025, 0.975], axis=0)
    return tuple(Interval(low=one, high=other, level=0.95) for one, other in zip(low, high, strict=True))
