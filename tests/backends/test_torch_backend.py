"""The torch backend computes what the module computes, in the precision that it says, and keeps nothing of others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import attrs
import ml_dtypes
import numpy as np
import pytest
import torch
from tests.tiny_models import conv_artifact, live, model_spec, trained_conv, wide_and_deep
from torch import nn
from torch._dynamo.utils import counters

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import Batch
from bytemlperf.backends.torch import TorchBackend, TorchMode, TorchOptions
from bytemlperf.conversion import convert
from bytemlperf.conversion.examples import example_inputs
from bytemlperf.errors import (
    BackendUnavailableError,
    CompileError,
    InputMismatchError,
    MalformedOutputError,
    OutOfDeviceMemoryError,
    PredictError,
    SpecError,
    UnsupportedOperatorError,
    WeightsUnavailableError,
)
from bytemlperf.spec import DType, Format

SQUARE = model_spec({"x": ("batch", 3)}, {"y": ("batch", 3)})


def _images(rng, size=3, dtype=np.float32):
    return Batch(inputs={"image": rng.standard_normal((size, 1, 8, 8)).astype(dtype)}, size=size)


def _compile(artifact, **options):
    backend = TorchBackend()
    return backend, backend.compile(artifact, TorchOptions(**options))


def _square(module, **options):
    return _compile(live(module, SQUARE), **options)


X = Batch(inputs={"x": np.arange(6, dtype=np.float32).reshape(2, 3)}, size=2)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_recipe_computes_what_its_module_computes(tmp_path, rng, size):
    backend, compiled = _compile(conv_artifact(tmp_path))
    batch = _images(rng, size)
    with torch.no_grad():
        expected = trained_conv()(torch.tensor(batch.inputs["image"])).numpy()
    answer = backend.predict(compiled, batch)
    assert list(answer) == ["logits"]
    np.testing.assert_allclose(answer["logits"], expected, rtol=1e-5, atol=1e-6)


def test_a_live_module_runs_as_it_is_and_stays_as_it_was(rng):
    module = trained_conv().train()
    backend, compiled = _compile(live(module), precision="fp16")
    backend.predict(compiled, _images(rng, dtype=np.float16))
    assert module.training
    assert module.conv.weight.dtype is torch.float32


def test_torchscript_computes_what_the_module_computes(tmp_path, rng, recwarn):
    script = convert(conv_artifact(tmp_path), frozenset({Format.TORCHSCRIPT}), folder=tmp_path)
    backend, compiled = _compile(script)
    batch = _images(rng)
    with torch.no_grad():
        expected = trained_conv()(torch.tensor(batch.inputs["image"])).numpy()
    np.testing.assert_allclose(backend.predict(compiled, batch)["logits"], expected, rtol=1e-5, atol=1e-6)
    assert not recwarn.list


def test_inputs_go_by_name_whatever_their_order():
    backend, compiled = _compile(wide_and_deep())
    inputs = example_inputs(wide_and_deep().spec, 4)
    answer = backend.predict(compiled, Batch(inputs=inputs, size=4))
    turned = backend.predict(compiled, Batch(inputs=dict(reversed(inputs.items())), size=4))
    assert [(name, each.shape, each.dtype.name) for name, each in answer.items()] == [
        ("score", (4,), "float32"),
        ("kept", (4,), "int64"),
        ("is_long", (4,), "bool"),
    ]
    assert np.array_equal(answer["kept"], np.full(4, 7))
    assert all(np.array_equal(answer[name], turned[name]) for name in answer)


@pytest.mark.parametrize(
    ("precision", "dtypes", "tolerance"),
    [
        ("fp64", (np.float64, np.float64), 1e-6),
        ("fp32", (np.float32, np.float32), 1e-6),
        ("fp16", (np.float16, np.float16), 1e-2),
        ("bf16", (ml_dtypes.bfloat16, np.float32), 1e-1),
    ],
)
def test_weights_and_inputs_have_the_precision_that_is_asked_for(tmp_path, rng, precision, dtypes, tolerance):
    given, answered = dtypes
    backend, compiled = _compile(conv_artifact(tmp_path), precision=precision)
    assert compiled.info.precision is DType.of(precision)
    engine = compiled.info.inputs or conv_artifact(tmp_path).spec.inputs
    assert [(tensor.name, tensor.dtype) for tensor in engine] == [("image", DType.of(precision))]
    batch = _images(rng, dtype=given)
    answer = backend.predict(compiled, batch)["logits"]
    assert answer.dtype == answered
    with torch.no_grad():
        expected = trained_conv().double()(torch.tensor(batch.inputs["image"].astype(np.float64))).numpy()
    np.testing.assert_allclose(answer, expected, atol=tolerance * np.abs(expected).max())
    if precision != "fp64":
        assert not np.array_equal(answer, expected)


@pytest.mark.parametrize("given", ["bits", "void", "float32"])
def test_bfloat16_inputs_are_taken_as_bits_too(tmp_path, rng, given):
    backend, compiled = _compile(conv_artifact(tmp_path), precision="bf16")
    image = _images(rng).inputs["image"].astype(ml_dtypes.bfloat16)
    expected = backend.predict(compiled, Batch(inputs={"image": image}, size=3))["logits"]
    same = {"bits": image.view(np.uint16), "void": image.view("V2"), "float32": image.astype(np.float32)}[given]
    found = backend.predict(compiled, Batch(inputs={"image": same}, size=3))["logits"]
    np.testing.assert_array_equal(found, expected)


def test_the_models_own_precision_is_the_default(tmp_path, rng):
    backend, compiled = _compile(conv_artifact(tmp_path, precision="fp16"))
    assert compiled.info.precision is DType.FLOAT16
    assert backend.predict(compiled, _images(rng, dtype=np.float16))["logits"].dtype == np.float16


def test_a_precision_that_torch_cannot_give_is_refused(tmp_path):
    with pytest.raises(CompileError, match=r"got 'int8'; expected one of fp32, fp64, fp16, bf16"):
        _compile(conv_artifact(tmp_path), precision="int8")


def test_a_quantised_module_keeps_its_own_precision():
    spec = attrs.evolve(SQUARE, precision=DType.INT8)
    _, compiled = _compile(live(nn.Identity(), spec))
    assert compiled.info.precision is DType.INT8
    assert compiled.info.inputs is None


def test_answers_stay_as_they_are_when_more_queries_come(tmp_path, rng):
    backend, compiled = _compile(conv_artifact(tmp_path))
    first = backend.predict(compiled, _images(rng))["logits"]
    before = first.copy()
    for _ in range(3):
        backend.predict(compiled, _images(rng))
    np.testing.assert_array_equal(first, before)
    assert first.flags.writeable
    assert first.flags.c_contiguous


class _Bias(nn.Module):
    """Answers its own parameter."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.ones(2, 3))

    def forward(self, x):
        return self.bias


