"""A spec and a choice of weights become an artifact that says truthfully what it is."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import attrs
import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from safetensors.numpy import load_file, save_file
from tests.tiny_models import spec_of_conv, trained_conv

from bytemlperf import zoo
from bytemlperf.artifact import Provenance, digest_of
from bytemlperf.conversion.torch_module import torch_artifact_module
from bytemlperf.errors import (
    ArtifactError,
    BackendUnavailableError,
    ChecksumError,
    ConversionError,
    SpecError,
    UnknownNameError,
    WeightsUnavailableError,
)
from bytemlperf.spec import Format, Framework, Recipe, Source, TensorSpec

DIGITS = {each: f"digits-resnet-{each}-fp32" for each in ("torch", "onnx", "tf")}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """No test reads or writes the developer's caches, or waits for a network."""
    monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A cache in which what takes long is made once."""
    return tmp_path_factory.mktemp("shared-cache")


@pytest.fixture
def conv_weights(tmp_path):
    """The weights of `spec_of_conv`, as safetensors."""
    path = tmp_path / "weights.safetensors"
    save_file({name: tensor.numpy() for name, tensor in trained_conv().state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def conv_onnx(shared):
    """The ONNX artifact of the same weights, made once."""
    path = shared / "weights.safetensors"
    save_file({name: tensor.numpy() for name, tensor in trained_conv().state_dict().items()}, path)
    return zoo.resolve(spec_of_conv(framework=Framework.ONNX, format=Format.ONNX), weights=path, cache=shared)


def _logits(artifact, images):
    """What a digits artifact of any framework answers, computed by the framework itself."""
    if artifact.format is Format.TORCH:
        with torch.no_grad():
            return torch_artifact_module(artifact)(torch.from_numpy(images)).numpy()
    if artifact.format is Format.ONNX:
        return ReferenceEvaluator(str(artifact.path)).run(["logits"], {"image": images})[0]
    import tensorflow as tf

    serve = tf.saved_model.load(str(artifact.path)).signatures["serving_default"]
    return serve(image=tf.constant(images))["logits"].numpy()


# ---------------------------------------------------------------------------------------------- random weights


def test_random_weights_are_the_same_for_the_same_seed(tmp_path):
    one = zoo.resolve(DIGITS["torch"], weights="random", seed=3, cache=tmp_path / "a")
    two = zoo.resolve(DIGITS["torch"], weights="random", seed=3, cache=tmp_path / "b")
    assert one.sha256 == two.sha256 == hashlib.sha256(two.path.read_bytes()).hexdigest()
    assert one.path != two.path


def test_random_weights_differ_by_seed(tmp_path):
    digests = {zoo.resolve(DIGITS["torch"], weights="random", seed=seed).sha256 for seed in range(3)}
    assert len(digests) == 3


def test_random_weights_are_the_same_in_another_process(tmp_path):
    code = f"""
        import torch
        torch.set_num_threads(2)
        torch.manual_seed(99)
        from bytemlperf import zoo
        print(zoo.resolve({DIGITS["torch"]!r}, weights="random", seed=3).sha256)
    """
    environment = {**os.environ, "BYTEMLPERF_CACHE": str(tmp_path / "other")}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    there = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert there.stdout.strip() == zoo.resolve(DIGITS["torch"], weights="random", seed=3).sha256


def test_random_weights_say_what_they_are():
    artifact = zoo.resolve(DIGITS["torch"], weights="random", seed=3)
    assert (artifact.provenance, artifact.origin) == (Provenance.RANDOM, "random(seed=3)")
    assert (artifact.format, artifact.derived_from) == (Format.TORCH, None)


def test_random_weights_are_in_the_specs_precision():
    spec = spec_of_conv(precision="fp16")
    weights = load_file(zoo.resolve(spec, weights="random").path)
    assert weights["conv.weight"].dtype == np.float16
    assert weights["bn.num_batches_tracked"].dtype == np.int64


def test_random_resnet50_has_every_weight_and_loads_strictly():
    artifact = zoo.resolve("resnet50-torch-fp32", weights="random")
    module = torch_artifact_module(artifact)
    assert sum(each.numel() for each in module.parameters()) == artifact.spec.parameters == 25_557_032
    assert set(load_file(artifact.path)) == set(module.state_dict())


def test_all_three_frameworks_get_the_same_random_weights(shared):
    artifacts = [zoo.resolve(name, weights="random", cache=shared) for name in DIGITS.values()]
    assert {each.derived_from or each.sha256 for each in artifacts} == {artifacts[0].sha256}
    assert {(each.provenance, each.origin) for each in artifacts} == {(Provenance.RANDOM, "random(seed=0)")}


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True, "0"])
def test_a_seed_that_cannot_be_used_is_refused(seed):
    with pytest.raises(SpecError, match="the seed cannot be used"):
        zoo.resolve(DIGITS["torch"], weights="random", seed=seed)


def test_random_weights_need_a_recipe():
    with pytest.raises(SpecError, match="no recipe"):
        zoo.resolve(spec_of_conv(recipe=None), weights="random")


def test_a_layer_that_cannot_be_initialised_is_told():
    spec = spec_of_conv(recipe=Recipe(architecture="torch.nn:PReLU"))
    with pytest.raises(SpecError, match=r"a method draws\(\)"):
        zoo.resolve(spec, weights="random")


def test_a_recipe_with_another_configuration_than_the_architectures_is_told():
    spec = spec_of_conv(recipe=Recipe(architecture="tests.tiny_models:build_conv", config={"chanels": 4}))
    with pytest.raises(SpecError, match="'chanels' may be 'channels'") as caught:
        zoo.resolve(spec, weights="random")
    assert caught.value.got == ["chanels"]
    assert caught.value.expected == "only: channels"


def test_a_value_that_the_architecture_refuses_is_told_with_the_configuration():
    spec = spec_of_conv(recipe=Recipe(architecture="tests.tiny_models:build_conv", config={"channels": "four"}))
    with pytest.raises(SpecError, match="an architecture cannot be built"):
        zoo.resolve(spec, weights="random")


@pytest.mark.parametrize("name", ["bert-torch-fp32", "bert-tf-fp32", "llama2-7b-torch-fp16"])
def test_a_whole_config_json_is_refused_with_the_keys_that_are_known(name):
    spec = zoo.get(name)
    foreign = {"architectures": ("Some",), "model_type": "some", "rope_scaling": None, "transformers_version": "4.1"}
    recipe = attrs.evolve(spec.recipe, config={**spec.recipe.config, **foreign})
    with pytest.raises(SpecError, match="does not take") as caught:
        zoo.resolve(attrs.evolve(spec, recipe=recipe), weights="random")
    assert set(caught.value.got) == set(foreign)
    assert all(key in caught.value.expected for key in spec.recipe.config)


@pytest.mark.parametrize("weights", ["random", "local"])
def test_another_number_of_parameters_than_the_architectures_is_refused(conv_weights, weights):
    right = sum(each.numel() for each in trained_conv().parameters())
    given = conv_weights if weights == "local" else weights
    assert zoo.resolve(spec_of_conv(parameters=right), weights=given).spec.parameters == right
    with pytest.raises(SpecError, match="another number of parameters") as caught:
        zoo.resolve(spec_of_conv(parameters=right + 1), weights=given)
    assert (caught.value.where, caught.value.got, caught.value.expected) == ("$.parameters", right + 1, str(right))


def test_an_architecture_that_is_not_there_is_told():
    spec = spec_of_conv(recipe=Recipe(architecture="no_such_package.models:build"))
    with pytest.raises(BackendUnavailableError, match="no_such_package"):
        zoo.resolve(spec, weights="random")


# ---------------------------------------------------------------------------------------------- the cache


@pytest.mark.parametrize("name", DIGITS.values())
def test_the_second_time_nothing_is_made(shared, name):
    first = zoo.resolve(name, weights="random", cache=shared)
    stamps = {path: path.stat().st_mtime_ns for path in shared.rglob("[!.]*") if path.is_file()}
    assert zoo.resolve(name, weights="random", cache=shared) == first
    assert {path: path.stat().st_mtime_ns for path in shared.rglob("[!.]*") if path.is_file()} == stamps


def test_weights_that_were_damaged_in_the_cache_are_made_anew():
    whole = zoo.resolve(DIGITS["torch"], weights="random")
    content = whole.path.read_bytes()
    whole.path.write_bytes(content[: len(content) // 2])
    assert zoo.resolve(DIGITS["torch"], weights="random") == whole
    assert whole.path.read_bytes() == content


def test_a_model_that_was_damaged_in_the_cache_is_made_anew():
    whole = zoo.resolve(DIGITS["tf"], weights="random")
    (whole.path / "variables" / "variables.index").write_bytes(b"")
    again = zoo.resolve(DIGITS["tf"], weights="random")
    assert (again.path, again.derived_from) == (whole.path, whole.derived_from)
    assert again.sha256 == digest_of(again.path)
    assert (again.path / "variables" / "variables.index").stat().st_size > 0


def test_many_threads_get_one_artifact():
    together = threading.Barrier(4)

    def ask(_):
        together.wait()
        return zoo.resolve(DIGITS["torch"], weights="random")

    with ThreadPoolExecutor(4) as pool:
        artifacts = list(pool.map(ask, range(4)))
    assert all(each == artifacts[0] for each in artifacts)
    assert digest_of(artifacts[0].path) == artifacts[0].sha256


def test_threads_may_export_different_models_at_once(tmp_path):
    spec = spec_of_conv(framework=Framework.ONNX, format=Format.ONNX)

    def ask(seed):
        return zoo.resolve(spec, weights="random", seed=seed)

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(ask, (0, 1))
    assert one.derived_from != two.derived_from
    for artifact in (one, two):
        onnx.checker.check_model(str(artifact.path))
        assert artifact.sha256 == digest_of(artifact.path)


def test_an_architecture_that_was_edited_is_built_anew(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = folder / "edited_architecture.py"
    spec = spec_of_conv(recipe=Recipe(architecture="edited_architecture:build"))
    shapes = []
    for width in (3, 5):
        module.write_text(f"from torch import nn\ndef build():\n    return nn.Linear(2, {width})\n")
        sys.modules.pop("edited_architecture", None)
        shapes.append(load_file(zoo.resolve(spec, weights="random").path)["weight"].shape)
    sys.modules.pop("edited_architecture", None)
    assert shapes == [(3, 2), (5, 2)]


# ---------------------------------------------------------------------------------------------- pinned weights


def test_the_pinned_digits_are_the_same_weights_in_all_three_frameworks(shared):
    artifacts = {each: zoo.resolve(name, cache=shared) for each, name in DIGITS.items()}
    (pinned,) = artifacts["torch"].spec.sources[0].sha256.values()
    assert artifacts["torch"].sha256 == pinned
    assert artifacts["onnx"].derived_from == artifacts["tf"].derived_from == pinned
    for artifact in artifacts.values():
        assert artifact.provenance is Provenance.PRETRAINED
        assert artifact.origin == "bytemlperf:zoo/weights/digits-resnet.safetensors"
        assert artifact.sha256 == digest_of(artifact.path)


def test_the_pinned_digits_have_the_spec_of_their_framework(shared):
    artifacts = [zoo.resolve(name, cache=shared) for name in DIGITS.values()]
    assert [each.format for each in artifacts] == [Format.TORCH, Format.ONNX, Format.SAVED_MODEL]
    assert [each.format for each in artifacts] == [each.spec.format for each in artifacts]


@pytest.mark.parametrize("weights", ["pinned", "random"])
def test_the_three_frameworks_give_the_same_answers(shared, rng, weights):
    images = rng.random((7, 1, 8, 8), dtype=np.float32)
    torch_one, *others = (_logits(zoo.resolve(name, weights=weights, cache=shared), images) for name in DIGITS.values())
    assert torch_one.shape == (7, 10)
    assert np.ptp(torch_one) > 0.1
    for other in others:
        assert np.abs(other - torch_one).max() <= 1e-5 * np.abs(torch_one).max()


def test_what_cannot_be_fetched_is_told_with_the_ways_out():
    with pytest.raises(WeightsUnavailableError) as caught:
        zoo.resolve("resnet50-torch-fp32")
    message = str(caught.value)
    for way in ("timm/resnet50.tv_in1k", 'weights="random"', "weights=PATH", "HF_ENDPOINT", "BYTEMLPERF_CACHE"):
        assert way in message
    assert caught.value.retryable


def test_a_spec_without_sources_is_told_with_the_ways_out():
    with pytest.raises(WeightsUnavailableError, match="its spec names no source; ways out: weights="):
        zoo.resolve(spec_of_conv())


def test_without_a_recipe_random_is_no_way_out():
    with pytest.raises(WeightsUnavailableError) as caught:
        zoo.resolve(spec_of_conv(recipe=None, format=Format.ONNX))
    assert "random" not in str(caught.value)


def test_the_first_source_that_gives_is_taken(tmp_path, conv_weights):
    there = Source(kind="url", location=conv_weights.as_uri())
    lost = Source(kind="url", location=(tmp_path / "none.safetensors").as_uri())
    hub = Source(kind="hub", location="somebody/model", files=("model.safetensors",))
    artifact = zoo.resolve(spec_of_conv(sources=(lost, hub, there)))
    assert (artifact.provenance, artifact.origin) == (Provenance.PRETRAINED, "weights.safetensors")
    assert artifact.sha256 == digest_of(conv_weights)


def test_every_source_that_does_not_give_is_named(tmp_path):
    lost = [Source(kind="url", location=(tmp_path / f"{name}.safetensors").as_uri()) for name in "ab"]
    with pytest.raises(WeightsUnavailableError, match=r"a\.safetensors.*b\.safetensors"):
        zoo.resolve(spec_of_conv(sources=lost))


def test_weights_that_are_not_the_pinned_ones_are_refused_at_once(conv_weights):
    other = Source(kind="url", location=conv_weights.as_uri(), sha256={"weights.safetensors": "0" * 64})
    good = Source(kind="url", location=conv_weights.as_uri())
    with pytest.raises(ChecksumError, match=r"weights\.safetensors is not the file that was pinned"):
        zoo.resolve(spec_of_conv(sources=(other, good)))


def test_a_source_may_have_other_files_beside_the_model(tmp_path, conv_weights):
    (tmp_path / "config.json").write_text("{}")
    source = Source(kind="url", location=tmp_path.as_uri(), files=("config.json", "weights.safetensors"))
    assert zoo.resolve(spec_of_conv(sources=(source,))).sha256 == digest_of(conv_weights)


@pytest.mark.parametrize("files", [("config.json",), ("weights.safetensors", "again.safetensors")])
def test_a_source_must_have_one_model(tmp_path, conv_weights, files):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "again.safetensors").write_bytes(conv_weights.read_bytes())
    with pytest.raises(SpecError, match="where one is needed"):
        zoo.resolve(spec_of_conv(sources=(Source(kind="url", location=tmp_path.as_uri(), files=files),)))


def test_pinned_weights_that_do_not_fit_are_refused(conv_weights):
    spec = spec_of_conv(
        sources=(Source(kind="url", location=conv_weights.as_uri()),),
        recipe=Recipe(architecture="tests.tiny_models:build_conv", config={"channels": 5}),
    )
    with pytest.raises(ArtifactError, match=r"of another shape: conv\.weight \[4, 1, 3, 3\] where \[5, 1, 3, 3\]"):
        zoo.resolve(spec)


# ---------------------------------------------------------------------------------------------- local weights


def test_a_safetensors_file_is_taken_as_it_is(conv_weights):
    artifact = zoo.resolve(spec_of_conv(), weights=conv_weights)
    assert (artifact.path, artifact.sha256, artifact.derived_from) == (conv_weights, digest_of(conv_weights), None)
    assert (artifact.provenance, artifact.origin) == (Provenance.LOCAL, "weights.safetensors")


def test_a_path_may_be_text_and_relative(conv_weights, monkeypatch):
    monkeypatch.chdir(conv_weights.parent)
    assert zoo.resolve(spec_of_conv(), weights="weights.safetensors").path == conv_weights


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_a_state_dict_that_torch_wrote_becomes_safetensors(tmp_path, suffix):
    module = trained_conv()
    torch.save(module.state_dict(), tmp_path / f"mine{suffix}")
    artifact = zoo.resolve(spec_of_conv(), weights=tmp_path / f"mine{suffix}")
    assert artifact.path.suffix == ".safetensors"
    assert artifact.derived_from == digest_of(tmp_path / f"mine{suffix}")
    assert artifact.origin == f"mine{suffix}"
    loaded = torch_artifact_module(artifact).state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in module.state_dict().items())


class Attack:
    def __reduce__(self):
        return (os.system, ("touch attacked",))


def test_nothing_in_a_state_dict_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"conv.weight": Attack()}, tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Attack()))
    for name in ("evil.pt", "plain.pt"):
        with pytest.raises(ArtifactError, match="cannot be read as weights"):
            zoo.resolve(spec_of_conv(), weights=tmp_path / name)
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("content", [{"epoch": 3, "state_dict": {}}, [1, 2], {"epoch": 3}], ids=str)
def test_a_checkpoint_that_is_no_state_dict_is_told(tmp_path, content):
    torch.save(content, tmp_path / "mine.pt")
    with pytest.raises(ArtifactError, match="more or other than weights"):
        zoo.resolve(spec_of_conv(), weights=tmp_path / "mine.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"\0" * 64])
def test_a_file_that_holds_no_weights_is_told(tmp_path, suffix, content):
    (tmp_path / f"mine{suffix}").write_bytes(content)
    with pytest.raises(ArtifactError, match="cannot be read"):
        zoo.resolve(spec_of_conv(), weights=tmp_path / f"mine{suffix}")


def test_a_truncated_file_is_told(conv_weights):
    conv_weights.write_bytes(conv_weights.read_bytes()[:-8])
    with pytest.raises(ArtifactError, match="cannot be read"):
        zoo.resolve(spec_of_conv(), weights=conv_weights)


def test_wrong_names_of_weights_are_listed(conv_weights):
    weights = load_file(conv_weights)
    weights["head.wieght"] = weights.pop("head.weight")
    weights["head.bias"] = weights["head.bias"][:3].copy()
    save_file(weights, conv_weights)
    with pytest.raises(ArtifactError) as caught:
        zoo.resolve(spec_of_conv(), weights=conv_weights)
    message = str(caught.value)
    assert "1 missing: head.weight" in message
    assert "1 unknown: head.wieght" in message
    assert "1 of another shape: head.bias [3] where [10] is expected" in message
    assert str(conv_weights.parent) not in message


def test_long_lists_of_wrong_names_are_cut(conv_weights):
    with pytest.raises(ArtifactError, match=r"missing: [^,]+, [^,]+, [^,]+, [^,]+ and \d+ more"):
        zoo.resolve(DIGITS["torch"], weights=conv_weights)


def test_old_checkpoints_without_counters_fit(conv_weights):
    weights = load_file(conv_weights)
    del weights["bn.num_batches_tracked"]
    save_file(weights, conv_weights)
    artifact = zoo.resolve(spec_of_conv(), weights=conv_weights)
    assert torch_artifact_module(artifact) is not None


def test_local_weights_of_an_onnx_model_are_exported(conv_onnx, conv_weights, rng):
    assert (conv_onnx.format, conv_onnx.derived_from) == (Format.ONNX, digest_of(conv_weights))
    assert (conv_onnx.provenance, conv_onnx.origin) == (Provenance.LOCAL, "weights.safetensors")
    image = rng.random((3, 1, 8, 8), dtype=np.float32)
    with torch.no_grad():
        expected = trained_conv()(torch.from_numpy(image)).numpy()
    (found,) = ReferenceEvaluator(str(conv_onnx.path)).run(["out.logits:0"], {"image": image})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_an_onnx_file_is_taken_as_it_is(tmp_path, conv_onnx):
    mine = tmp_path / "mine.onnx"
    mine.write_bytes(conv_onnx.path.read_bytes())
    artifact = zoo.resolve(conv_onnx.spec, weights=mine)
    assert (artifact.path, artifact.sha256, artifact.derived_from) == (mine, conv_onnx.sha256, None)
    assert (artifact.provenance, artifact.origin) == (Provenance.LOCAL, "mine.onnx")


def test_an_onnx_file_of_another_model_is_refused_by_name(conv_onnx):
    other = attrs.evolve(
        conv_onnx.spec,
        inputs=(TensorSpec(name="picture", shape=("batch", 1, 8, 8), dtype="fp32"),),
        outputs=(TensorSpec(name="logits", shape=("batch", 10), dtype="fp32"),),
    )
    with pytest.raises(ArtifactError) as caught:
        zoo.resolve(other, weights=conv_onnx.path)
    for problem in ("input 'picture' is missing", "output 'logits' is missing", "input 'image' is unknown"):
        assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dtype": "fp16"}, "is float32 where float16 is expected"),
        ({"shape": ("batch", 3, 8, 8)}, "is expected"),
        ({"shape": ("batch", 8, 8)}, "is expected"),
    ],
)
def test_an_onnx_file_of_other_types_or_lengths_is_refused(conv_onnx, changes, words):
    spec = conv_onnx.spec
    other = attrs.evolve(spec, inputs=(attrs.evolve(spec.inputs[0], **changes),))
    with pytest.raises(ArtifactError, match=words):
        zoo.resolve(other, weights=conv_onnx.path)


def test_a_broken_onnx_file_is_told(tmp_path):
    (tmp_path / "mine.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ArtifactError, match="no ONNX model"):
        zoo.resolve(DIGITS["onnx"], weights=tmp_path / "mine.onnx")


def test_a_saved_model_is_taken_as_it_is(shared):
    made = zoo.resolve(DIGITS["tf"], weights="random", cache=shared)
    artifact = zoo.resolve(DIGITS["tf"], weights=made.path)
    assert (artifact.path, artifact.sha256, artifact.origin) == (made.path, made.sha256, "saved_model")
    assert (artifact.provenance, artifact.derived_from) == (Provenance.LOCAL, None)


def test_a_saved_model_may_be_named_by_its_graphs_tensors(shared):
    made = zoo.resolve(DIGITS["tf"], weights="random", cache=shared)
    spec = made.spec
    named = attrs.evolve(spec, inputs=(attrs.evolve(spec.inputs[0], original_name="image:0"),))
    assert zoo.resolve(named, weights=made.path).sha256 == made.sha256


def test_a_saved_model_of_other_lengths_is_refused(shared):
    made = zoo.resolve(DIGITS["tf"], weights="random", cache=shared)
    other = attrs.evolve(made.spec, inputs=(attrs.evolve(made.spec.inputs[0], shape=("batch", 3, 8, 8)),))
    with pytest.raises(ArtifactError, match="is expected"):
        zoo.resolve(other, weights=made.path)


def test_a_saved_model_of_another_model_is_refused(shared):
    made = zoo.resolve(DIGITS["tf"], weights="random", cache=shared)
    other = attrs.evolve(made.spec, inputs=(attrs.evolve(made.spec.inputs[0], name="picture"),))
    with pytest.raises(ArtifactError, match="no signature"):
        zoo.resolve(other, weights=made.path)


def test_weights_of_a_tensorflow_model_that_do_not_fit_are_refused(conv_weights):
    with pytest.raises(ArtifactError, match=r"missing: conv1\.weight"):
        zoo.resolve(DIGITS["tf"], weights=conv_weights)


@pytest.fixture
def lonely(tmp_path, monkeypatch):
    """A spec whose TensorFlow architecture has no torch twin."""
    (tmp_path / "lonely_tf.py").write_text(
        textwrap.dedent(
            """
            import tensorflow as tf

            def build(weights, *, scale):
                module = tf.Module()
                kernel = weights["kernel"] * scale
                signature = [tf.TensorSpec([None, 3], tf.float32, name="x")]
                module.serve = tf.function(lambda x: {"y": x @ kernel}, input_signature=signature)
                return module
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield spec_of_conv(
        framework=Framework.TENSORFLOW,
        format=Format.SAVED_MODEL,
        recipe=Recipe(architecture="lonely_tf:build", config={"scale": 2.0}),
        inputs=(TensorSpec(name="x", shape=("batch", 3), dtype="fp32"),),
        outputs=(TensorSpec(name="y", shape=("batch", 4), dtype="fp32"),),
    )
    sys.modules.pop("lonely_tf", None)


