"""Files that are damaged or of another kind: a typed error that names file and record, or skipped and counted."""

from __future__ import annotations

import csv
import io
import json
import pickle

import numpy as np
import pytest
from PIL import Image, ImageFile

from bytemlperf.datasets.cail2019_files import read_arrays, read_triplets
from bytemlperf.datasets.cifar100_files import read_part
from bytemlperf.datasets.coco_files import read_coco
from bytemlperf.datasets.criteo_files import parsed_blocks
from bytemlperf.datasets.imagenet import readable
from bytemlperf.datasets.listed_files import LabelledFile
from bytemlperf.datasets.multiple_choice_files import read_choices
from bytemlperf.datasets.resnet_images import read_rgb
from bytemlperf.datasets.row_files import RowFile
from bytemlperf.datasets.squad_files import read_paragraphs
from bytemlperf.errors import DatasetError

DEEP = "[" * 200_000
QUESTION = {"id": "q", "question": "what?", "answers": [{"text": "this"}]}


def squad(**changes):
    return {"data": [{"paragraphs": [{"context": "this or that", "qas": [{**QUESTION, **changes}]}]}]}


def coco(**changes):
    image, kind = {"id": 1, "file_name": "a.jpg"}, {"id": 3, "name": "dog"}
    box = {"image_id": 1, "category_id": 3, "bbox": [0, 0, 2, 2]}
    return {"images": [image], "categories": [kind], "annotations": [box], **changes}


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no JSON"),
        (DEEP.encode(), "no JSON"),
        (b'{"data": ', "no JSON"),
        (b"\xff\xfe{}", "no UTF-8"),
        ([], "none of SQuAD"),
        ({"data": None}, "none of SQuAD"),
        ({"data": []}, "no question"),
        ({"data": [{"paragraphs": [{"context": None, "qas": []}]}]}, "text is expected.*NoneType"),
        (squad(question=None), r"qas\[0\].*text is expected|text is expected.*qas\[0\]"),
        (squad(question=" "), r"has no text.*qas\[0\]"),
        (squad(id=7), "text is expected, and this is int"),
        (squad(answers=[]), "it has no answer"),
        (squad(answers=[{"text": None}]), "text is expected"),
        (squad(answers={"text": "this"}), "a question cannot be used"),
    ],
)
def test_questions_that_are_none(tmp_path, content, told):
    path = written(tmp_path / "dev-v1.1.json", content)
    with pytest.raises(DatasetError, match=told) as caught:
        list(read_paragraphs(path))
    assert str(path) in str(caught.value)


def test_a_question_of_numbers_may_be_skipped_and_is_counted(tmp_path):
    both = squad()
    both["data"][0]["paragraphs"][0]["qas"].append({**QUESTION, "id": None})
    (found,) = read_paragraphs(written(tmp_path / "dev.json", both), skip=True)
    assert [each.question_id for each in found.questions] == ["q"]
    assert len(found.skipped) == 1
    assert "qas[1]" in found.skipped[0]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no JSON"),
        (DEEP.encode(), "no JSON"),
        ([], "none of COCO"),
        ({"images": [], "categories": [], "annotations": []}, "no image"),
        ({"images": [{"id": 1, "file_name": "a.jpg"}], "categories": []}, "none of COCO"),
        (coco(annotations=None), "none of COCO"),
        (coco(images=[{"id": 1, "file_name": None}]), "none of COCO"),
        (
            coco(images=2 * [{"id": 1, "file_name": "a.jpg"}]),
            "two images have one id",
        ),
        (coco(images=[{"id": 1, "file_name": "../a.jpg"}]), "lies outside its folder"),
        (coco(categories=2 * [{"id": 3}]), "two classes have one id"),
        (
            coco(annotations=[{"image_id": 2, "category_id": 3, "bbox": [0, 0, 1, 1]}]),
            r"of no image.*annotations\[0\]|annotations\[0\]",
        ),
        (coco(annotations=[{"image_id": 1, "category_id": 9, "bbox": [0, 0, 1, 1]}]), "an object cannot be used"),
        (coco(annotations=[{"image_id": 1, "category_id": 3, "bbox": [0, 0, 1]}]), "an object cannot be used"),
        (coco(annotations=[{"image_id": 1, "category_id": 3, "bbox": [0, 0, "x", 1]}]), "an object cannot be used"),
        (coco(annotations=[7]), "an object cannot be used"),
    ],
)
def test_objects_that_are_none(tmp_path, content, told):
    (tmp_path / "a.jpg").write_bytes(b"")
    path = written(tmp_path / "instances.json", content)
    with pytest.raises(DatasetError, match=told) as caught:
        read_coco(path, tmp_path)
    assert str(path) in str(caught.value)


