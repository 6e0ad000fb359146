"""Of every data set: samples for calibration can be loaded, are none of those that are scored, none is lost unseen."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from tests.datasets import small_vocabularies as small
from tests.published_layouts import MAKERS

from bytemlperf import registry, zoo
from bytemlperf.datasets import open_dataset
from bytemlperf.workload import DatasetRequest

HELD_OUT = 2
WITHOUT = {"synthetic"}
"""Data sets without a split: their samples are drawn, and any number of others can be."""


def with_training(folder, rng):
    """Lay a calibration file beside the data, as it is published; return how many of its records cannot be used."""
    if (folder / "dev-v1.1.json").is_file():
        texts = [" ".join(text.split()) for text in small.paragraphs(count=14, words=90)][10:]
        small.write_squad(folder / "train-v1.1.json", texts, question_words=4)
        document = json.loads((folder / "train-v1.1.json").read_text(encoding="utf-8"))
        for each in document["data"]:
            for record in each["paragraphs"][0]["qas"]:
                record["id"] = f"train-{record['id']}"
        questions = document["data"][0]["paragraphs"][0]["qas"]
        questions[0]["answers"], questions[1]["id"] = [], "q0-0"
        (folder / "train-v1.1.json").write_text(json.dumps(document), encoding="utf-8")
        return 2
    if (folder / "val").is_dir():
        (folder / "dev").mkdir()
        rows = ["id,question,A,B,C,D,answer", "0,what?,a,b,c,d,A", "1,why?,a,b,c,d,E", f"2,{'so ' * 900},a,b,c,d,B"]
        (folder / "dev" / "history_dev.csv").write_text("\n".join(rows) + "\n")
        return 2
    data = rng.integers(0, 256, (4, 3072), dtype=np.uint8)
    (folder / "train").write_bytes(pickle.dumps({"data": data, "fine_labels": [1, 2, 3, 4]}))
    return 0


def opened(published, **options):
    request = DatasetRequest(name=published.dataset, options={**published.options, **options})
    return open_dataset(request, published.spec)


def check(loader, spec):
    scored, kept = range(len(loader)), list(loader.calibration())
    assert kept
    assert min(kept) >= len(loader)
    assert not set(loader.ids(scored)) & set(loader.ids(kept))
    assert len(set(loader.ids([*scored, *kept]))) == len(loader) + len(kept)
    loaded = loader.load(kept)
    for tensor in spec.inputs:
        assert loaded[tensor.name].shape == tensor.sized(len(kept))
        assert loaded[tensor.name].dtype == tensor.dtype.value


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_samples_that_are_held_out_are_for_calibration(name, tmp_path, rng):
    published = MAKERS[name](tmp_path / "data", rng)
    whole, loader = opened(published), opened(published, held_out=1 if name == "text" else HELD_OUT)
    check(loader, published.spec)
    every = [*range(len(loader)), *loader.calibration()]
    same = [each.rpartition("/")[2] for each in whole.ids(range(len(whole)))]
    assert [each.rpartition("/")[2] for each in loader.ids(every)] == same
    assert loader.fingerprint() != whole.fingerprint()


@pytest.mark.parametrize("name", ["cifar100", "multiple-choice", "squad-1.1"])
def test_a_file_beside_is_for_calibration_and_what_is_left_out_of_it_is_counted(name, tmp_path, rng):
    published = MAKERS[name](tmp_path / "data", rng)
    alone = opened(published)
    left_out = with_training(tmp_path / "data", rng)
    loader = opened(published)
    assert loader.ids(range(len(loader))) == alone.ids(range(len(alone)))
    assert not alone.calibration()
    check(loader, published.spec)
    assert len(loader.skipped) == left_out


def test_the_digits_of_training_are_for_calibration():
    spec = zoo.get("digits-resnet-torch-fp32")
    check(open_dataset(DatasetRequest(name="digits"), spec), spec)


def test_every_data_set_is_among_these():
    assert set(registry.datasets.names()) == {*MAKERS, "digits", *WITHOUT}