def test_a_tensorflow_architecture_is_given_the_weights_and_its_configuration(tmp_path, lonely):
    import tensorflow as tf

    save_file({"kernel": np.ones((3, 4), np.float32)}, tmp_path / "w.safetensors")
    artifact = zoo.resolve(lonely, weights=tmp_path / "w.safetensors")
    serve = tf.saved_model.load(str(artifact.path)).signatures["serving_default"]
    assert np.array_equal(serve(x=tf.ones([2, 3]))["y"].numpy(), np.full((2, 4), 6, np.float32))


def test_a_key_that_a_tensorflow_architecture_does_not_take_is_told(tmp_path, lonely):
    save_file({"kernel": np.ones((3, 4), np.float32)}, tmp_path / "w.safetensors")
    wrong = attrs.evolve(lonely, recipe=attrs.evolve(lonely.recipe, config={"scael": 2.0}))
    with pytest.raises(SpecError, match="'scael' may be 'scale'"):
        zoo.resolve(wrong, weights=tmp_path / "w.safetensors")


def test_a_tensorflow_architecture_that_cannot_be_built_is_told(tmp_path, lonely):
    save_file({"kernle": np.ones((3, 4), np.float32)}, tmp_path / "w.safetensors")
    with pytest.raises(ArtifactError, match="KeyError: 'kernel'"):
        zoo.resolve(lonely, weights=tmp_path / "w.safetensors")


