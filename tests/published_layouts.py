"""Small data in the layouts in which data sets are published, with a model that takes each, for an oracle to answer."""

from __future__ import annotations

import importlib.util
import io
import json
import pickle
import tarfile
from pathlib import Path

import attrs
import numpy as np
from PIL import Image
from scipy.io import savemat

from bytemlperf import ModelArtifact
from bytemlperf.spec import ModelSpec, TensorSpec

_found = importlib.util.spec_from_file_location(
    "small_vocabularies", Path(__file__).parent / "datasets" / "small_vocabularies.py"
)
small = importlib.util.module_from_spec(_found)
_found.loader.exec_module(small)

SEQ_LEN = 48
BPE = ("<|endoftext|>",)


@attrs.frozen(kw_only=True)
class Published:
    """A data set on disk.

    Attributes:
        dataset: Its name.
        options: Where it is.
        spec: A model that takes it.
        units: What the metric counts.
    """

    dataset: str
    options: dict
    spec: ModelSpec
    units: int

    @property
    def artifact(self):
        return ModelArtifact(spec=self.spec, format=self.spec.format, sha256="0" * 64)


def tensor(name, shape, dtype="float32", **more):
    return TensorSpec(name=name, shape=shape, dtype=dtype, **more)


def model(name, inputs, outputs, dataset, metrics=()):
    return ModelSpec(
        name=name, framework="onnx", format="onnx", inputs=inputs, outputs=outputs, dataset=dataset, metrics=metrics
    )


def photographs(folder, names, rng, size=(60, 45)):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        pixels = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(folder / name, quality=90)


def imagenet(folder, rng, count=40):
    names = [f"ILSVRC2012_val_{number + 1:08d}.JPEG" for number in range(count)]
    photographs(folder, names, rng)
    labels = rng.integers(0, 1000, count)
    listed = "".join(f"{name} {label}\n" for name, label in zip(names, labels, strict=True))
    (folder / "val_map.txt").write_text(listed, encoding="utf-8")
    image, logits = tensor("image", ("batch", 3, 224, 224)), tensor("logits", ("batch", 1001))
    spec = model("resnet50", [image], [logits], "imagenet2012", ("top1", "top5"))
    return Published(dataset="imagenet2012", options={"path": str(folder)}, spec=spec, units=count)


def squad(folder, rng):
    folder.mkdir()
    texts = [" ".join(text.split()) for text in small.paragraphs(count=10, words=90)]
    small.bert(folder, texts)
    small.write_squad(folder / "dev-v1.1.json", texts, questions=4, question_words=4)
    names = ("input_ids", "attention_mask", "token_type_ids")
    spec = model(
        "bert",
        [tensor(name, ("batch", 96), "int64") for name in names],
        [tensor(name, ("batch", 96)) for name in ("start_logits", "end_logits")],
        "squad-1.1",
    )
    options = {"path": str(folder), "doc_stride": 32}
    return Published(dataset="squad-1.1", options=options, spec=spec, units=40)


def criteo(folder, rng, count=80):
    folder.mkdir()
    counts = rng.integers(0, 40, (count, 13))
    words = rng.integers(0, 2**32, (count, 26))
    lines = [
        "\t".join([str(int(row % 4 == 0)), *map(str, counts[row]), *(f"{word:08x}" for word in words[row])])
        for row in range(count)
    ]
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    spec = model(
        "widedeep",
        [tensor("words", ("26*batch", 2), "int64"), tensor("numbers", ("batch", 13))],
        [tensor("probabilities", ("batch", 2))],
        "criteo",
    )
    options = {"path": str(folder), "cache": str(folder / "cache")}
    return Published(dataset="criteo", options=options, spec=spec, units=count)


