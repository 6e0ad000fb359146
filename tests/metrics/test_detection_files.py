"""From COCO's JSON and photographs on disk through letterbox, heads and suppression to average precision.

Beside it stands pycocotools, on the same files, with the results of a detector that is written out here: the arithmetic
of the letterbox, of YOLOv5's heads and of its suppression, one box at a time.
"""

from __future__ import annotations

import contextlib
import io
import json
import math

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bytemlperf.datasets.coco import Coco, CocoOptions
from bytemlperf.metrics import DetectionMap
from bytemlperf.spec import ModelSpec, TensorSpec

WIDTH, HEIGHT = 320, 256
ANCHORS = {
    8: [(10, 13), (16, 30), (33, 23)],
    16: [(30, 61), (62, 45), (59, 119)],
    32: [(116, 90), (156, 198), (373, 326)],
}
CATEGORIES = (3, 7, 44)
SIZES = [(120, 80), (81, 203), (64, 64), (333, 57), (57, 333), (640, 480), (319, 255), (320, 256), (100, 501)]


def model():
    shape = ("batch", 3, HEIGHT, WIDTH)
    heads = [
        TensorSpec(name=f"head_{stride}", shape=("batch", 3, HEIGHT // stride, WIDTH // stride, 8), dtype="float64")
        for stride in ANCHORS
    ]
    image = TensorSpec(name="images", shape=shape, dtype="float32")
    return ModelSpec(name="detector", framework="onnx", format="onnx", inputs=[image], outputs=heads)


def write_coco(folder, rng, *, images=36):
    """Write photographs of many shapes, the first object of each a white rectangle; return the annotations' path."""
    (folder / "val2017").mkdir(parents=True)
    (folder / "annotations").mkdir()
    listed, annotations = [], []
    for number in rng.permutation(images).tolist():
        width, height = SIZES[number % len(SIZES)]
        photo = np.zeros((height, width, 3), np.uint8)
        for place in range(int(rng.integers(0, 6))):
            box = [int(rng.integers(0, width // 2)), int(rng.integers(0, height // 2))]
            box += [int(rng.integers(width // 6, width // 2)), int(rng.integers(height // 6, height // 2))]
            if not place:
                photo[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = 255
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "bbox": box, "area": 0.8 * box[2] * box[3],
                "category_id": int(rng.choice(CATEGORIES)), "iscrowd": int(place > 0 and rng.random() < 0.25),
            })  # fmt: skip
        Image.fromarray(photo).save(folder / "val2017" / f"{number}.png")
        listed.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
    categories = [{"id": number, "name": str(number)} for number in reversed(CATEGORIES)]
    document = {"images": listed, "categories": categories, "annotations": annotations}
    path = folder / "annotations" / "instances_val2017.json"
    path.write_text(json.dumps(document))
    return path


def letterbox(width, height):
    """Return YOLOv5's scale and the pixels left of and above the photograph."""
    ratio = min(HEIGHT / height, WIDTH / width)
    wide, high = int(round(width * ratio)), int(round(height * ratio))  # noqa: RUF046 - as YOLOv5 has it
    return ratio, int(round((WIDTH - wide) / 2 - 0.1)), int(round((HEIGHT - high) / 2 - 0.1))  # noqa: RUF046 - the same


def logit(share):
    return math.log(share / (1 - share))


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def put(heads, box, scores):
    """Write a box of the model's image, centre and size, into the first free place of a head that can hold it."""
    x, y, width, height = box
    for stride, anchors in ANCHORS.items():
        column, row = int(x // stride), int(y // stride)
        for anchor, (wide, high) in enumerate(anchors):
            shares = [(x / stride - column + 0.5) / 2, (y / stride - row + 0.5) / 2]
            shares += [math.sqrt(width / wide) / 2, math.sqrt(height / high) / 2]
            place = heads[stride][anchor, row, column]
            if all(0.001 < share < 0.999 for share in shares) and place[4] < -10:
                place[:] = [logit(share) for share in (*shares, *scores)]
                return


def detect(rng, size, objects):
    """Return heads as a detector would answer: objects with jitter, some several times, and boxes from nowhere."""
    heads = {stride: np.full((3, HEIGHT // stride, WIDTH // stride, 8), -20.0) for stride in ANCHORS}
    ratio, left, top = letterbox(*size)
    for each in objects:
        for _ in range(int(rng.integers(0, 4))):
            x, y, width, height = (
                np.array(each["bbox"]) + rng.normal(0, 0.04, 4) * np.tile(each["bbox"][2:], 2)
            ) * ratio
            scores = np.full(3, 0.02)
            scores[CATEGORIES.index(each["category_id"])] = rng.uniform(0.3, 0.98)
            centre = [x + width / 2 + left, y + height / 2 + top]
            if 0 <= centre[0] < WIDTH and 0 <= centre[1] < HEIGHT:
                put(heads, [*centre, width, height], [rng.uniform(0.2, 0.98), *scores])
    for _ in range(5):
        box = [*rng.uniform(0, (WIDTH, HEIGHT)), *rng.uniform(8, 90, 2)]
        put(heads, box, [rng.uniform(0.05, 0.7), *rng.uniform(0.01, 0.9, 3)])
    return heads


def decode(heads):
    """Yield corners, score and class of everything that is likely enough, one after another."""
    for stride, head in heads.items():
        for anchor, row, column in np.ndindex(head.shape[:3]):
            if sigmoid(head[anchor, row, column, 4]) <= 0.001:
                continue
            values = [sigmoid(value) for value in head[anchor, row, column].tolist()]
            x, y = (values[0] * 2 - 0.5 + column) * stride, (values[1] * 2 - 0.5 + row) * stride
            wide, high = ANCHORS[stride][anchor]
            width, height = (values[2] * 2) ** 2 * wide, (values[3] * 2) ** 2 * high
            for category, share in enumerate(values[5:]):
                if values[4] * share > 0.001:
                    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
                    yield corners, values[4] * share, category


def overlap(one, other):
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (one, other)]
    return shared / (sum(areas) - shared)


def suppress(found):
    """Keep the best, leave out those of its class that overlap it by more than 0.6, and so on, up to 300."""
    kept = []
    for corners, score, category in sorted(found, key=lambda each: -each[1]):
        rivals = [each for each in kept if each[2] == category]
        if len(kept) < 300 and all(overlap(corners, each[0]) <= 0.6 for each in rivals):
            kept.append((corners, score, category))
    return kept


def results(heads, image):
    """Return detections as COCO's results: in the photograph, cut off at its edges, under published ids."""
    ratio, left, top = letterbox(image["width"], image["height"])
    for corners, score, category in suppress(decode(heads)):
        x, right = (min(max((each - left) / ratio, 0), image["width"]) for each in corners[0::2])
        y, bottom = (min(max((each - top) / ratio, 0), image["height"]) for each in corners[1::2])
        box = [x, y, right - x, bottom - y]
        yield {"image_id": image["id"], "category_id": CATEGORIES[category], "bbox": box, "score": score}


def by_pycocotools(annotations, found):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluation = COCOeval(truth, truth.loadRes(str(found)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:2]


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_from_files_is_that_of_pycocotools(tmp_path, seed):
    rng = np.random.default_rng(seed)
    annotations = write_coco(tmp_path, rng)
    document = json.loads(annotations.read_text())
    assert 0 < sum(each["iscrowd"] for each in document["annotations"]) < len(document["annotations"]) / 2
    loader = Coco.open(model(), CocoOptions(path=str(tmp_path)))
    images = {str(each["id"]): each for each in document["images"]}
    metric, found = DetectionMap(), []
    state = metric.initial()
    for index, image_id in enumerate(loader.ids(range(len(loader)))):
        image = images[image_id]
        objects = [each for each in document["annotations"] if each["image_id"] == image["id"]]
        heads = detect(rng, (image["width"], image["height"]), objects)
        outputs = {f"head_{stride}": head[np.newaxis] for stride, head in heads.items()}
        state = metric.update(state, outputs, loader.labels([index]))
        found += results(heads, image)
    (tmp_path / "results.json").write_text(json.dumps(found))
    mean, at_half = by_pycocotools(annotations, tmp_path / "results.json")
    figures = metric.compute(state)
    assert figures["accuracy/map"].value == pytest.approx(mean, rel=1e-6)
    assert figures["accuracy/map50"].value == pytest.approx(at_half, rel=1e-6)
    assert 0.05 < mean < at_half < 0.99


def test_an_object_lies_in_the_models_image_where_the_letterbox_puts_it(tmp_path, rng):
    annotations = write_coco(tmp_path, rng)
    document = json.loads(annotations.read_text())
    loader = Coco.open(model(), CocoOptions(path=str(tmp_path), workers=2))
    pixels = loader.load(range(len(loader)))["images"]
    images = {str(each["id"]): each for each in document["images"]}
    seen = 0
    for index, image_id in enumerate(loader.ids(range(len(loader)))):
        image = images[image_id]
        objects = [each for each in document["annotations"] if each["image_id"] == image["id"]]
        if objects:
            ratio, left, top = letterbox(image["width"], image["height"])
            x, y, width, height = (value * ratio for value in objects[0]["bbox"])
            rows, columns = np.nonzero(pixels[index, 0] > 0.6)  # grey is 0.45
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(found, [x + left, y + top, x + left + width, y + top + height], atol=1.01)
            seen += 1
    assert seen > 20