def test_an_answer_is_never_the_modules_own_memory():
    backend, compiled = _square(_Bias())
    backend.predict(compiled, X)["y"][:] = 7
    assert np.all(backend.predict(compiled, X)["y"] == 1)


class _InPlace(nn.Module):
    def forward(self, x):
        return x.add_(1)


@pytest.mark.parametrize("writeable", [True, False])
def test_a_module_that_writes_to_its_inputs_leaves_the_callers_alone(writeable, recwarn):
    array = X.inputs["x"].copy()
    array.flags.writeable = writeable
    backend, compiled = _square(_InPlace())
    answer = backend.predict(compiled, Batch(inputs={"x": array}, size=2))["y"]
    np.testing.assert_array_equal(answer, X.inputs["x"] + 1)
    np.testing.assert_array_equal(array, X.inputs["x"])
    assert not recwarn.list


class _Transposed(nn.Module):
    def forward(self, x):
        return x.t().contiguous().t()


def test_answers_come_in_numpys_order_of_axes():
    backend, compiled = _square(_Transposed())
    answer = backend.predict(compiled, X)["y"]
    assert answer.flags.c_contiguous
    np.testing.assert_array_equal(answer, X.inputs["x"])


def test_queries_side_by_side_get_their_own_answers(tmp_path, rng):
    backend, compiled = _compile(conv_artifact(tmp_path), threads=1)
    assert compiled.info.max_in_flight is None
    batches = [_images(rng, size) for size in (1, 2, 3, 4) * 8]
    alone = [backend.predict(compiled, batch)["logits"] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda batch: backend.predict(compiled, batch)["logits"], batches))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    backend.release(compiled)