def cifar(folder, rng, count=30):
    folder.mkdir()
    data = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
    labels = rng.integers(0, 100, count).tolist()
    (folder / "test").write_bytes(pickle.dumps({b"data": data, b"fine_labels": labels}, protocol=2))
    names = [f"thing_{number}" for number in range(100)]
    (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": names}, protocol=2))
    small.clip(folder, small.paragraphs(count=4))
    spec = model(
        "videobert",
        [tensor("image", ("batch", 3, 224, 224)), tensor("text", (100, 77), "int64")],
        [tensor("logits_per_image", ("batch", 100)), tensor("logits_per_text", (100, "batch"))],
        "cifar100",
    )
    return Published(dataset="cifar100", options={"path": str(folder)}, spec=spec, units=count)


def cail(folder, rng, count=20):
    folder.mkdir()
    letters = [chr(0x4E00 + number) for number in range(60)]
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]) + "\n")
    lines = []
    for number in range(count):
        record = {name: "".join(rng.choice(letters, 12)) for name in "ABC"}
        lines.append(json.dumps({**record, "label": "BC"[number % 2]}, ensure_ascii=False))
    (folder / "test.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = model(
        "roformer",
        [tensor(name, ("batch", SEQ_LEN)) for name in ("input_segment", "input_token")],
        [tensor("similarity", ("batch", 1))],
        "cail2019",
    )
    options = {"path": str(folder), "words": "characters"}
    return Published(dataset="cail2019", options=options, spec=spec, units=count)


def coco(folder, rng, count=20):
    """Objects of a class lie apart, so that suppression leaves all of them."""
    names = [f"{number:012d}.jpg" for number in range(count)]
    photographs(folder / "val2017", names, rng, size=(120, 80))
    annotations = [
        {
            "id": 1 + image * 4 + place,
            "image_id": image,
            "category_id": 10 + 2 * (place % 2),
            "bbox": [5 + 28 * place, 6 + int(rng.integers(0, 30)), 20, 25],
            "area": 500,
            "iscrowd": 0,
        }
        for image in range(count)
        for place in range(4)
    ]
    document = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "categories": [{"id": number, "name": str(number)} for number in (10, 12)],
        "annotations": annotations,
    }
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(document))
    image, output = tensor("images", ("batch", 3, 64, 64)), tensor("output", ("batch", 40, 7))
    spec = model("yolov5", [image], [output], None)
    return Published(dataset="coco", options={"path": str(folder)}, spec=spec, units=4 * count)


def language_model(size=340):
    return model(
        "gpt2",
        [tensor("input_ids", ("batch", SEQ_LEN), "int64", high=size)],
        [tensor("logits", ("batch", SEQ_LEN, size))],
        None,
    )


def text(folder, rng):
    folder.mkdir()
    paragraphs = small.paragraphs(count=4)
    small.bpe(folder, paragraphs, BPE, size=340)
    (folder / "wiki.test.txt").write_text(" ".join(paragraphs)[:2300], encoding="utf-8")
    spec = language_model()
    from bytemlperf.datasets import open_dataset
    from bytemlperf.workload import DatasetRequest

    loader = open_dataset(DatasetRequest(name="text", options={"path": str(folder)}), spec)
    units = int((loader.labels(range(len(loader))) >= 0).sum())
    return Published(dataset="text", options={"path": str(folder)}, spec=spec, units=units)


def choices(folder, rng, count=30):
    (folder / "val").mkdir(parents=True)
    small.bpe(folder, [*small.paragraphs(count=4), "Answer: A Answer: B Answer: C Answer: D " * 500], BPE, size=340)
    rows = ["id,question,A,B,C,D,answer"]
    rows += [f'{number},"what, {number}?",a,b,c,d,{"ABCD"[number * 7 % 4]}' for number in range(count)]
    (folder / "val" / "history_val.csv").write_text("\n".join(rows) + "\n")
    options = {"path": str(folder / "val"), "tokenizer": str(folder)}
    return Published(dataset="multiple-choice", options=options, spec=language_model(), units=count)


MAKERS = {
    "imagenet2012": imagenet,
    "squad-1.1": squad,
    "criteo": criteo,
    "cifar100": cifar,
    "cail2019": cail,
    "coco": coco,
    "text": text,
    "multiple-choice": choices,
}


