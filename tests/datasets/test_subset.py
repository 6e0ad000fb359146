from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.datasets import ArrayLoader, Subset
from bytemlperf.datasets.base import DatasetOptions
from bytemlperf.errors import DatasetError, SpecError


@pytest.fixture(name="whole")
def _whole(counting, tensor):
    # Calibration indices 10, 11 and 12 exist beside the ten that are evaluated.
    class WithCalibration(counting):
        def __len__(self):
            return 10

        def calibration(self):
            return range(10, 13)

    return WithCalibration([tensor("x", ("batch", 1), "int64")], 13)


def test_the_first_samples_are_the_wholes_own(whole):
    part = Subset(whole, 4)
    assert len(part) == 4
    assert part.name == "counting"
    assert part.metrics == whole.metrics
    assert part.preprocessing == whole.preprocessing
    np.testing.assert_array_equal(part.load([3, 0])["x"], whole.load([3, 0])["x"])
    np.testing.assert_array_equal(part.labels([3, 0]), whole.labels([3, 0]))
    assert part.ids([3]) == whole.ids([3])


def test_samples_beyond_the_part_are_refused(whole):
    part = Subset(whole, 4)
    for ask in (part.load, part.labels, part.ids):
        with pytest.raises(DatasetError, match="first 4 samples of data set 'counting'"):
            ask([0, 4])


def test_calibration_samples_are_kept(whole):
    part = Subset(whole, 4)
    assert list(part.calibration()) == [10, 11, 12]
    assert part.load(part.calibration())["x"].ravel().tolist() == [10000, 11000, 12000]


@pytest.mark.parametrize("count", [0, 11])
def test_more_samples_than_there_are_cannot_be_had(whole, count):
    with pytest.raises(SpecError, match=r"at \$.dataset.samples.*expected 1 to 10"):
        Subset(whole, count)


def test_the_fingerprint_tells_the_part_from_the_whole(whole):
    assert Subset(whole, 10).fingerprint() == whole.fingerprint()
    assert len({Subset(whole, count).fingerprint() for count in (3, 4, 10)}) == 3


def test_a_part_is_fitted_with_its_whole(tensor, model):
    part = Subset(ArrayLoader(x=np.zeros((4, 2, 3), np.float32)), 2)
    fitted = part.fit(model(tensor("x", ("2*batch", 3))))
    assert len(fitted) == 2
    assert fitted.load([0, 1])["x"].shape == (4, 3)
    with pytest.raises(SpecError, match="not the inputs"):
        part.fit(model(tensor("y", ("2*batch", 3))))


def test_a_part_is_not_opened_by_name(tensor, model):
    with pytest.raises(SpecError, match="not opened by name"):
        Subset.open(model(tensor("x", ("batch",))), DatasetOptions())
