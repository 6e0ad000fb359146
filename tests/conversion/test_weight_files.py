"""Weights in one file or several are read alike."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tests.tiny_models import conv_artifact, trained_conv

from bytemlperf.artifact import digest_of
from bytemlperf.conversion import torch_module
from bytemlperf.conversion.torch_module import read_state, torch_artifact_module
from bytemlperf.conversion.weight_files import (
    INDEX,
    artifact_digest,
    read_arrays,
    weight_files,
    weight_shapes,
    weights_digest,
    weights_in,
)
from bytemlperf.errors import ArtifactError, WeightsUnavailableError

WEIGHTS = {name: tensor.numpy() for name, tensor in trained_conv().state_dict().items()}


@pytest.fixture
def shards(tmp_path):
    """A folder with one weight in each file, and an index; returns the index."""
    folder = tmp_path / "sharded"
    folder.mkdir()
    places = {name: f"model-{number:05d}.safetensors" for number, name in enumerate(WEIGHTS)}
    for name, file in places.items():
        save_file({name: WEIGHTS[name]}, folder / file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder / INDEX


@pytest.fixture
def single(tmp_path):
    save_file(WEIGHTS, tmp_path / "one.safetensors")
    return tmp_path / "one.safetensors"


def test_index_folder_and_single_file_hold_the_same(shards, single):
    for path in (shards, shards.parent, single):
        arrays = read_arrays(path)
        assert arrays.keys() == WEIGHTS.keys()
        assert all(np.array_equal(arrays[name], WEIGHTS[name]) for name in WEIGHTS)
        assert weight_shapes(path) == {name: array.shape for name, array in WEIGHTS.items()}


def test_a_module_is_the_same_from_shards(shards, single, tmp_path):
    artifact = conv_artifact(tmp_path)
    images = torch.rand(2, 1, 8, 8)
    answers = []
    for path in (shards, shards.parent, single):
        module = torch_artifact_module(type(artifact)(spec=artifact.spec, format=artifact.format, path=path))
        with torch.no_grad():
            answers.append(module(images))
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


def test_the_digest_of_shards_is_that_of_a_folder_of_just_these(shards, single, tmp_path):
    whole = digest_of(shards.parent)
    assert weights_digest(shards, cache=tmp_path / "cache") == whole
    assert weights_digest(shards.parent, cache=tmp_path / "cache") == whole
    assert artifact_digest(shards) == whole
    (shards.parent / "config.json").write_text("{}")
    assert weights_digest(shards, cache=tmp_path / "cache") == whole
    assert weights_digest(single, cache=tmp_path / "cache") == digest_of(single) == artifact_digest(single)


def test_a_missing_shard_is_named(shards):
    weight_files(shards)[1].unlink()
    with pytest.raises(WeightsUnavailableError, match="model-00001"):
        read_arrays(shards)


def test_a_broken_shard_is_named(shards):
    weight_files(shards)[1].write_bytes(b"broken")
    with pytest.raises(ArtifactError, match=r"model-00001\.safetensors"):
        weight_shapes(shards)


def test_a_weight_in_two_files_is_refused(shards):
    first, second = weight_files(shards)[:2]
    second.write_bytes(first.read_bytes())
    with pytest.raises(ArtifactError, match="two files hold one weight"):
        weight_shapes(shards)


def test_a_folder_without_weights_or_with_two_models_is_refused(tmp_path, single):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert weights_in(empty) is None
    assert weight_files(tmp_path) == (single,)
    save_file(WEIGHTS, tmp_path / "two.safetensors")
    for folder in (empty, tmp_path):
        with pytest.raises(ArtifactError, match="weights of one model"):
            weight_files(folder)


def test_large_weights_are_mapped_and_whoever_writes_to_them_leaves_the_file_alone(single, monkeypatch):
    monkeypatch.setattr(torch_module, "MAPPED_FROM_BYTES", 0)
    before = single.read_bytes()
    state = read_state(single)
    for tensor in state.values():
        tensor.zero_()
    assert single.read_bytes() == before
    assert all(np.array_equal(load_file(single)[name], WEIGHTS[name]) for name in WEIGHTS)


def test_small_weights_are_in_memory_of_their_own(single):
    state = read_state(single)
    single.write_bytes(b"gone")
    assert all(np.array_equal(tensor.numpy(), WEIGHTS[name]) for name, tensor in state.items())
