from __future__ import annotations

import contextlib
import io

import attrs
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bytemlperf.datasets.labels import ImageTruth, as_labels
from bytemlperf.errors import DatasetError, MalformedOutputError
from bytemlperf.metrics import DetectionMap
from bytemlperf.metrics.coco_matching import average_precisions, match
from bytemlperf.metrics.coco_units import average_precision, photographs
from bytemlperf.metrics.yolov5 import (
    ANCHORS,
    Detections,
    Suppression,
    candidates,
    decoded_heads,
    detections,
    suppressed,
)


def image(rng, image_id, *, classes=4, objects=6, crowd=0.15):
    count = int(rng.integers(0, objects + 1))
    boxes = np.concatenate([rng.uniform(0, 300, (count, 2)), rng.uniform(5, 200, (count, 2))], axis=1)
    return ImageTruth(
        image_id=image_id,
        boxes=boxes,
        categories=rng.integers(0, classes, count),
        crowd=rng.random(count) < crowd,
        areas=boxes[:, 2] * boxes[:, 3],
        width=640,
        height=480,
    )


def guesses(rng, truth, *, classes=4, noise=12.0):
    """Most objects with some jitter, several times; and some boxes from nowhere; with many equal scores."""
    repeated = np.repeat(np.arange(len(truth.boxes)), rng.integers(0, 4, len(truth.boxes)))
    near = truth.boxes[repeated] + rng.normal(0, noise, (len(repeated), 4))
    far = np.concatenate([rng.uniform(0, 300, (9, 2)), rng.uniform(5, 200, (9, 2))], axis=1)
    boxes = np.maximum(np.concatenate([near, far]), 1.0)
    categories = np.concatenate([truth.categories[repeated], rng.integers(0, classes, 9)])
    scores = rng.integers(1, 40, len(boxes)) / 40
    return Detections(boxes=boxes, scores=scores, categories=categories)


def by_pycocotools(truths, found, classes):
    annotations, results = [], []
    for truth in truths:
        for box, category, crowd, area in zip(truth.boxes, truth.categories, truth.crowd, truth.areas, strict=True):
            annotations.append({
                "id": len(annotations) + 1, "image_id": truth.image_id, "category_id": int(category) + 1,
                "bbox": box.tolist(), "area": float(area), "iscrowd": int(crowd),
            })  # fmt: skip
    for truth, each in zip(truths, found, strict=True):
        for box, score, category in zip(each.boxes, each.scores, each.categories, strict=True):
            results.append({
                "image_id": truth.image_id, "category_id": int(category) + 1,
                "bbox": box.tolist(), "score": float(score),
            })  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": truth.image_id} for truth in truths],
            "annotations": annotations,
            "categories": [{"id": number + 1} for number in range(classes)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:2]


@pytest.mark.parametrize("seed", range(6))
def test_average_precision_is_that_of_pycocotools(seed):
    rng = np.random.default_rng(seed)
    truths = [image(rng, image_id) for image_id in rng.permutation(60).tolist()]
    found = [guesses(rng, truth, noise=3.0 * (seed + 1)) for truth in truths]
    matches = [each for truth, one in zip(truths, found, strict=True) for each in match(one, truth)]
    table = np.stack(list(average_precisions(matches).values()))
    mean, at_half = by_pycocotools(truths, found, 4)
    assert table.mean() == pytest.approx(mean, rel=1e-6, abs=1e-9)
    assert table[:, 0].mean() == pytest.approx(at_half, rel=1e-6, abs=1e-9)
    assert 0.01 < mean < 0.9


def test_counting_a_photograph_twice_is_having_it_twice(rng):
    truths = [image(rng, number) for number in rng.permutation(40).tolist()]
    found = [attrs.evolve(each, scores=rng.random(len(each.scores))) for each in (guesses(rng, one) for one in truths)]
    matches = [list(match(one, truth)) for truth, one in zip(truths, found, strict=True)]
    units = photographs([each for part in matches for each in part], [truth.image_id for truth in truths])
    weights = rng.integers(0, 3, (5, 40))
    places = {truth.image_id: place for place, truth in enumerate(truths)}
    rows = weights[:, [places[each] for each in units.ids.tolist()]].astype(float)
    drawn = [average_precision(overlaps=part)(units.values)(rows) for part in (slice(None), slice(1))]
    for draw, weight in enumerate(weights):
        repeated = [each for part, times in zip(matches, weight, strict=True) for each in part for _ in range(times)]
        table = np.stack(list(average_precisions(repeated).values()))
        assert drawn[0][draw] == pytest.approx(table.mean(), rel=1e-12)
        assert drawn[1][draw] == pytest.approx(table[:, 0].mean(), rel=1e-12)


def test_photographs_without_an_object_have_no_figure_and_still_are_units(rng):
    truths = [image(rng, number, objects=0) for number in (7, 3)]
    none = Detections(boxes=np.empty((0, 4)), scores=np.empty(0), categories=np.empty(0, np.int64))
    units = photographs([each for truth in truths for each in match(none, truth)], [7, 3])
    assert units.ids.tolist() == [7, 3]
    with np.errstate(invalid="ignore"):
        assert np.isnan(average_precision()(units.values)(np.ones((1, 2)))[0])


def raw(boxes, categories, *, classes=3, scores=None, extra=2):
    """Return YOLOv5's decoded output for boxes as left, top, width, height in the model's image."""
    found = np.zeros((len(boxes) + extra, 5 + classes))
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    found[: len(boxes), :2], found[: len(boxes), 2:4] = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]
    found[: len(boxes), 4] = 1.0 if scores is None else scores
    found[np.arange(len(boxes)), 5 + np.asarray(categories, int)] = 1.0
    return found


