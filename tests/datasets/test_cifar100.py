from __future__ import annotations

import io
import json
import os
import pickle

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tests.published_layouts import cifar
from transformers import CLIPTokenizer

from bytemlperf.datasets import open_dataset
from bytemlperf.datasets.cifar100 import Cifar100, CifarOptions
from bytemlperf.datasets.image_pipelines import CLIP
from bytemlperf.datasets.restricted_pickle import read_pickle
from bytemlperf.errors import DatasetError, DatasetUnavailableError, SpecError
from bytemlperf.workload import DatasetRequest


@pytest.fixture(name="published")
def _published(tmp_path, rng):
    return cifar(tmp_path / "cifar-100-python", rng)


@pytest.fixture(name="folder")
def _folder(published, tmp_path):
    return tmp_path / "cifar-100-python"


def opened(published, **options):
    return Cifar100.open(published.spec, CifarOptions(**{**published.options, **options}))


def test_images_are_resized_as_clip_does_and_labels_are_prompts(published, folder):
    loader = opened(published, workers=3)
    content = read_pickle(folder / "test")
    loaded = loader.load([4, 0])
    assert (len(loader), loaded["image"].shape, loaded["text"].shape) == (30, (2, 3, 224, 224), (100, 77))
    assert loader.labels(range(30)).tolist() == content["fine_labels"]
    pixels = content["data"][4].reshape(3, 32, 32).transpose(1, 2, 0)
    np.testing.assert_array_equal(loaded["image"][0], CLIP.pixels(Image.fromarray(pixels)).transpose(2, 0, 1))
    assert loader.ids([0, 29]) == ("test/0", "test/29")


def test_prompts_are_clips_tokens(published, folder):
    text = opened(published).load([0])["text"]
    begin, end = (read_vocab(folder)[name] for name in ("<|startoftext|>", "<|endoftext|>"))
    theirs = CLIPTokenizer.from_pretrained(folder)
    for number, row in enumerate(text.tolist()):
        tokens = theirs(f"a photo of a thing {number}.")["input_ids"]
        assert row == tokens + [0] * (77 - len(tokens))
    assert (text[:, 0] == begin).all()
    assert (text == end).any(axis=1).all()
    assert len({tuple(row) for row in text.tolist()}) > 1


def read_vocab(folder):
    return json.loads((folder / "vocab.json").read_text(encoding="utf-8"))


def test_the_originals_prompts_go_before(published, folder, rng):
    prompts = rng.integers(0, 500, (100, 77))
    np.save(folder / "text.npy", prompts)
    loader = opened(published)
    np.testing.assert_array_equal(loader.load([0])["text"], prompts)
    np.save(folder / "text.npy", prompts[:, :7])
    with pytest.raises(DatasetError, match="another shape"):
        opened(published)
    np.save(folder / "text.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(DatasetError, match="prompts cannot be read"):
        opened(published)


def test_the_folder_above_will_do_and_training_images_are_for_calibration(published, folder, rng):
    data = rng.integers(0, 256, (6, 3072), dtype=np.uint8)
    (folder / "train").write_bytes(pickle.dumps({"data": data, "fine_labels": [1] * 6}))
    loader = opened(published, path=str(folder.parent))
    assert (len(loader), list(loader.calibration())) == (30, list(range(30, 36)))
    assert loader.ids([30]) == ("calibration/30",)
    assert loader.load(loader.calibration())["image"].shape[0] == 6
    assert opened(published, held_out=5).ids([25]) == ("calibration/25",)
    assert opened(published, held_out=5).fingerprint() != loader.fingerprint()


def test_pixels_are_read_where_they_are_published_and_else_kept(published, folder, rng, tmp_path):
    data = rng.integers(0, 256, (400, 3072), dtype=np.uint8)
    content = {"data": data, "fine_labels": rng.integers(0, 100, 400).tolist()}
    found = []
    for protocol in (2, 4):
        (folder / "test").write_bytes(pickle.dumps(content, protocol=protocol))
        cache = tmp_path / f"cache{protocol}"
        loader, again = (opened(published, cache=str(cache)) for _ in range(2))
        assert loader.fingerprint() == again.fingerprint()
        assert again.labels([399, 3]).tolist() == [content["fine_labels"][399], content["fine_labels"][3]]
        found.append(loader.load([399, 3])["image"])
        kept = sum(each.stat().st_size for each in cache.rglob("*") if each.is_file())
        assert (kept < data.nbytes) is (protocol == 4)
    np.testing.assert_array_equal(*found)
    expected = CLIP.pixels(Image.fromarray(data[399].reshape(3, 32, 32).transpose(1, 2, 0)))
    np.testing.assert_array_equal(found[0][0], expected.transpose(2, 0, 1))


def test_parquet_holds_the_same_images(published, folder, tmp_path):
    loader = opened(published)
    images = []
    for row in read_pickle(folder / "test")["data"]:
        file = io.BytesIO()
        Image.fromarray(row.reshape(3, 32, 32).transpose(1, 2, 0)).save(file, "PNG")
        images.append({"bytes": file.getvalue(), "path": None})
    place = tmp_path / "hub" / "cifar100"
    place.mkdir(parents=True)
    np.save(tmp_path / "hub" / "text.npy", loader.load([0])["text"])
    table = pl.DataFrame({"img": images, "fine_label": loader.labels(range(30)).tolist()})
    table.write_parquet(place / "test-00000-of-00001.parquet")
    other = opened(published, path=str(tmp_path / "hub"))
    assert other.fingerprint() == loader.fingerprint()
    table.drop("fine_label").write_parquet(place / "test-00000-of-00001.parquet")
    with pytest.raises(DatasetError, match="parquet file cannot be read"):
        opened(published, path=str(tmp_path / "hub"))
    table.with_columns(fine_label=pl.lit(100)).write_parquet(place / "test-00000-of-00001.parquet")
    with pytest.raises(DatasetError, match="a label is no class") as caught:
        opened(published, path=str(tmp_path / "hub"))
    assert caught.value.where.endswith(".parquet:0")


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_with_code_is_refused_and_does_not_run(published, folder, tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    (folder / "test").write_bytes(pickle.dumps({"data": Malicious()}, protocol=protocol))
    with pytest.raises(DatasetError, match=r"a pickle cannot be read.*it names (posix|nt)\.mkdir"):
        opened(published)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"no pickle at all", "cannot be read"),
        (pickle.dumps([1]), "holds no dictionary"),
        (pickle.dumps({"data": np.zeros((2, 9), np.uint8)}), "none of CIFAR-100"),
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "fine_labels": [1]}), "not every image has a label"),
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "fine_labels": [1, 100]}), "a label is no class"),
    ],
)
def test_a_damaged_file_is_named(published, folder, content, message):
    (folder / "test").write_bytes(content)
    with pytest.raises(DatasetError, match=message) as caught:
        opened(published)
    assert str(folder / "test") in caught.value.where


def test_what_is_missing_or_does_not_fit_is_told(published, folder, tensor, model):
    (folder / "test").unlink()
    with pytest.raises(DatasetUnavailableError, match="no test images"):
        opened(published)
    with pytest.raises(SpecError, match="does not fit"):
        Cifar100.open(model(tensor("image", ("batch", 3, 32, 32))), CifarOptions())
    wants = model(tensor("image", ("batch", 3, 224, 224)), preprocessing="imagenet-resnet/v1")
    with pytest.raises(SpecError, match="another preprocessing"):
        Cifar100.open(wants, CifarOptions())
    assert open_dataset(DatasetRequest(name="synthetic"), published.spec).name == "synthetic"
