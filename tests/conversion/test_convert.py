"""One call from what the zoo gives to what a backend takes; gone once, remembered honestly."""

from __future__ import annotations

import subprocess
import sys

import attrs
import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from tests.tiny_models import conv_artifact, live, spec_of_conv, trained_conv
from torch import nn

from bytemlperf.artifact import ModelArtifact, digest_of
from bytemlperf.conversion import CONVERTERS, convert, targets
from bytemlperf.errors import ConversionError, WeightsUnavailableError
from bytemlperf.registry import load
from bytemlperf.spec import Format, TensorSpec

ONNX = frozenset({Format.ONNX})


def test_what_the_backend_takes_already_is_left_alone(tmp_path):
    artifact = conv_artifact(tmp_path)
    assert convert(artifact, frozenset({Format.ONNX, Format.TORCH}), folder=tmp_path / "store") is artifact
    assert not (tmp_path / "store").exists()


def test_a_recipe_becomes_an_onnx_file_that_computes_the_same(tmp_path, rng):
    artifact = conv_artifact(tmp_path)
    converted = convert(artifact, ONNX, folder=tmp_path / "store")
    assert converted.format is Format.ONNX
    assert converted.sha256 == digest_of(converted.path)
    assert converted.derived_from == artifact.sha256
    assert converted.spec == artifact.spec
    assert (converted.provenance, converted.origin) == (artifact.provenance, artifact.origin)
    image = rng.standard_normal((3, 1, 8, 8)).astype(np.float32)
    with torch.no_grad():
        expected = trained_conv()(torch.tensor(image)).numpy()
    found = ReferenceEvaluator(str(converted.path)).run(["out.logits:0"], {"image": image})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("precision", "kind"), [("fp32", onnx.TensorProto.FLOAT), ("fp16", onnx.TensorProto.FLOAT16)])
def test_the_file_has_the_precision_of_the_spec(tmp_path, precision, kind):
    graph = onnx.load(convert(conv_artifact(tmp_path, precision=precision), ONNX, folder=tmp_path).path).graph
    assert {each.data_type for each in graph.initializer if each.name.endswith("weight")} == {kind}
    assert graph.input[0].type.tensor_type.elem_type == kind


def test_a_second_conversion_finds_the_first(tmp_path):
    first = convert(conv_artifact(tmp_path), ONNX, folder=tmp_path / "store")
    stamp = first.path.stat().st_mtime_ns
    again = convert(conv_artifact(tmp_path), ONNX, folder=tmp_path / "store")
    assert again == first
    assert again.path.stat().st_mtime_ns == stamp


def test_a_damaged_file_is_made_anew(tmp_path):
    first = convert(conv_artifact(tmp_path), ONNX, folder=tmp_path / "store")
    content = bytearray(first.path.read_bytes())
    content[len(content) // 2] ^= 1
    first.path.write_bytes(content)
    again = convert(conv_artifact(tmp_path), ONNX, folder=tmp_path / "store")
    assert again == first
    assert digest_of(again.path) == first.sha256


@pytest.mark.parametrize(
    "change",
    [
        {"outputs": (TensorSpec(name="logits", original_name="renamed", shape=("batch", 10), dtype="fp32"),)},
        {"precision": "fp16"},
        {"recipe": attrs.evolve(spec_of_conv().recipe, architecture="tests.tiny_models:Conv")},
    ],
    ids=["names", "precision", "architecture"],
)
def test_what_decides_the_content_decides_what_is_found(tmp_path, change):
    first = convert(conv_artifact(tmp_path), ONNX, folder=tmp_path / "store")
    other = convert(conv_artifact(tmp_path, **change), ONNX, folder=tmp_path / "store")
    assert other.path != first.path


def test_other_weights_are_another_file(tmp_path):
    first = convert(conv_artifact(tmp_path), ONNX, folder=tmp_path / "store")
    other = convert(attrs.evolve(conv_artifact(tmp_path), sha256="0" * 64), ONNX, folder=tmp_path / "store")
    assert other.path != first.path
    assert other.derived_from == "0" * 64


def test_another_version_of_a_library_makes_another_file(tmp_path, monkeypatch):
    first = convert(conv_artifact(tmp_path), ONNX, folder=tmp_path / "store")
    assert convert(conv_artifact(tmp_path), ONNX, folder=tmp_path / "store").path == first.path
    installed = tmp_path / "site" / "onnxscript-99.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxscript\nVersion: 99.0\n")
    monkeypatch.syspath_prepend(str(installed.parent))
    assert convert(conv_artifact(tmp_path), ONNX, folder=tmp_path / "store").path != first.path


