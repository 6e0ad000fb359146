"""One layer's weights in memory at a time: the same answers as the whole module's, bit for bit."""

from __future__ import annotations

import json

import attrs
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import CompileOptions
from bytemlperf.conversion.torch_layerwise import layered_module
from bytemlperf.conversion.torch_module import torch_artifact_module
from bytemlperf.conversion.weight_files import INDEX, SINGLE, read_arrays
from bytemlperf.errors import ArtifactError, SpecError, WeightsUnavailableError
from bytemlperf.registry import backends
from bytemlperf.sample import Batch
from bytemlperf.spec import DType, Format, Framework, ModelSpec, Recipe, TensorSpec

WIDTH = 8
SEEN: list[int] = []
"""Layers with weights in memory, counted at each call of one."""


class Block(nn.Module):
    """A normalisation, two linear layers, a list within the list."""

    def __init__(self, owner):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.steps = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(2)])
        self.register_buffer("scale", torch.full((1,), 0.5))
        self.owner = [owner]  # no submodule

    def forward(self, x):
        SEEN.append(sum(not block.norm.weight.is_meta for block in self.owner[0].blocks))
        for step in self.steps:
            x = x + self.scale * torch.tanh(step(self.norm(x)))
        return x


class Tower(nn.Module):
    """Blocks between an embedding and a head that uses the embedding's weights, and positions that are computed."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, WIDTH)
        self.blocks = nn.ModuleList([Block(self) for _ in range(4)])
        self.register_buffer("positions", torch.arange(6.0)[:, None] / 10, persistent=False)

    def forward(self, ids):
        x = self.embed(ids) + self.positions
        for block in self.blocks:
            x = block(x)
        return x @ self.embed.weight.T


def build_tower():
    return Tower()


def build_plain():
    return nn.Linear(6, 20)


SPEC = ModelSpec(
    name="tower",
    framework=Framework.TORCH,
    format=Format.TORCH,
    inputs=(TensorSpec(name="ids", shape=("batch", 6), dtype="int64", high=20),),
    outputs=(TensorSpec(name="logits", shape=("batch", 6, 20), dtype="fp32"),),
    recipe=Recipe(architecture="tests.conversion.test_torch_layerwise:build_tower"),
)
IDS = np.random.default_rng(1).integers(0, 20, (3, 6))


@pytest.fixture(scope="module", params=["one file", "shards"])
def tower(tmp_path_factory, request):
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("tower")
    state = {name: each.clone() for name, each in Tower().state_dict().items()}
    if request.param == "one file":
        save_file(state, folder / SINGLE)
        return ModelArtifact(spec=SPEC, format=Format.TORCH, path=folder / SINGLE)
    places = {name: f"shard-{number % 3}.safetensors" for number, name in enumerate(state)}  # a block lies in several
    for file in set(places.values()):
        save_file({name: each for name, each in state.items() if places[name] == file}, folder / file)
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))
    return ModelArtifact(spec=SPEC, format=Format.TORCH, path=folder / INDEX)


@pytest.mark.parametrize("floats", [None, torch.float64])
def test_answers_are_those_of_the_whole_module(tower, floats):
    whole = torch_artifact_module(tower)
    whole = whole if floats is None else whole.to(floats)
    layered, ids = layered_module(tower, floats), torch.tensor(IDS)
    with torch.inference_mode():
        assert torch.equal(layered(ids), whole(ids))
        assert torch.equal(layered(ids), whole(ids))


def test_one_layer_is_in_memory_at_a_time(tower):
    layered = layered_module(tower)
    SEEN.clear()
    with torch.inference_mode():
        layered(torch.tensor(IDS))
    assert SEEN == [1, 1, 1, 1]
    assert all(each.is_meta for each in layered.blocks.parameters())
    assert not layered.embed.weight.is_meta


def test_after_an_error_nothing_stays(tower):
    layered = layered_module(tower)
    with pytest.raises(RuntimeError):
        layered.blocks[0](torch.zeros(2, 3))
    assert all(each.is_meta for each in layered.blocks.parameters())


def test_the_torch_backend_runs_it_where_asked(tower, tmp_path):
    kind = backends.get("torch")
    backend = kind()
    answers = []
    for layers_at_a_time in (False, True):
        options = kind.options_type(
            precision=DType.FLOAT64, layers_at_a_time=layers_at_a_time, batch_size=None, work_dir=tmp_path
        )
        compiled = backend.compile(tower, options)
        answers.append(backend.predict(compiled, Batch(inputs={"ids": IDS}, size=3))["logits"])
        backend.release(compiled)
        assert compiled.info.max_in_flight == (1 if layers_at_a_time else None)
    assert answers[1].dtype == np.float64
    np.testing.assert_array_equal(*answers)


def test_what_does_not_go_together_is_refused(tower, tmp_path):
    kind = backends.get("torch").options_type
    assert issubclass(kind, CompileOptions)
    with pytest.raises(SpecError, match="layers_at_a_time"):
        kind(layers_at_a_time=True, mode="compile", work_dir=tmp_path)
    with pytest.raises(WeightsUnavailableError):
        layered_module(attrs.evolve(tower, path=tmp_path / "nowhere"))
    with pytest.raises(ArtifactError, match="no layers"):
        layered_module(attrs.evolve(tower, format=Format.ONNX))


def test_weights_of_another_architecture_are_refused(tower, tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"embed.weight": torch.zeros(20, WIDTH)}, path)
    with pytest.raises(ArtifactError, match="not the architecture's"):
        layered_module(attrs.evolve(tower, path=path))
    path.write_bytes(b"none")
    with pytest.raises(ArtifactError, match="cannot be read"):
        layered_module(attrs.evolve(tower, path=path))


def test_names_that_the_module_passes_over_may_be_there(tower, tmp_path, monkeypatch):
    state = {name: torch.from_numpy(each) for name, each in read_arrays(tower.path).items()}
    save_file({**state, "blocks.0.old": torch.zeros(2)}, tmp_path / SINGLE)
    older = attrs.evolve(tower, path=tmp_path / SINGLE)
    with pytest.raises(ArtifactError, match=r"blocks\.0\.old"):
        layered_module(older)
    monkeypatch.setattr(Tower, "unused_weights", (r"blocks\.\d+\.old",), raising=False)
    with torch.inference_mode():
        assert torch.equal(layered_module(older)(torch.tensor(IDS)), layered_module(tower)(torch.tensor(IDS)))


def test_a_module_without_a_list_has_no_layers(tmp_path):
    path = tmp_path / "plain.safetensors"
    save_file(nn.Linear(6, 20).state_dict(), path)
    spec = attrs.evolve(SPEC, recipe=Recipe(architecture="tests.conversion.test_torch_layerwise:build_plain"))
    with pytest.raises(ArtifactError, match="no list of layers"):
        layered_module(ModelArtifact(spec=spec, format=Format.TORCH, path=path))
