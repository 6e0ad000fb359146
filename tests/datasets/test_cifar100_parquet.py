"""CIFAR-100 as the hub has it: parquet files, whose metadata name the classes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import attrs
import numpy as np
import polars as pl
import pytest
from tests.datasets import small_vocabularies as small
from tests.fetch.hub_server import REPOSITORY, serving_hub
from transformers import CLIPTokenizer

from bytemlperf import DatasetRequest, zoo
from bytemlperf.datasets import open_dataset
from bytemlperf.datasets.cifar100 import Cifar100, CifarOptions
from bytemlperf.datasets.cifar100_classes import CLASS_NAMES
from bytemlperf.datasets.cifar100_files import read_part
from bytemlperf.errors import DatasetError, DatasetUnavailableError

RECORDED = Path(__file__).parent / "recorded" / "cifar100.parquet"
"""Written by the library `datasets` itself: record_cifar100.py says how."""
SHARD = "test-00000-of-00001.parquet"
SEEN = {8: "bicycle", 26: "crab", 49: "mountain", 52: "oak tree", 64: "possum", 74: "shrew", 96: "willow tree"}
"""Classes of the hub's card and viewer, but for its misprint of 26."""


@pytest.fixture(name="spec")
def _spec():
    return zoo.get("videobert-onnx-fp32")


@pytest.fixture(name="tokenizer", scope="module")
def _tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    small.clip(folder, small.paragraphs(count=4))
    return folder


@pytest.fixture(name="folder")
def _folder(tmp_path):
    folder = tmp_path / "hub" / "cifar100"
    folder.mkdir(parents=True)
    shutil.copy(RECORDED, folder / SHARD)
    return folder


def prompts(tokenizer, names):
    theirs = CLIPTokenizer.from_pretrained(tokenizer)
    rows = [theirs(f"a photo of a {name.replace('_', ' ')}.")["input_ids"] for name in names]
    return np.array([row + [0] * (77 - len(row)) for row in rows])


def rewritten(folder, **columns):
    """Write the table anew, without the metadata that the library put there, or with others."""
    metadata = columns.pop("metadata", None)
    pl.read_parquet(RECORDED).with_columns(**columns).write_parquet(folder / SHARD, metadata=metadata)


def test_names_are_read_from_the_files_metadata(spec, folder, tokenizer):
    found = read_part(folder, "test")
    assert found.labels.tolist() == [49, 33, 26, 99]
    assert found.names == CLASS_NAMES
    assert {number: found.names[number].replace("_", " ") for number in SEEN} == SEEN
    loader = Cifar100.open(spec, CifarOptions(path=str(folder.parent), tokenizer=str(tokenizer)))
    np.testing.assert_array_equal(loader.load([0])["text"], prompts(tokenizer, CLASS_NAMES))


def features(names):
    return {"huggingface": json.dumps({"info": {"features": {"fine_label": {"names": names}}}})}


def test_other_names_of_the_file_go_before_the_published_ones(spec, folder, tokenizer):
    names = [f"thing_{number}" for number in range(100)]
    rewritten(folder, metadata=features(names))
    loader = Cifar100.open(spec, CifarOptions(path=str(folder), tokenizer=str(tokenizer)))
    np.testing.assert_array_equal(loader.load([0])["text"], prompts(tokenizer, names))


def test_without_metadata_the_published_names_are_taken(spec, folder, tokenizer):
    rewritten(folder)
    loader = Cifar100.open(spec, CifarOptions(path=str(folder), tokenizer=str(tokenizer)))
    np.testing.assert_array_equal(loader.load([0])["text"], prompts(tokenizer, CLASS_NAMES))


@pytest.mark.parametrize(
    "metadata",
    [
        {"huggingface": "{"},
        {"huggingface": "[]"},
        {"huggingface": '{"info": {}}'},
        features(["apple"]),
        features(list(range(100))),
        features(7),
    ],
)
def test_metadata_that_are_none_are_refused(folder, metadata):
    rewritten(folder, metadata=metadata)
    with pytest.raises(DatasetError, match=r"features cannot be read|none of CIFAR-100") as caught:
        read_part(folder, "test")
    assert caught.value.where == str(folder / SHARD)


def test_a_file_of_several_that_is_missing_is_named(folder):
    (folder / SHARD).rename(folder / "test-00001-of-00002.parquet")
    with pytest.raises(DatasetUnavailableError, match="1 of 2 parquet files are missing") as caught:
        read_part(folder.parent, "test")
    assert caught.value.got == "test-00000-of-00002.parquet"
    shutil.copy(RECORDED, folder / "test-00000-of-00002.parquet")
    assert len(read_part(folder.parent, "test").labels) == 8


def documented():
    """Return the request that the page shows."""
    page = (Path(__file__).parents[2] / "docs" / "howto" / "dataset.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(data = DatasetRequest\(\n.*?)```", page, flags=re.DOTALL)
    found = {}
    exec(code, {"DatasetRequest": DatasetRequest}, found)
    return found["data"]


def test_the_request_of_the_page_works(spec, tokenizer, monkeypatch, tmp_path):
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path / "cache"))
    asked = documented()
    assert asked.options["path"] == "hub://uoft-cs/cifar100"
    files = {name: (tokenizer / name).read_bytes() for name in ("vocab.json", "merges.txt")}
    files |= {asked.options["files"][0]: RECORDED.read_bytes()}  # and no weights: a tokenizer needs none
    with serving_hub(files) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        elsewhere = attrs.evolve(spec, sources=[attrs.evolve(each, location=REPOSITORY) for each in spec.sources])
        options = {**asked.options, "path": f"hub://{REPOSITORY}"}
        loader = open_dataset(attrs.evolve(asked, options=options), elsewhere)
    assert loader.labels(range(4)).tolist() == [49, 33, 26, 99]
    np.testing.assert_array_equal(loader.load([0])["text"], prompts(tokenizer, CLASS_NAMES))
