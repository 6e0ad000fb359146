"""The first operator that diverges: found in a worker as inline, and in whatever format prefixes can be brought to."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from tests.evaluation import wrong, wrong_formats
from tests.residual import residual
from tests.tiny_models import conv_artifact, spec_of_conv
from tests.waves import codes

from bytemlperf import ArrayLoader, run
from bytemlperf.report import RowKind
from bytemlperf.spec import Format, Framework

SIZE = 4


def images(count=16):
    return ArrayLoader(image=np.random.default_rng(6).standard_normal((count, 1, 8, 8)).astype(np.float32))


def located(model, backend, *, at="", **fields):
    """Return the one failure, which names the operator in its row too, or no operator."""
    options = {"at": at} if at else None
    report = run(
        model,
        backend=backend,
        options=options,
        checks=["numeric"],
        batch_sizes=[SIZE],
        numeric_samples=8,
        dataset=images(),
        **fields,
    )
    assert codes(report) == ["numeric_mismatch"], report.failures
    (failure,), (row,) = report.failures, report.rows_of(RowKind.NUMERIC)
    assert row.passed is False
    assert row.labels.get("diverging_operator") == failure.operator
    return failure


def in_worker(kind):
    return f"{kind.__module__}:{kind.__name__}"


def test_in_a_worker_the_operator_of_an_onnx_model_is_named(tmp_path):
    failure = located(residual(tmp_path, blocks=1), in_worker(wrong.SwappedChannels), at="block0_a")
    assert (failure.operator, failure.tensor) == ("Conv '/block0_a/Conv'", "block0_a")


@pytest.mark.slow
def test_in_a_worker_the_submodule_of_a_torch_recipe_is_named(tmp_path):
    failure = located(conv_artifact(tmp_path), in_worker(wrong.SwappedTorch), at="bn")
    assert (failure.operator, failure.tensor) == ("BatchNorm2d 'bn'", "bn")
    assert "compared with torch over" in failure.message
    assert "prefixes of the model" in failure.message


@pytest.mark.parametrize("isolated", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_prefixes_of_a_torch_recipe_are_brought_to_torchscript(tmp_path, isolated):
    kind = wrong_formats.SwappedScript
    failure = located(conv_artifact(tmp_path), in_worker(kind) if isolated else kind(), at="head")
    assert failure.operator == "Linear 'head'"


@pytest.mark.slow
@pytest.mark.parametrize("isolated", [False, True])
def test_prefixes_of_a_torch_recipe_are_brought_to_stablehlo(tmp_path, isolated):
    kind = wrong_formats.LeastHlo
    artifact = conv_artifact(tmp_path, batch_sizes=(SIZE,))
    failure = located(artifact, in_worker(kind) if isolated else kind())
    assert failure.operator == "relu 'relu'"


@pytest.mark.parametrize(
    ("kind", "at", "operator"),
    [
        (wrong_formats.SwappedScript, "bn", "BatchNorm2d 'bn'"),
        pytest.param(wrong_formats.LeastHlo, "", "relu 'relu'", marks=pytest.mark.slow),
    ],
)
def test_of_a_file_with_a_torch_twin_the_twin_is_cut_and_named(tmp_path, kind, at, operator):
    weights = conv_artifact(tmp_path).path
    (form,) = kind.formats
    framework = Framework.STABLEHLO if form is Format.STABLEHLO else Framework.TORCH
    spec = attrs.evolve(spec_of_conv(), name="conv-file", format=form, framework=framework, batch_sizes=(SIZE,))
    failure = located(spec, kind(), at=at, weights=str(weights))
    assert failure.operator == operator
    assert "prefixes of its torch twin 'conv-file', which has the same weights" in failure.message


def test_of_a_file_without_a_twin_it_is_told_that_the_format_cannot_be_cut(tmp_path):
    import torch

    from bytemlperf.conversion import convert

    artifact = convert(conv_artifact(tmp_path), frozenset({Format.TORCHSCRIPT}), folder=tmp_path / "converted")
    assert isinstance(torch.jit.load(artifact.path), torch.jit.ScriptModule)
    alone = attrs.evolve(artifact, spec=attrs.evolve(artifact.spec, format=Format.TORCHSCRIPT, recipe=None))
    failure = located(alone, wrong_formats.SwappedScript(), at="bn")
    assert failure.operator is None
    assert "no operator can be named: the backend takes torchscript, which cannot be cut" in failure.message
