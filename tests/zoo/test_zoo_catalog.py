"""Names cost nothing, filters load specs and no framework, and a broken model hurts nobody else."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from bytemlperf import zoo
from bytemlperf.errors import BackendUnavailableError, SpecError, UnknownNameError

OURS = {
    "digits-resnet-onnx-fp32",
    "digits-resnet-tf-fp32",
    "digits-resnet-torch-fp32",
    "resnet50-torch-fp32",
}


def _python(code, path=""):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONPATH": str(path)},
    )
    return json.loads(done.stdout)


def test_our_models_are_installed():
    assert set(zoo.names()) >= OURS


def test_names_are_sorted():
    assert list(zoo.names()) == sorted(zoo.names())


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"domain": "cv"}, OURS),
        ({"domain": "nlp"}, set()),
        ({"purpose": "regular"}, {"resnet50-torch-fp32"}),
        ({"framework": "onnx"}, {"digits-resnet-onnx-fp32"}),
        ({"framework": "tensorflow", "purpose": "custom"}, {"digits-resnet-tf-fp32"}),
    ],
)
def test_filters_leave_what_they_say(filters, expected):
    assert set(zoo.names(**filters)) & OURS == expected


def test_an_unknown_filter_is_refused_with_a_suggestion():
    with pytest.raises(SpecError, match="did you mean 'regular'"):
        zoo.names(purpose="regulra")


def test_listing_loads_no_model_and_filtering_no_framework():
    loaded = _python(
        """
        import json, sys
        from bytemlperf import zoo
        zoo.names()
        listed = [name for name in sys.modules if name.startswith("bytemlperf.zoo.") and "resnet" in name]
        zoo.names(domain="cv")
        heavy = ("torch", "tensorflow", "onnx", "onnxruntime", "huggingface_hub")
        print(json.dumps([listed, [name for name in heavy if name in sys.modules]]))
        """
    )
    assert loaded == [[], []]


def test_an_unknown_model_is_told_with_what_looks_like_it():
    with pytest.raises(UnknownNameError, match="did you mean 'resnet50-torch-fp32'"):
        zoo.get("resnet50-torch-fp23")


@pytest.fixture
def foreign(tmp_path):
    """A package that declares one good model, one broken, one misnamed and one that is no spec."""
    (tmp_path / "foreign_models.py").write_text(
        textwrap.dedent(
            """
            from bytemlperf.spec import ModelSpec
            GOOD = ModelSpec(name="good", domain="rec", framework="torch", format="torch", inputs=(), outputs=())
            NO_SPEC = 7
            """
        )
    )
    (tmp_path / "foreign_broken.py").write_text("import a_package_that_is_not_there\n")
    info = tmp_path / "foreign-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[bytemlperf.models]\n"
        "good = foreign_models:GOOD\n"
        "broken = foreign_broken:SPEC\n"
        "misnamed = foreign_models:GOOD\n"
        "no-spec = foreign_models:NO_SPEC\n"
    )
    return tmp_path


def test_a_broken_model_is_left_out_and_the_others_stay(foreign):
    script = """
        import json, logging, sys
        logging.basicConfig(stream=sys.stderr)
        from bytemlperf import zoo
        print(json.dumps([zoo.names(), zoo.names(domain="rec")]))
    """
    every, of_recommendation = _python(script, foreign)
    assert set(every) >= OURS | {"good", "broken", "misnamed", "no-spec"}
    assert "good" in of_recommendation
    assert not {"broken", "misnamed", "no-spec"} & set(of_recommendation)


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("broken", BackendUnavailableError, ("foreign 1.0", "a_package_that_is_not_there")),
        ("misnamed", SpecError, ("foreign 1.0", "got 'good'", "'misnamed'")),
        ("no-spec", SpecError, ("foreign 1.0", "got 'int'")),
    ],
)
def test_a_broken_model_is_told_with_its_package(foreign, name, error, words):
    kind, message = _python(
        f"""
        import json
        from bytemlperf import zoo
        try:
            zoo.get({name!r})
        except Exception as error:
            print(json.dumps([type(error).__name__, str(error)]))
        """,
        foreign,
    )
    assert kind == error.__name__
    assert all(word in message for word in words), message
