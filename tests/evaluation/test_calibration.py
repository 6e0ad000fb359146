"""Calibration samples: written only where asked for, and never among those that are scored."""

from __future__ import annotations

import numpy as np
import pytest
from tests.waves import ECHO, evaluate, samples

from bytemlperf import ArrayLoader, registry
from bytemlperf.datasets import open_dataset
from bytemlperf.evaluation.calibration import CALIBRATION_SAMPLES, calibration_set
from bytemlperf.spec import DType
from bytemlperf.workload import DatasetRequest


@pytest.fixture
def digits():
    return open_dataset(DatasetRequest(name="digits"), registry.models.get("digits-resnet-torch-fp32"))


def test_int8_gets_the_first_samples_of_the_calibration_split(digits, tmp_path):
    written = calibration_set(digits, DType.INT8, tmp_path / "calibration")
    assert written is not None
    assert len(written.ids) == CALIBRATION_SAMPLES
    assert min(written.ids) >= len(digits), "no scored sample is among them"
    (batch, *_rest) = written.batches(CALIBRATION_SAMPLES)
    np.testing.assert_array_equal(batch["image"], digits.load(written.ids)["image"])


def test_a_float_precision_gets_none(digits, tmp_path):
    assert calibration_set(digits, DType.FLOAT16, tmp_path / "calibration") is None
    assert not (tmp_path / "calibration").exists()


def test_data_without_a_split_gives_none(tmp_path):
    synthetic = open_dataset(DatasetRequest(name="synthetic"), registry.models.get("digits-resnet-torch-fp32"))
    assert calibration_set(synthetic, DType.INT8, tmp_path / "calibration") is None


class Apart(ArrayLoader):
    """The last two samples are for calibration."""

    def __len__(self):
        return super().__len__() - 2

    def calibration(self):
        return range(len(self), len(self) + 2)


def warned(artifact, loader, precision):
    report = evaluate(artifact, ECHO, dataset=loader, precision=precision, batch_sizes=[4])
    assert not report.failures
    return [each.message for each in report.warnings if each.code == "no_calibration"]


@pytest.mark.parametrize("precision", ["int8", "float8"])
def test_a_precision_that_wants_samples_and_gets_none_is_warned_of(artifact, precision):
    x, _ = samples()
    (message,) = warned(artifact, ArrayLoader(x=x), precision)
    assert f"{precision} is asked for, and data set arrays has no samples for calibration" in message
    assert not warned(artifact, Apart(x=x), precision)
    assert not warned(artifact, ArrayLoader(x=x), "float32")