CASES = {"A": "one", "B": "two", "C": "three", "label": "B"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({**CASES, "A": None}, "text is expected"),
        ({**CASES, "B": ["two"]}, "text is expected"),
        ({**CASES, "C": "  "}, "a case has no text"),
        ({**CASES, "label": "A"}, "KeyError"),
        ({**CASES, "label": ["B"]}, "TypeError"),
        ({"A": "one"}, "KeyError"),
        ([], "TypeError"),
        (DEEP.encode(), "RecursionError"),
        (b"\xff\xff", "UnicodeDecodeError"),
    ],
)
def test_triplets_that_are_none_are_refused_or_counted(tmp_path, line, told):
    path = tmp_path / "test.json"
    bad = line if isinstance(line, bytes) else json.dumps(line).encode()
    path.write_bytes(json.dumps(CASES).encode() + b"\n" + bad + b"\n")
    with pytest.raises(DatasetError, match=told) as caught:
        list(read_triplets(path))
    assert f"{path}:2" in str(caught.value)
    skipped = []
    kept = list(read_triplets(path, skipped=skipped))
    assert (len(kept), len(skipped)) == (1, 1)
    assert f"{path}:2" in skipped[0]


def listed(*rows):
    found = np.empty(len(rows), object)
    found[:] = list(rows)
    return found


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (listed([1, 2], [2**31, 3]), "beyond any vocabulary"),
        (listed([1, 2], [-1, 3]), "beyond any vocabulary"),
        (listed([1.5, 2.0], [1.0, 3.0]), "no list of whole numbers"),
        (listed([1, [2]], [1, 3]), "cannot be read"),
        (listed(None, [1, 3]), "no list of whole numbers"),
    ],
)
def test_token_ids_that_are_none(tmp_path, ids, told):
    np.save(tmp_path / "batch_token_ids.npy", ids, allow_pickle=True)
    np.save(tmp_path / "batch_segment_ids.npy", listed([0, 0], [0, 0]), allow_pickle=True)
    np.save(tmp_path / "label.npy", np.array([[1], [0]]))
    with pytest.raises(DatasetError, match=told):
        read_arrays(tmp_path)


@pytest.mark.parametrize("cut", [11, 64, 100, 140])
def test_a_damaged_array_is_a_typed_error(tmp_path, cut):
    file = io.BytesIO()
    np.save(file, listed([1, 2], [1, 3]), allow_pickle=True)
    for name in ("batch_token_ids", "batch_segment_ids", "label"):
        (tmp_path / f"{name}.npy").write_bytes(file.getvalue()[:cut] + b"\x80X.")
    with pytest.raises(DatasetError, match="an array cannot be read"):
        read_arrays(tmp_path)


PIXELS = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    "content",
    [
        {"data": PIXELS, "fine_labels": [[1], [2, 3]]},
        {"data": PIXELS, "fine_labels": [[1], [2]]},
        {"data": PIXELS, "fine_labels": ["1", "2"]},
        {"data": PIXELS, "fine_labels": [1.0, 2.0]},
        {"data": PIXELS, "fine_labels": None},
        {"data": PIXELS, "fine_labels": 5},
        {"data": PIXELS.tolist(), "fine_labels": [1, 2]},
        {"data": PIXELS[:0], "fine_labels": []},
        {},
    ],
)
def test_pickled_images_that_are_none(tmp_path, content):
    (tmp_path / "test").write_bytes(pickle.dumps(content))
    with pytest.raises(DatasetError) as caught:
        read_part(tmp_path, "test")
    assert str(tmp_path / "test") in str(caught.value)


@pytest.mark.parametrize("names", [None, 3, ["one"], list(range(100))])
def test_names_of_classes_that_are_none(tmp_path, names):
    (tmp_path / "test").write_bytes(pickle.dumps({"data": PIXELS, "fine_labels": [1, 2]}))
    (tmp_path / "meta").write_bytes(pickle.dumps({"fine_label_names": names}))
    with pytest.raises(DatasetError, match="expected 100 names of classes"):
        read_part(tmp_path, "test")