def test_random_weights_of_a_tensorflow_architecture_need_its_torch_twin(lonely):
    with pytest.raises(SpecError, match="no torch twin beside it") as caught:
        zoo.resolve(lonely, weights="random")
    assert caught.value.where == "lonely_torch:build"


def test_a_file_of_a_format_without_a_builder_is_taken_as_it_is(tmp_path):
    torch.jit.save(torch.jit.trace(trained_conv(), torch.zeros(1, 1, 8, 8)), tmp_path / "mine.pt")
    spec = spec_of_conv(format=Format.TORCHSCRIPT, recipe=None)
    artifact = zoo.resolve(spec, weights=tmp_path / "mine.pt")
    assert (artifact.format, artifact.path) == (Format.TORCHSCRIPT, tmp_path / "mine.pt")


def test_weights_can_be_traced_where_the_spec_is_torchscript(conv_weights):
    artifact = zoo.resolve(spec_of_conv(format=Format.TORCHSCRIPT), weights=conv_weights)
    assert artifact.format is Format.TORCHSCRIPT
    assert torch.jit.load(artifact.path)(torch.zeros(2, 1, 8, 8))[0].shape == (2, 10)


def test_a_format_that_cannot_be_made_is_told(conv_weights):
    with pytest.raises(ConversionError, match="saved_model"):
        zoo.resolve(spec_of_conv(format=Format.SAVED_MODEL), weights=conv_weights)