def test_channels_last_changes_the_order_in_memory_and_not_the_answer(tmp_path, rng):
    class Watched(nn.Module):
        seen: bool | None = None

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, image):
            Watched.seen = image.is_contiguous(memory_format=torch.channels_last)
            assert self.conv.weight.is_contiguous(memory_format=torch.channels_last)
            return self.conv(image)

    spec = model_spec({"image": ("batch", 3, 8, 8)}, {"maps": ("batch", 4, 8, 8)})
    module = Watched()
    backend, compiled = _compile(live(module, spec), channels_last=True)
    batch = Batch(inputs={"image": rng.standard_normal((2, 3, 8, 8)).astype(np.float32)}, size=2)
    answer = backend.predict(compiled, batch)["maps"]
    assert Watched.seen
    assert answer.flags.c_contiguous
    with torch.no_grad():
        expected = nn.functional.conv2d(
            torch.tensor(batch.inputs["image"]), module.conv.weight, module.conv.bias, padding=1
        )
    np.testing.assert_allclose(answer, expected.numpy(), atol=1e-5)


def test_threads_hold_until_release(tmp_path):
    before = torch.get_num_threads()
    other = 1 if before > 1 else 2
    backend, compiled = _compile(conv_artifact(tmp_path), threads=other)
    assert torch.get_num_threads() == other
    assert compiled.info.optimizations["threads"] == other
    backend.release(compiled)
    assert torch.get_num_threads() == before


def test_threads_are_put_back_where_compiling_fails(tmp_path):
    before = torch.get_num_threads()
    with pytest.raises(WeightsUnavailableError):
        _compile(attrs.evolve(conv_artifact(tmp_path), path=tmp_path / "gone"), threads=before + 1)
    assert torch.get_num_threads() == before


def test_release_is_harmless_twice_and_ends_queries(tmp_path, rng):
    backend, compiled = _compile(conv_artifact(tmp_path))
    backend.release(compiled)
    backend.release(compiled)
    with pytest.raises(PredictError, match="released"):
        backend.predict(compiled, _images(rng))


def test_wrong_inputs_name_the_tensor(tmp_path, rng):
    backend, compiled = _compile(conv_artifact(tmp_path))
    with pytest.raises(InputMismatchError) as caught:
        backend.predict(compiled, _images(rng, dtype=np.float64))
    assert caught.value.tensor == "image"


