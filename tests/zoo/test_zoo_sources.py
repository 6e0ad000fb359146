"""Weights from the hub, from a URL, from an archive and in shards become artifacts that say where they come from."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tarfile

import attrs
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tests.fetch.hub_server import COMMIT, REPOSITORY, serving_hub
from tests.tiny_models import spec_of_conv, trained_conv

from bytemlperf import zoo
from bytemlperf.artifact import Provenance
from bytemlperf.conversion.weight_files import artifact_digest, read_arrays, weight_files
from bytemlperf.errors import ArtifactError, ChecksumError, SpecError, WeightsUnavailableError
from bytemlperf.fetch import Patience, Transfer, items
from bytemlperf.graph import recipe_cost
from bytemlperf.report.facts import artifact_facts
from bytemlperf.spec import Format, ModelCost, Source, to_json
from bytemlperf.zoo import Cached
from bytemlperf.zoo.obtained import torch_recipe
from bytemlperf.zoo.random_weights import random_weights

STATE = trained_conv().state_dict()
ARRAYS = {name: tensor.numpy() for name, tensor in STATE.items()}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _same(artifact):
    found = read_arrays(artifact.path)
    return found.keys() == ARRAYS.keys() and all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)


def _safetensors(folder):
    folder.mkdir(exist_ok=True)
    save_file(ARRAYS, folder / "model.safetensors")
    return folder / "model.safetensors"


def _shards(folder, *, kind="safetensors"):
    """One weight in each file, and an index; returns the index."""
    folder.mkdir(exist_ok=True)
    places = {name: f"model-{number}.{kind}" for number, name in enumerate(STATE)}
    for name, file in places.items():
        if kind == "bin":
            torch.save({name: STATE[name]}, folder / file)
        else:
            save_file({name: ARRAYS[name]}, folder / file)
    (folder / f"model.{kind}.index.json").write_text(json.dumps({"weight_map": places}))
    return folder / f"model.{kind}.index.json"


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _hub_spec(*files):
    return spec_of_conv(sources=(Source(kind="hub", location=REPOSITORY, files=files, licence="MIT"),))


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards_of_the_hub_are_resolved_with_the_commit_that_came(tmp_path, kind):
    index = _shards(tmp_path / "published", kind=kind)
    with serving_hub({path.name: path.read_bytes() for path in index.parent.iterdir()}) as hub:
        artifact = zoo.resolve(_hub_spec(index.name), transfer=Transfer(endpoint=hub.url))
    assert (artifact.provenance, artifact.origin) == (Provenance.PRETRAINED, f"{REPOSITORY}@{COMMIT}")
    assert artifact.path.name.endswith(".safetensors.index.json")
    assert artifact.sha256 == artifact_digest(artifact.path)
    assert _same(artifact)
    assert artifact_facts(artifact).origin == f"{REPOSITORY}@{COMMIT}"


def test_the_report_names_every_shard(tmp_path):
    artifact = zoo.resolve(spec_of_conv(), weights=_shards(tmp_path / "mine"))
    assert set(artifact_facts(artifact).files) == {
        artifact.path.name,
        *(each.name for each in weight_files(artifact.path)),
    }


def test_a_hub_that_has_nothing_is_told_with_every_way_out(tmp_path):
    transfer = Transfer(endpoint="http://127.0.0.1:9", patience=Patience(tries=1))
    with pytest.raises(WeightsUnavailableError) as caught:
        zoo.resolve(_hub_spec("model.safetensors"), transfer=transfer)
    for way in ('weights="random"', "weights=PATH", "#sha256=", "HF_HOME", "HF_ENDPOINT", "BYTEMLPERF_MIRROR"):
        assert way in caught.value.remedy


@pytest.mark.parametrize("given", ["index", "folder"])
def test_ones_own_shards_are_given_by_their_index_or_folder(tmp_path, given):
    index = _shards(tmp_path / "mine")
    artifact = zoo.resolve(spec_of_conv(), weights=index if given == "index" else index.parent)
    assert artifact.path == index
    assert artifact.provenance is Provenance.LOCAL
    assert _same(artifact)


def test_a_shard_that_lacks_weights_is_refused(tmp_path):
    index = _shards(tmp_path / "mine")
    index.write_text(json.dumps({"weight_map": dict.fromkeys(STATE, "model-0.safetensors")}))
    with pytest.raises(ArtifactError, match="missing"):
        zoo.resolve(spec_of_conv(), weights=index)


def test_a_url_with_a_digest_is_fetched(tmp_path):
    path = _safetensors(tmp_path / "published")
    artifact = zoo.resolve(spec_of_conv(), weights=f"{path.as_uri()}#sha256={_sha256(path)}")
    assert (artifact.provenance, artifact.origin) == (Provenance.LOCAL, "model.safetensors")
    assert artifact.sha256 == _sha256(path)
    assert _same(artifact)


def test_a_url_of_something_else_is_refused(tmp_path):
    path = _safetensors(tmp_path / "published")
    with pytest.raises(ChecksumError):
        zoo.resolve(spec_of_conv(), weights=f"{path.as_uri()}#sha256={'0' * 64}")
    assert [item.kind for item in items()] == ["quarantine"]


def test_a_url_without_a_model_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(SpecError, match="has 0 files"):
        zoo.resolve(spec_of_conv(), weights=(tmp_path / "notes.txt").as_uri())


@pytest.mark.parametrize("sharded", [False, True])
def test_an_archive_with_one_model_is_unpacked(tmp_path, sharded):
    folder = (_shards if sharded else _safetensors)(tmp_path / "published").parent
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        tar.add(folder, "conv")
    archive = tmp_path / "model.tar.gz"
    artifact = zoo.resolve(spec_of_conv(), weights=f"{archive.as_uri()}#sha256={_sha256(archive)}")
    assert artifact.origin == f"model.tar.gz#sha256={_sha256(archive)}"
    assert _same(artifact)


def test_a_pickle_with_code_in_an_archive_is_refused_and_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    (tmp_path / "x.bin").write_bytes(pickle.dumps({"conv.weight": Evil()}))
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(tmp_path / "x.bin", "x.bin")
    with pytest.raises(ArtifactError, match="cannot be read as weights"):
        zoo.resolve(spec_of_conv(), weights=(tmp_path / "x.tar").as_uri())
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_with_code_from_the_hub_is_refused_and_not_run(tmp_path, legacy):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    content = io.BytesIO()
    torch.save({"conv.weight": Evil()}, content, _use_new_zipfile_serialization=not legacy)
    with (
        serving_hub({"pytorch_model.bin": content.getvalue()}) as hub,
        pytest.raises(ArtifactError, match="cannot be read as weights") as caught,
    ):
        zoo.resolve(_hub_spec("pytorch_model.bin"), transfer=Transfer(endpoint=hub.url))
    assert caught.value.where == "pytorch_model.bin"
    assert not (tmp_path / "executed").exists()
    assert [each for each in items() if each.kind == "converted"] == []


def test_a_mirror_gives_what_is_published_nowhere_any_more(tmp_path):
    (tmp_path / "mirror").mkdir()
    path = _safetensors(tmp_path / "mirror" / "dead.example")
    source = Source(
        kind="url", location="https://dead.example/model.safetensors", sha256={"model.safetensors": _sha256(path)}
    )
    transfer = Transfer(mirror=(tmp_path / "mirror").as_uri())
    artifact = zoo.resolve(spec_of_conv(sources=(source,)), transfer=transfer)
    assert artifact.provenance is Provenance.PRETRAINED
    assert artifact.origin == "https://dead.example/model.safetensors"
    assert _same(artifact)


def test_large_random_weights_are_shards_that_hold_the_same(tmp_path):
    whole = zoo.resolve(spec_of_conv(), weights="random", seed=5, cache=tmp_path / "whole")
    shards = random_weights(spec_of_conv(), seed=5, cache=tmp_path / "shards", shard_bytes=200)
    assert len(weight_files(shards.path)) > 1
    one, other = read_arrays(whole.path), read_arrays(shards.path)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    again = zoo.resolve(spec_of_conv(), weights="random", seed=5, cache=tmp_path / "shards")
    assert (again.path, again.sha256) == (shards.path, shards.sha256)


def test_random_weights_that_do_not_fit_on_the_disk_are_not_begun(tmp_path):
    with pytest.raises(WeightsUnavailableError, match="no room for the random weights"):
        zoo.resolve(spec_of_conv(), weights="random", transfer=Transfer(free_bytes=lambda folder: 100))
    assert items() == ()


def test_a_model_without_weights_here_says_so_and_then_which(tmp_path):
    spec = spec_of_conv(sources=(Source(kind="url", location=_safetensors(tmp_path / "published").as_uri()),))
    assert zoo.cached(spec) is Cached.NONE
    zoo.resolve(spec, weights="random")
    assert zoo.cached(spec) is Cached.RANDOM
    zoo.resolve(spec)
    assert zoo.cached(spec) is Cached.PINNED


@pytest.mark.parametrize("files", [("model.safetensors",), ("model.safetensors.index.json",), ()])
def test_what_the_hub_gave_is_known_to_be_here(tmp_path, files):
    index = _shards(tmp_path / "published")
    published = {path.name: path.read_bytes() for path in (*index.parent.iterdir(), _safetensors(tmp_path / "one"))}
    spec = _hub_spec(*files)
    assert zoo.cached(spec) is Cached.NONE
    with serving_hub(published) as hub:
        zoo.resolve(spec, transfer=Transfer(endpoint=hub.url))
    assert zoo.cached(spec) is Cached.PINNED


def test_shipped_weights_are_always_here():
    assert zoo.cached("digits-resnet-torch-fp32") is Cached.PINNED


def test_what_a_model_costs_is_in_its_spec_or_in_the_catalog():
    counted = ModelCost(flops=7, weight_bytes=8, moved_bytes=9, counted="by hand")
    assert zoo.cost(spec_of_conv(cost=counted)) == counted
    assert zoo.cost(spec_of_conv()) is None
    # He et al. count 4.1e9 multiply-adds; a multiply-add is two operations here.
    assert zoo.cost("resnet50-torch-fp32").flops == pytest.approx(2 * 4.09e9, rel=0.005)
    assert zoo.cost("resnet50-torch-fp32").weight_bytes == pytest.approx(4 * 25_557_032, rel=0.01)


def test_the_cost_is_part_of_a_spec_as_data():
    counted = ModelCost(flops=7, weight_bytes=8, moved_bytes=9)
    assert to_json(spec_of_conv(cost=counted))["cost"]["flops"] == 7


def test_every_model_of_the_catalog_is_counted():
    with_recipe = [name for name in zoo.names() if zoo.get(name).recipe is not None]
    assert [name for name in with_recipe if zoo.cost(name) is None] == []
    assert all(zoo.cost(name).counted.startswith("its torch definition: ATen") for name in with_recipe)


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in {"digits-resnet-torch-fp32", "llama2-7b-torch-fp16"}
        else pytest.param(name, marks=pytest.mark.slow)
        for name in zoo.names()
        if zoo.get(name).recipe is not None
    ],
)
def test_the_catalogs_costs_are_what_counting_gives(name):
    spec = zoo.get(name)
    found, known = recipe_cost(attrs.evolve(spec, recipe=torch_recipe(spec))), zoo.cost(name)
    assert (found.flops, found.weight_bytes, found.bytes) == (known.flops, known.weight_bytes, known.moved_bytes)


def test_layers_of_a_model_without_an_architecture_are_none():
    assert zoo.layers(spec_of_conv(recipe=None, format=Format.ONNX)) == {}
    assert zoo.layers("resnet50-torch-fp32")["Conv2d"].count == 53