@pytest.mark.parametrize(
    ("spec", "name", "expected"),
    [
        (spec_of_conv(), "model.onnx", ".safetensors, .pt, .pth, .bin"),
        (spec_of_conv(), "notes.txt", ".safetensors"),
        (spec_of_conv(format=Format.ONNX, recipe=None), "model.safetensors", ".onnx"),
        (spec_of_conv(recipe=None), "model.safetensors", "a spec with a recipe"),
        (zoo.get(DIGITS["tf"]), "model.onnx", "a SavedModel folder"),
    ],
    ids=["onnx for torch", "text", "weights without recipe", "torch without recipe", "onnx for tensorflow"],
)
def test_a_file_of_no_use_is_told_with_those_of_use(tmp_path, spec, name, expected):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SpecError) as caught:
        zoo.resolve(spec, weights=tmp_path / name)
    assert expected in str(caught.value)
    assert caught.value.got == name


def test_a_folder_that_is_no_saved_model_is_of_no_use(tmp_path):
    with pytest.raises(SpecError, match="no file from which"):
        zoo.resolve(DIGITS["tf"], weights=tmp_path)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("rnadom", "did you mean 'random'"),
        ("no/such/file.safetensors", "nor a path"),
        ("sha256:" + "0" * 64, "given beside it"),
    ],
)
def test_weights_that_are_nothing_are_refused(weights, words):
    with pytest.raises(SpecError, match=words):
        zoo.resolve(DIGITS["torch"], weights=weights)


