import pytest

from bytemlperf.artifact import ModelArtifact
from bytemlperf.errors import SpecError
from bytemlperf.report import ArtifactFacts, BackendFacts, Part, artifact_facts
from bytemlperf.spec import ModelSpec, Recipe, from_json, to_json

SPEC = ModelSpec(name="m-onnx-fp32", framework="onnx", format="onnx", inputs=[], outputs=[], parameters=12)


def test_an_artifacts_file_is_told_by_name_and_size(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"12345")
    artifact = ModelArtifact(
        spec=SPEC, format="onnx", path=tmp_path / "model.onnx", sha256="a" * 64, provenance="random", origin="seed 7"
    )
    facts = artifact_facts(artifact)
    assert facts.files == {"model.onnx": 5}
    assert (facts.name, facts.provenance, facts.origin, facts.parameters) == ("m-onnx-fp32", "random", "seed 7", 12)
    assert str(tmp_path) not in str(to_json(facts))


def test_a_folders_files_are_told_below_it(tmp_path):
    (tmp_path / "model/variables").mkdir(parents=True)
    (tmp_path / "model/saved_model.pb").write_bytes(b"1")
    (tmp_path / "model/variables/data").write_bytes(b"22")
    facts = artifact_facts(ModelArtifact(spec=SPEC, format="saved_model", path=tmp_path / "model"))
    assert facts.files == {"saved_model.pb": 1, "variables/data": 2}


@pytest.mark.parametrize("path", [None, "nowhere.onnx"])
def test_an_artifact_without_files_has_none(path):
    assert artifact_facts(ModelArtifact(spec=SPEC, format="onnx", path=path)).files == {}


def test_the_definition_is_told_with_its_version():
    spec = ModelSpec(
        name="m",
        framework="torch",
        format="torch",
        inputs=[],
        outputs=[],
        recipe=Recipe(architecture="a.b:c", version="3"),
    )
    assert artifact_facts(ModelArtifact(spec=spec, format="torch")).definition == "a.b:c version 3"


@pytest.mark.parametrize("time", ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123456+00:00"])
def test_times_are_in_utc(time):
    assert Part(id="a", started_utc=time).started_utc == time


@pytest.mark.parametrize("time", ["", "yesterday", "2026-01-31T12:00:00", "2026-01-31T12:00:00+01:00", None, 5])
def test_other_times_are_refused(time):
    with pytest.raises(SpecError, match="no time in UTC"):
        Part(id="a", started_utc=time)


def test_facts_come_back_from_json():
    facts = ArtifactFacts(name="m", format="onnx", provenance="local", files={"a": 1})
    assert from_json(ArtifactFacts, to_json(facts)) == facts
    backend = BackendFacts(name="b", reference="m:B", isolation="inline", formats=["onnx", "torch"])
    assert from_json(BackendFacts, to_json(backend)) == backend
