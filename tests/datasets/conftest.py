"""What tests of data sets share: short ways to a model's spec, and a loader whose content is easy to foresee."""

from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.datasets import DatasetLoader
from bytemlperf.datasets.axes import join_samples, sample_shape
from bytemlperf.spec import ModelSpec, TensorSpec


def tensor(name, shape, dtype="float32", **more):
    return TensorSpec(name=name, shape=shape, dtype=dtype, **more)


def model(*inputs, outputs=(), **more):
    return ModelSpec(name="model", framework="onnx", format="onnx", inputs=inputs, outputs=outputs, **more)


class Counting(DatasetLoader):
    """Sample i holds the numbers i * 1000, i * 1000 + 1 and so on; remembers what it was asked for."""

    name = "counting"

    def __init__(self, inputs, length, *, change=lambda arrays: arrays):
        self.inputs = inputs
        self.length = length
        self.change = change
        self.asked = []

    @classmethod
    def open(cls, spec, options):
        return cls(spec.inputs, 10)

    def __len__(self):
        return self.length

    def load(self, indices):
        assert max(indices) < self.length
        self.asked.append(list(indices))
        return self.change({each.name: self._array(each, indices) for each in self.inputs})

    def _array(self, each, indices):
        if each.batch_axis is None:
            return np.arange(np.prod(each.sized(1))).reshape(each.sized(1)).astype(each.dtype.value)
        shape = sample_shape(each)
        rows = np.stack([np.arange(np.prod(shape)).reshape(shape) + 1000 * index for index in indices])
        return join_samples(rows.astype(each.dtype.value), each)

    def labels(self, indices):
        return np.asarray(indices) % 10

    def fingerprint(self):
        return f"counting {self.length}"

    def calibration(self):
        return range(self.length, self.length + 3)


@pytest.fixture(name="tensor", scope="session")
def _tensor():
    return tensor


@pytest.fixture(name="model", scope="session")
def _model():
    return model


@pytest.fixture(name="counting", scope="session")
def _counting():
    return Counting
