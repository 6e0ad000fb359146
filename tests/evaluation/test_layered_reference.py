"""A reference that does not fit into the memory that there is: run layer by layer, through `run`, from shards."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.evaluation import wrong
from tests.waves import codes
from torch import nn

from bytemlperf import ArrayLoader, Limits, run
from bytemlperf.artifact import ModelArtifact, Provenance
from bytemlperf.conversion.weight_files import INDEX
from bytemlperf.report import RowKind
from bytemlperf.spec import Format, Framework, ModelSpec, Recipe, TensorSpec

WIDTH, LAYERS, SHARDS = 16, 5, 3
SMALL = 8_000
"""Bytes: the weights, 1,360 values, would take 10,880 in float64."""


class Tower(nn.Module):
    """Layers in a list; each call of one notes how many of them have weights in memory."""

    def __init__(self, log):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)])
        self.log = Path(log)

    def forward(self, x):
        for block in self.blocks:
            block.register_forward_pre_hook(self._note)
            x = x + torch.tanh(block(x))
        return x

    def _note(self, *_):
        with self.log.open("a") as file:
            file.write(f"{sum(not block.weight.is_meta for block in self.blocks)}\n")


def build_tower(*, log):
    return Tower(log)


@pytest.fixture
def tower(tmp_path, monkeypatch):
    """A recipe and weights in three shards, none of which has a whole layer of its own; no reference is kept yet."""
    monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(3)
    state = {name: each.clone() for name, each in Tower("").state_dict().items()}
    assert sum(each.numel() for each in state.values()) == 1_360
    places = {name: f"shard-{number % SHARDS}.safetensors" for number, name in enumerate(state)}
    for file in set(places.values()):
        save_file({name: each for name, each in state.items() if places[name] == file}, tmp_path / file)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": places}))
    recipe = Recipe(
        architecture="tests.evaluation.test_layered_reference:build_tower", config={"log": str(tmp_path / "log")}
    )
    tensors = {"shape": ("batch", WIDTH), "dtype": "fp32"}
    spec = ModelSpec(
        name="tower",
        framework=Framework.TORCH,
        format=Format.TORCH,
        inputs=(TensorSpec(name="x", **tensors),),
        outputs=(TensorSpec(name="y", **tensors),),
        recipe=recipe,
    )
    return ModelArtifact(spec=spec, format=Format.TORCH, path=tmp_path / INDEX, provenance=Provenance.LOCAL)


def compared(tower, backend=wrong.SwappedTorch, *, memory_bytes=None, options=None):
    loader = ArrayLoader(x=np.random.default_rng(2).standard_normal((8, WIDTH)).astype(np.float32))
    report = run(
        tower,
        backend=backend(),
        dataset=loader,
        checks=["numeric"],
        batch_sizes=[4],
        options=options,
        limits=Limits(memory_bytes=memory_bytes),
    )
    (row,) = report.rows_of(RowKind.NUMERIC)
    return report, row


def seen(tower):
    """Numbers of layers that were in memory at once, of the reference's process and of the backend's, in order."""
    log = tower.path.parent / "log"
    found = [int(line) for line in log.read_text().split()]
    log.unlink()
    return found


def test_without_room_for_the_weights_one_layer_is_read_at_a_time_and_the_row_says_so(tower):
    report, row = compared(tower, memory_bytes=SMALL)
    assert codes(report) == []
    assert row.passed is True
    assert row.note == "reference: tower in torch, float64, layer by layer"
    assert set(seen(tower)[:LAYERS]) == {1}


@pytest.mark.slow
def test_the_answers_are_those_of_the_whole_model(tower, tmp_path, monkeypatch):
    found = []
    for memory_bytes, name in ((None, "reference: tower in torch, float64"), (SMALL, "layer by layer")):
        monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path / str(memory_bytes)))
        _, row = compared(tower, memory_bytes=memory_bytes)
        assert row.note.endswith(name)
        found += [np.load(path) for path in (tmp_path / str(memory_bytes)).glob("references/*/y.npy")]
    assert len(found) == 2
    np.testing.assert_array_equal(*found)


@pytest.mark.slow
def test_a_wrong_backend_fails_against_it(tower):
    report, row = compared(tower, memory_bytes=SMALL, options={"at": "blocks.2"})
    assert codes(report) == ["numeric_mismatch"]
    assert row.passed is False