def test_detections_are_put_back_into_the_photograph_and_cut_off_at_its_edges(rng):
    truth = attrs.evolve(image(rng, 1), scale=0.5, left=10.0, top=20.0, width=100, height=80)
    found = detections(raw([[15, 30, 20, 10], [55, 20, 30, 90]], [0, 1]), truth, Suppression())
    np.testing.assert_allclose(found.boxes, [[10, 20, 40, 20], [90, 0, 10, 80]])
    assert found.categories.tolist() == [0, 1]


def test_of_overlapping_boxes_of_one_class_the_best_stays(rng):
    boxes, truth = [[10, 10, 50, 50], [12, 12, 50, 50], [12, 12, 50, 50]], image(rng, 1)
    found = detections(raw(boxes, [0, 0, 1], scores=[0.6, 0.9, 0.5]), truth, Suppression())
    assert found.scores.tolist() == [0.9, 0.5]
    assert found.categories.tolist() == [0, 1]
    all_of_them = detections(raw(boxes, [0, 0, 1], scores=[0.6, 0.9, 0.5]), truth, Suppression(most_overlap=0.99))
    assert all_of_them.scores.tolist() == [0.9, 0.6, 0.5]
    assert len(detections(raw(boxes, [0, 0, 1]), truth, Suppression(most=1)).scores) == 1


def test_suppression_is_the_greedy_one(rng):
    boxes = rng.uniform(0, 60, (200, 2))
    corners = np.concatenate([boxes, boxes + rng.uniform(5, 40, (200, 2))], axis=1)

    def overlap(one, other):
        width, height = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
        shared = max(width, 0) * max(height, 0)
        return shared / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared)

    kept = []
    for number, each in enumerate(corners):
        if all(overlap(corners[other], each) <= 0.45 for other in kept):
            kept.append(number)
    assert suppressed(corners, Suppression(most_overlap=0.45)).tolist() == kept


def test_every_class_that_is_likely_enough_is_a_candidate(rng):
    one = np.array([[50, 50, 20, 20, 0.5, 0.4, 0.001, 0.9]])
    found = detections(one, image(rng, 1), Suppression())
    assert (found.categories.tolist(), found.scores.tolist()) == ([2, 0], [0.45, 0.2])
    nothing = detections(np.array([[50, 50, 20, 20, np.nan, 1, 1, 1]]), image(rng, 1), Suppression())
    assert len(nothing.scores) == 0


def test_heads_are_decoded_as_yolov5_does(rng):
    heads = [rng.normal(size=(2, 3, 64 // stride, 96 // stride, 7)).astype(np.float32) for stride in ANCHORS]
    found = decoded_heads([heads[2], heads[0], heads[1]])
    assert found.shape == (2, 3 * (8 * 12 + 4 * 6 + 2 * 3), 7)
    first = 1 / (1 + np.exp(-heads[1][1, 2, 3, 5].astype(np.float64)))  # stride 16, third anchor, row 3, column 5
    place = 3 * 8 * 12 + 2 * 4 * 6 + 3 * 6 + 5
    expected = [
        (first[0] * 2 - 0.5 + 5) * 16, (first[1] * 2 - 0.5 + 3) * 16,
        (first[2] * 2) ** 2 * 59, (first[3] * 2) ** 2 * 119, *first[4:],
    ]  # fmt: skip
    np.testing.assert_allclose(found[1, place], expected, rtol=1e-12)
    np.testing.assert_allclose(candidates(dict(zip("abc", heads, strict=True)), n=2), found)


def test_the_decoded_output_goes_before_the_heads():
    decoded = np.zeros((1, 4, 7))
    heads = {f"head_{rows}": np.ones((1, 3, rows, rows, 7)) for rows in (4, 2, 1)}
    np.testing.assert_array_equal(candidates({**heads, "output": decoded}, n=1), decoded)
    for wrong in ({"output": np.zeros((1, 4, 5))}, {"output": decoded[0]}, {"head": heads["head_4"]}):
        with pytest.raises(MalformedOutputError, match="neither candidates nor"):
            candidates(wrong, n=1)
    with pytest.raises(MalformedOutputError, match="other anchors"):
        candidates({name: np.ones((1, 2, 2, 2, 7)) for name in "abc"}, n=1)


def test_the_metric_is_the_same_whatever_the_updates(rng):
    truths = [image(rng, number, classes=3, crowd=0.0) for number in range(8)]
    rows = [
        raw(truth.boxes[: 1 + len(truth.boxes) // 2], truth.categories[: 1 + len(truth.boxes) // 2], extra=0)
        for truth in truths
    ]
    most = max(len(row) for row in rows)
    outputs = np.stack([np.concatenate([row, np.zeros((most - len(row), 8))]) for row in rows])
    metric = DetectionMap()
    at_once = metric.update(metric.initial(), {"output": outputs}, as_labels(truths))
    piecewise = metric.initial()
    for number, truth in enumerate(truths):
        piecewise = metric.update(piecewise, {"output": outputs[number : number + 1]}, as_labels([truth]))
    assert metric.compute(at_once) == metric.compute(piecewise)
    figure = metric.compute(at_once)["accuracy/map"]
    assert 0 < figure.value < 1
    assert figure.low <= figure.value <= figure.high
    assert figure.n == 8


def test_without_an_object_there_is_no_value(rng):
    metric = DetectionMap()
    empty = image(rng, 1, objects=0)
    state = metric.update(metric.initial(), {"output": np.zeros((1, 2, 8))}, as_labels([empty]))
    assert metric.compute(state)["accuracy/map"].note == "no image has an object"
    with pytest.raises(DatasetError, match="no image's"):
        metric.update(metric.initial(), {"output": np.zeros((1, 2, 8))}, np.array([1]))
