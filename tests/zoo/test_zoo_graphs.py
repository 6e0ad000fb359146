"""The graph of each model is the recorded one: no upgrade of a library changes a benchmark unseen."""

from __future__ import annotations

import re

import attrs
import numpy as np
import onnx
import pytest
import torch
from tests.waves import ECHO, load

from bytemlperf import run, zoo
from bytemlperf.conversion import onnx_digest
from bytemlperf.conversion.stablehlo_digest import module_digest
from bytemlperf.conversion.tf_digest import function_graph_digest
from bytemlperf.conversion.torch_digest import recipe_graph_digest
from bytemlperf.conversion.weight_files import read_arrays
from bytemlperf.errors import ArtifactError, SpecError
from bytemlperf.fetch import CACHE_VARIABLE
from bytemlperf.registry import load as loaded
from bytemlperf.registry import models
from bytemlperf.zoo.graph_digests import graph_digest
from bytemlperf.zoo.graphs import EXPORTERS, exporter, graph_change, recorded_graphs

OURS = tuple(each.name for each in models.plugins() if each.distribution.partition(" ")[0] == "bytemlperf")
QUICK = (
    *("digits-resnet-onnx-fp32", "digits-resnet-tf-fp32", "digits-resnet-torch-fp32", "widedeep-tf-fp32"),
    *("conv-group-128x56-onnx-fp32", "conv-group-128x56-torch-fp32"),
    *("transformer-encoder-64-onnx-fp32", "transformer-encoder-64-torch-fp32", "gru-128x64-torch-fp32"),
)
DIGITS = "digits-resnet-onnx-fp32"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in OURS]
)
def test_the_graph_is_the_recorded_one(name):
    recorded = recorded_graphs()[name]
    assert graph_digest(zoo.get(name)) == recorded.sha256
    assert zoo.get(name).recipe.version == recorded.version


def test_every_model_of_the_catalog_is_recorded():
    recorded = recorded_graphs()
    assert set(recorded) == set(OURS)
    assert len(OURS) > 80
    for name, graph in recorded.items():
        assert re.fullmatch("[0-9a-f]{64}", graph.sha256)
        assert tuple(graph.exporter) == EXPORTERS[zoo.get(name).format]
        assert "not installed" not in graph.exporter.values()


def test_no_two_models_have_one_graph_but_those_that_are_one():
    """CLIP's and the autoencoder's rows are different parts, and a length or width makes another graph."""
    recorded = recorded_graphs()
    assert len({graph.sha256 for graph in recorded.values()}) == len(recorded)


def exported(path):
    zoo.resolve(DIGITS, cache=path)
    (found,) = path.rglob("model.onnx")
    return found


def test_weights_do_not_count_and_operators_do(tmp_path):
    path = exported(tmp_path)
    before, model = onnx_digest.graph_digest(path), onnx.load(path)

    weight = next(each for each in model.graph.initializer if len(each.dims) == 4)
    weight.raw_data = bytes(len(weight.raw_data))
    onnx.save(model, path)
    assert onnx_digest.graph_digest(path) == before

    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Sigmoid"
    onnx.save(model, path)
    assert onnx_digest.graph_digest(path) != before


def test_in_tensorflow_weights_do_not_count_and_the_configuration_does():
    spec = zoo.get("digits-resnet-tf-fp32")
    artifact = zoo.resolve("digits-resnet-torch-fp32")
    arrays = read_arrays(artifact.path)
    build = loaded(spec.recipe.architecture)
    assert function_graph_digest(build(arrays, **spec.recipe.config)) == recorded_graphs()[spec.name].sha256
    blind = {
        name: array if array.ndim < 4 else np.zeros((*array.shape[:2], 5, 5), np.float32)
        for name, array in arrays.items()
    }
    assert function_graph_digest(build(blind, **spec.recipe.config)) != recorded_graphs()[spec.name].sha256


def test_in_torch_precision_shapes_and_configuration_count():
    spec = zoo.get("transformer-encoder-64-torch-fp32")
    longer = attrs.evolve(spec, inputs=tuple(attrs.evolve(each, shape=("batch", 65, 768)) for each in spec.inputs))
    narrower = attrs.evolve(spec.recipe, config={**spec.recipe.config, "inner": 1024})
    found = {
        recipe_graph_digest(spec, spec.recipe),
        recipe_graph_digest(longer, spec.recipe),
        recipe_graph_digest(attrs.evolve(spec, precision="fp16"), spec.recipe),
        recipe_graph_digest(spec, narrower),
    }
    assert len(found) == 4


