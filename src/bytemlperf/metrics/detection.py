"""Mean average precision of a detector, by COCO's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import attrs
import numpy as np

from bytemlperf.datasets.labels import ImageTruth
from bytemlperf.errors import DatasetError
from bytemlperf.metrics.coco_matching import Matches, average_precisions, match
from bytemlperf.metrics.coco_units import average_precision, photographs
from bytemlperf.metrics.estimate import Estimate, Metrics
from bytemlperf.metrics.yolov5 import Suppression, candidates, detections
from bytemlperf.statistics.interval import Interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from bytemlperf.metrics.units import Figure, Units
    from bytemlperf.sample import Array

RESAMPLES: Final = 100
"""Data sets that are drawn for the interval: each is a whole evaluation."""
_FEW: Final = 2
_ROWS_AT_ONCE: Final = 4_000_000
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
        figures: They are computed anew from the photographs that are drawn.
        suppression: How candidates become detections.
    """

    figures: ClassVar[Mapping[str, Figure]] = {
        "accuracy/map": average_precision(),
        "accuracy/map50": average_precision(overlaps=slice(1)),
    }

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
        drawn = _drawn(self.units(state), self.figures.values())
        return Metrics(
            {
                name: Estimate(value=float(value), unit="1", n=len(state.images), definition=text).within(interval)
                for (name, text), value, interval in zip(_DEFINITIONS.items(), values, drawn, strict=True)
            }
        )

    def units(self, state: DetectionState) -> Units:
        """Return what became of every detection in each photograph, by the photograph's id."""
        return photographs([each for part in state.parts for each in part], state.images)


def _means(by_class: Mapping[int, NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """Return the mean over overlaps and the one at 0.50, over classes; None where no class has an object."""
    if not by_class:
        return None
    table = np.stack(list(by_class.values()))
    return np.array([table.mean(), table[:, 0].mean()])


def _drawn(units: Units, figures: Iterable[Figure]) -> Iterator[Interval]:
    """Yield the interval of each figure, from the same drawings of photographs."""
    ids, place = np.unique(units.ids, return_inverse=True)
    counts = (
        np.random.default_rng(0).multinomial(len(ids), [1 / len(ids)] * len(ids), size=RESAMPLES).astype(np.float64)
    )
    step = max(1, _ROWS_AT_ONCE // len(place))
    for figure in figures:
        if len(ids) < _FEW:
            yield Interval(low=0.0, high=1.0, level=0.95)
            continue
        weighed = figure(units.values)
        with np.errstate(invalid="ignore"):  # photographs without any object have no figure
            parts = [weighed(counts[first : first + step, place]) for first in range(0, RESAMPLES, step)]
        found = np.concatenate(parts)
        low, high = np.quantile(found[np.isfinite(found)], [0.025, 0.975])
        yield Interval(low=low, high=high, level=0.95)