@pytest.mark.parametrize("device", ["cuda:99", "meta", "no-such-chip", "cpu0"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(tmp_path, device):
    with pytest.raises(BackendUnavailableError, match="one of: cpu"):
        _compile(conv_artifact(tmp_path), devices=(device,))


def test_the_cpu_can_be_asked_for_by_name(tmp_path, rng):
    backend, compiled = _compile(conv_artifact(tmp_path), devices=("cpu",))
    assert compiled.info.devices == ("cpu",)
    assert backend.predict(compiled, _images(rng))["logits"].shape == (3, 10)


def test_it_tells_its_versions_and_devices():
    backend = TorchBackend()
    assert torch.__version__ in backend.version()
    cpu = backend.devices()[0]
    assert cpu.id == "cpu"
    assert cpu.memory_bytes > 2**28


class _Huge(nn.Module):
    def forward(self, x):
        return torch.empty(2**50)


class _Half(nn.Module):
    def forward(self, x):
        return torch.geqrf(x)[0]


class _Failing(nn.Module):
    def forward(self, x):
        raise IndexError("row 7")


class _Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_too_little_memory_is_told_as_such():
    backend, compiled = _square(_Huge())
    with pytest.raises(OutOfDeviceMemoryError, match="smaller batch"):
        backend.predict(compiled, X)


def test_an_operator_without_a_kernel_is_named():
    backend, compiled = _square(_Half(), precision="fp16")
    with pytest.raises(UnsupportedOperatorError) as caught:
        backend.predict(compiled, Batch(inputs={"x": np.ones((2, 3), np.float16)}, size=2))
    assert "geqrf" in caught.value.operator


def test_what_the_module_raises_is_told_with_its_words():
    backend, compiled = _square(_Failing())
    with pytest.raises(PredictError, match="IndexError: row 7") as caught:
        backend.predict(compiled, X)
    assert isinstance(caught.value.__cause__, IndexError)


def test_other_outputs_than_declared_are_malformed():
    backend, compiled = _square(_Pair())
    with pytest.raises(MalformedOutputError, match="another number"):
        backend.predict(compiled, X)


def test_a_file_that_is_no_torchscript_is_refused(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"no archive")
    artifact = ModelArtifact(spec=SQUARE, format=Format.TORCHSCRIPT, path=tmp_path / "model.pt")
    with pytest.raises(CompileError, match="torch cannot compile tiny"):
        _compile(artifact)


def test_a_torchscript_operator_that_torch_does_not_know_is_named(tmp_path):
    script = convert(live(nn.ReLU(), SQUARE), frozenset({Format.TORCHSCRIPT}), folder=tmp_path)
    content = script.path.read_bytes()
    changed = _replaced_in_archive(content, b"torch.relu(", b"torch.relx(")
    broken = tmp_path / "broken.pt"
    broken.write_bytes(changed)
    with pytest.raises(UnsupportedOperatorError) as caught:
        _compile(attrs.evolve(script, path=broken))
    assert caught.value.operator == "aten::relx"


def _replaced_in_archive(content, old, new):
    import io
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(old, new))
    return out.getvalue()


def test_an_unknown_mode_is_refused_with_a_guess():
    with pytest.raises(SpecError, match="did you mean 'compile'"):
        TorchOptions(mode="compiled")
    assert TorchOptions(mode="compile").mode is TorchMode.COMPILE


@pytest.mark.slow
@pytest.mark.parametrize("size", [None, 3])
def test_torchs_own_compiler_gives_the_same_answer_and_keeps_its_files_in_the_work_folder(tmp_path, rng, size):
    artifact = conv_artifact(tmp_path)
    backend, compiled = _compile(artifact, mode="compile", batch_size=size, work_dir=tmp_path / "work", threads=1)
    assert any((tmp_path / "work").rglob("*.py"))
    assert compiled.info.max_in_flight == 1
    graphs = counters["stats"]["unique_graphs"]
    for each in (size,) if size else (1, 2, 5):
        batch = _images(rng, each)
        with torch.no_grad():
            expected = trained_conv()(torch.tensor(batch.inputs["image"])).numpy()
        np.testing.assert_allclose(backend.predict(compiled, batch)["logits"], expected, rtol=1e-4, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == graphs, "a query compiled"
    backend.release(compiled)


def test_gradients_are_off_in_every_thread():
    class Watched(nn.Module):
        def forward(self, x):
            seen.append(torch.is_inference_mode_enabled())
            return x

    seen = []
    backend, compiled = _square(Watched())
    backend.predict(compiled, X)
    thread = threading.Thread(target=backend.predict, args=(compiled, X))
    thread.start()
    thread.join()
    assert seen == [True, True]