def imagenet_archive(folder, rng, count=40):
    """ImageNet's own files: the archive of validation images, and the development kit with numbers of its own."""
    made = imagenet(folder / "loose", rng, count)
    names = sorted(path.name for path in (folder / "loose").glob("*.JPEG"))
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as archive:
        for name in rng.permutation(names):
            archive.add(folder / "loose" / name, arcname=name)
    classes = 1000
    table = np.zeros(classes + 1, [("ILSVRC2012_ID", object), ("WNID", object), ("num_children", object)])
    table["ILSVRC2012_ID"] = np.arange(1, classes + 2)
    table["WNID"] = [f"n{number:08d}" for number in (*rng.permutation(classes), classes)]
    table["num_children"] = [0] * classes + [3]  # the last one is a group of others
    data = folder / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True)
    savemat(data / "meta.mat", {"synsets": table})
    truth = "".join(f"{number}\n" for number in rng.integers(1, classes + 1, count))
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text(truth)
    options = {"path": str(folder / "ILSVRC2012_img_val.tar"), "devkit": str(data.parent)}
    return attrs.evolve(made, options=options)


def criteo_csv(folder, rng, count=80):
    """The original's file: the same columns with commas, counts with a fraction."""
    folder.mkdir()
    made = criteo(folder / "kaggle", rng, count)
    lines = (folder / "kaggle" / "train.txt").read_text().splitlines()
    fields = [line.split("\t") for line in lines]
    rows = [",".join([label, *(f"{count}.0" for count in row[:13]), *row[13:]]) for label, *row in fields]
    (folder / "eval.csv").write_text("\n".join(rows) + "\n")
    return attrs.evolve(made, options={"path": str(folder / "eval.csv"), "cache": str(folder / "cache")})


def cifar_parquet(folder, rng, count=30):
    """The hub's files, which have no names of classes: prompts lie beside, as the original's."""
    import polars as pl

    folder.mkdir()
    files = []
    for _ in range(count):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "PNG")
        files.append({"bytes": file.getvalue(), "path": None})
    for number in range(2):
        part = slice(number * count // 2, (number + 1) * count // 2)
        labels = rng.integers(0, 100, len(files[part])).tolist()
        table = pl.DataFrame({"img": files[part], "fine_label": labels})
        table.write_parquet(folder / f"test-{number:05d}-of-00002.parquet")
    np.save(folder / "text.npy", rng.integers(0, 500, (100, 77)))
    made = cifar(folder / "pickles", rng, 2)
    return attrs.evolve(made, options={"path": str(folder)}, units=count)


def cail_arrays(folder, rng, count=20):
    """The original's arrays of tokens: lists of different lengths, pickled."""
    folder.mkdir()
    lengths = rng.integers(8, SEQ_LEN + 1, 2 * count)
    rows = {
        "batch_token_ids": [rng.integers(1, 500, length).tolist() for length in lengths],
        "batch_segment_ids": [[0] * 4 + [1] * (int(length) - 4) for length in lengths],
    }
    for name, values in rows.items():
        np.save(folder / f"{name}.npy", np.array(values, object), allow_pickle=True)
    np.save(folder / "label.npy", np.array([[1], [0]] * count))
    made = cail(folder / "text", rng, 1)
    return attrs.evolve(made, options={"path": str(folder)}, units=count)


def mmlu(folder, rng, count=30):
    """MMLU's files: one a subject, without a head."""
    made = choices(folder / "c-eval", rng, count)
    (folder / "test").mkdir()
    for subject in ("anatomy", "law"):
        rows = [f'"which, {number} {subject}?",a,b,c,d,{"ABCD"[number * 5 % 4]}' for number in range(count // 2)]
        (folder / "test" / f"{subject}_test.csv").write_text("\n".join(rows) + "\n")
    options = {"path": str(folder / "test"), "tokenizer": str(folder / "c-eval")}
    return attrs.evolve(made, options=options)


def fifty_two(folder, rng):
    """The original's questions, one of each of 52 subjects, without answers."""
    made = choices(folder / "c-eval", rng, 4)
    rows = ["id,question,A,B,C,D", *(f'{number},"what, {number}?",a,b,c,d' for number in range(52))]
    (folder / "merged_52_zero_shot.csv").write_text("\n".join(rows) + "\n")
    options = {"path": str(folder / "merged_52_zero_shot.csv"), "tokenizer": str(folder / "c-eval")}
    return attrs.evolve(made, options=options, units=52)


OTHER_LAYOUTS = {
    "imagenet2012 as published": imagenet_archive,
    "criteo of the original": criteo_csv,
    "cifar100 of the hub": cifar_parquet,
    "cail2019 of the original": cail_arrays,
    "multiple-choice of MMLU": mmlu,
}
"""Further layouts of the same data sets."""