def recording(name, **changes):
    return {name: attrs.evolve(recorded_graphs()[name], **changes)}


@pytest.mark.parametrize("name", [DIGITS, "digits-resnet-torch-fp32", "digits-resnet-tf-fp32"])
def test_a_graph_that_other_libraries_make_otherwise_is_told_with_both_versions(name):
    artifact = zoo.resolve(name)
    before = dict.fromkeys(exporter(artifact.spec.format), "1.0")
    other = recording(name, sha256="0" * 64, exporter=before)
    told = graph_change(artifact, recorded=other)
    assert f"the graph of {name} is not the one that was recorded for version 1" in told
    for library, installed in exporter(artifact.spec.format).items():
        assert f"{library} {installed}" in told
        assert f"{library} 1.0" in told
    assert graph_change(artifact, recorded=recording(name, exporter=before)) is None


def test_a_graph_is_exported_once(tmp_path):
    artifact = zoo.resolve("digits-resnet-torch-fp32")
    other = recording(artifact.name, sha256="0" * 64, exporter={"torch": "1.0"})
    told = graph_change(artifact, recorded=other)
    (kept,) = (tmp_path / "cache" / "fitting").glob("*/graph")
    made = kept.stat().st_mtime_ns
    assert graph_change(artifact, recorded=other) == told
    assert kept.stat().st_mtime_ns == made


def test_the_same_libraries_give_the_same_graph_and_export_nothing(tmp_path):
    artifact = zoo.resolve("digits-resnet-torch-fp32")
    assert graph_change(artifact) is None
    assert graph_change(artifact, recorded=recording(artifact.name, sha256="0" * 64)) is None
    assert not list((tmp_path / "cache" / "fitting").glob("*/graph"))


def test_what_is_not_the_catalogs_definition_is_not_compared():
    artifact = zoo.resolve(DIGITS)
    other = recording(DIGITS, sha256="0" * 64, exporter={"torch": "1.0"})
    spec, recipe = artifact.spec, artifact.spec.recipe
    changed = attrs.evolve(spec, recipe=attrs.evolve(recipe, config={**recipe.config, "width": 8}))
    assert graph_change(attrs.evolve(artifact, spec=changed), recorded=other) is None
    assert graph_change(attrs.evolve(artifact, spec=attrs.evolve(spec, name="mine")), recorded=other) is None
    assert graph_change(artifact, recorded={DIGITS: attrs.evolve(other[DIGITS], version="0")}) is None
    own = zoo.resolve(DIGITS, weights=artifact.path)  # a file that somebody brought
    assert graph_change(own, recorded=other) is None
    assert graph_change(artifact, recorded=other) is not None


def test_models_without_a_recipe_and_files_without_a_graph_have_no_digest(tmp_path):
    with pytest.raises(SpecError, match="no recipe"):
        graph_digest(attrs.evolve(zoo.get(DIGITS), recipe=None))
    (tmp_path / "model.stablehlo").write_text("{}")
    with pytest.raises(ArtifactError, match="StableHLO cannot be read"):
        module_digest(tmp_path / "model.stablehlo")


class AnotherTorch:
    """Says to be torch 9.9, and exports otherwise or not at all."""

    def __init__(self, monkeypatch, folder, export):
        info = folder / "torch-9.9.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.9\n")
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setattr(torch.export, "export", export)


def decomposed(*arguments, export=torch.export.export):
    return export(*arguments).run_decompositions({})


def failing(*arguments):
    raise RuntimeError("this torch has forgotten how")


def unchanged(*arguments, export=torch.export.export):
    return export(*arguments)


@pytest.mark.parametrize(
    ("export", "words"),
    [
        (decomposed, ("is made by torch 9.9", f"the recorded one by torch {torch.__version__}")),
        (failing, ("cannot be compared with the recorded one", "forgotten how")),
        (unchanged, ()),
    ],
)
def test_a_report_warns_of_a_graph_that_another_torch_makes_otherwise(tmp_path, monkeypatch, export, words):
    AnotherTorch(monkeypatch, tmp_path / "site", export)
    name = "digits-resnet-torch-fp32"
    report = run(name, backend=ECHO, checks=["performance"], batch_sizes=[1], scenarios=[load()])
    told = [warning.message for warning in report.warnings if warning.code == "graph_changed"]
    assert len(told) == bool(words)
    assert all(word in told[0] for word in words)