# ---------------------------------------------------------------------------------------------- the spec


def test_an_unknown_task_is_told():
    with pytest.raises(UnknownNameError, match="did you mean"):
        zoo.resolve("digits-resnet-tourch-fp32")


def test_anyones_own_spec_and_weights_work_in_a_few_lines(tmp_path):
    (tmp_path / "mine.py").write_text(
        textwrap.dedent(
            """
            from torch import nn
            from bytemlperf import ModelSpec, Recipe, TensorSpec, zoo

            def build(*, classes):
                return nn.Sequential(nn.Flatten(), nn.Linear(12, classes))

            SPEC = ModelSpec(
                name="mine", framework="torch", format="torch",
                inputs=[TensorSpec(name="image", shape=["batch", 3, 2, 2], dtype="fp32")],
                outputs=[TensorSpec(name="scores", shape=["batch", 5], dtype="fp32")],
                recipe=Recipe(architecture="mine:build", config={"classes": 5}),
            )
            if __name__ == "__main__":
                print(zoo.resolve(SPEC, weights="random").sha256)
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    assert len(done.stdout.strip()) == 64


def test_an_exported_file_has_the_specs_names(shared):
    model = onnx.load(zoo.resolve(DIGITS["onnx"], weights="random", cache=shared).path)
    assert [each.name for each in model.graph.input] == ["image"]
    assert [each.name for each in model.graph.output] == ["logits"]