HEAD = ["id", "question", "A", "B", "C", "D", "answer"]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "no question"),
        ([HEAD], "no question"),
        ([[*HEAD[:-1], "A"], ["1", *"qabcd", "A"]], "two columns have one name"),
        ([HEAD, ["1", *"qabc", "", "A"]], "D missing or empty"),
        ([HEAD, ["1", *"qabcd", "E"]], "its answer is 'E'"),
        ([HEAD, ["1", *"qabcd"]], "6 columns, not 7"),
        ([HEAD, ["1", *"qabcd", "A"], ["2", *"qabcd", ""]], "some questions have no answer"),
        ([["question", "A", "B"], ["q", "a", "b"]], "C, D missing or empty"),
    ],
)
def test_choices_that_are_none(tmp_path, rows, told):
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(DatasetError, match=told) as caught:
        list(read_choices(tmp_path / "a.csv"))
    assert str(tmp_path / "a.csv") in str(caught.value)


def click(label="1", count="3", words=26):
    return "\t".join([label, *[count] * 13, *["deadbeef"] * words])


@pytest.mark.parametrize(
    "line", [click("2"), click(""), click("x"), click(count="1e5"), click(words=25), click(words=27), "", "\x00" * 40]
)
def test_clicks_that_are_none_are_refused_or_counted(tmp_path, line):
    path = tmp_path / "train.txt"
    path.write_text(f"{click()}\n{line}\n{click()}\n")
    with pytest.raises(DatasetError) as caught:
        list(parsed_blocks(path))
    assert f"{path}:2" in str(caught.value)
    (rows,) = parsed_blocks(path, skip=True)
    assert (len(rows.clicked), len(rows.skipped)) == (2, 1)


def photo(kind="JPEG", mode="RGB", **options):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        photo()[:-200],
        photo()[: len(photo()) // 2],
        photo()[:20],
        photo(kind="PNG")[:-30],
        photo(kind="PNG")[:500] + bytes(200) + photo(kind="PNG")[700:],
        b"<svg></svg>",
        photo(progressive=True)[:400],
    ],
)
def test_photographs_that_are_none_are_refused_or_counted(tmp_path, content):
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    (tmp_path / "bad.JPEG").write_bytes(content)
    (tmp_path / "good.JPEG").write_bytes(photo())
    (tmp_path / "folder.JPEG").mkdir()
    for name in ("bad.JPEG", "folder.JPEG"):
        with pytest.raises(DatasetError, match=f"an image cannot be read: {name}"):
            read_rgb(tmp_path / name)
    files = [LabelledFile(name=name, label=0, size_bytes=1) for name in ("bad.JPEG", "good.JPEG", "folder.JPEG")]
    kept, skipped = readable(tmp_path, files, read=read_rgb, workers=2)
    assert [each.name for each in kept] == ["good.JPEG"]
    assert len(skipped) == 2


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_photographs_of_other_modes_become_red_green_and_blue(tmp_path, mode):
    (tmp_path / "a.JPEG").write_bytes(photo(mode=mode))
    image = read_rgb(tmp_path / "a.JPEG")
    assert (image.mode, image.size) == ("RGB", (60, 40))
    np.testing.assert_array_equal(np.asarray(image), np.asarray(Image.open(tmp_path / "a.JPEG").convert("RGB")))


def test_sixteen_bits_of_grey_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DatasetError, match="more than 8 bits a channel"):
        read_rgb(tmp_path / "deep.png")


def test_rows_are_read_when_asked_for_and_no_part_of_one_is_a_row(tmp_path):
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    rows.tofile(tmp_path / "rows")
    file = RowFile(tmp_path / "rows", np.float32, (3,))
    assert len(file) == 4
    np.testing.assert_array_equal(file[1:3], rows[1:3])
    np.testing.assert_array_equal(file[np.array([3, 0, 3])], rows[[3, 0, 3]])
    assert file[np.zeros(0, np.int64)].shape == (0, 3)
    (tmp_path / "rows").write_bytes(b"1234567")
    with pytest.raises(DatasetError, match="is cut off"):
        RowFile(tmp_path / "rows", np.float32, (3,))
    with pytest.raises(DatasetError, match="a file cannot be read"):
        file[0:1]
    with pytest.raises(DatasetError, match="a file cannot be read"):
        RowFile(tmp_path / "nothing", np.float32)
    (tmp_path / "empty").write_bytes(b"")
    assert RowFile(tmp_path / "empty", np.float32, (3,))[0:4].shape == (0, 3)