def test_an_artifact_without_a_digest_is_digested(tmp_path):
    artifact = attrs.evolve(conv_artifact(tmp_path), sha256="")
    assert convert(artifact, ONNX, folder=tmp_path / "store").derived_from == digest_of(artifact.path)


def test_a_live_module_is_converted_anew_for_its_code_may_have_changed(tmp_path):
    class Scaled(nn.Module):
        factor = 2.0

        def forward(self, image):
            return image.mean(dim=(1, 2, 3)).reshape(-1, 1).expand(-1, 10) * self.factor

    artifact = live(Scaled())
    first = convert(artifact, ONNX, folder=tmp_path)
    Scaled.factor = 3.0
    second = convert(artifact, ONNX, folder=tmp_path)
    image = np.ones((1, 1, 8, 8), np.float32)
    answers = [ReferenceEvaluator(str(each.path)).run(None, {"image": image})[0][0, 0] for each in (first, second)]
    assert answers == [2.0, 3.0]
    assert first.module is None
    assert first.derived_from is None


def test_onnx_is_preferred_where_several_ways_lead_on(tmp_path):
    takes = frozenset({Format.TORCHSCRIPT, Format.ONNX})
    assert convert(conv_artifact(tmp_path), takes, folder=tmp_path).format is Format.ONNX


def test_a_recipe_becomes_torchscript(tmp_path):
    converted = convert(conv_artifact(tmp_path), frozenset({Format.TORCHSCRIPT}), folder=tmp_path)
    assert converted.format is Format.TORCHSCRIPT
    assert converted.path.name == "model.pt"


@pytest.mark.parametrize("source", [Format.SAVED_MODEL, Format.STABLEHLO, Format.ONNX])
def test_where_no_way_leads_the_message_says_what_is_possible(tmp_path, source):
    artifact = ModelArtifact(spec=spec_of_conv(), format=source, path=tmp_path)
    with pytest.raises(ConversionError, match=f"one of: {source}; this one takes: torchscript"):
        convert(artifact, frozenset({Format.TORCHSCRIPT}), folder=tmp_path)


def test_an_artifact_without_a_file_is_refused(tmp_path):
    artifact = attrs.evolve(conv_artifact(tmp_path), path=None)
    with pytest.raises(WeightsUnavailableError, match="no file"):
        convert(artifact, ONNX, folder=tmp_path)


def test_targets_are_what_convert_reaches():
    assert targets(Format.TORCH) == {Format.TORCH, Format.ONNX, Format.TORCHSCRIPT, Format.STABLEHLO}
    assert targets(Format.SAVED_MODEL) == {Format.SAVED_MODEL}


@pytest.mark.parametrize("converter", CONVERTERS, ids=lambda each: each.target.value)
def test_every_step_names_a_function_that_exists(converter):
    assert callable(load(converter.writer))


def test_finding_a_kept_file_loads_no_framework(tmp_path):
    artifact = conv_artifact(tmp_path)
    convert(artifact, ONNX, folder=tmp_path / "store")
    program = f"""
import sys
from pathlib import Path
from bytemlperf.artifact import ModelArtifact
from bytemlperf.conversion import convert
from bytemlperf.spec import Format, from_json
import json
artifact = from_json(ModelArtifact, json.loads(sys.argv[1]))
found = convert(artifact, frozenset({{Format.ONNX}}), folder=Path({str(tmp_path / "store")!r}))
assert found.format is Format.ONNX
print(sorted({{"torch", "onnx", "onnxscript"}} & set(sys.modules)))
"""
    import json

    from bytemlperf.spec import to_json

    argument = json.dumps(to_json(attrs.evolve(artifact, module=None)))
    done = subprocess.run([sys.executable, "-c", program, argument], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_converted_file_passes_the_checker_in_full(tmp_path):
    converted = convert(conv_artifact(tmp_path), ONNX, folder=tmp_path)
    onnx.checker.check_model(converted.path, full_check=True)
