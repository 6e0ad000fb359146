from __future__ import annotations

import pytest

from bytemlperf.datasets import DatasetLoader, DatasetOptions


class Smallest(DatasetLoader):
    """What a loader must write, and no more."""

    name = "smallest"

    @classmethod
    def open(cls, spec, options):
        return cls()

    def __len__(self):
        return 2

    def load(self, indices):
        return {}

    def labels(self, indices):
        return None

    def fingerprint(self):
        return "0"


def test_what_a_loader_does_not_say_has_a_default(tensor, model):
    loader = Smallest.open(model(tensor("x", ("batch",))), Smallest.options_type())
    assert loader.ids([1, 0]) == ("1", "0")
    assert tuple(loader.calibration()) == ()
    assert loader.preprocessing == "none"
    assert loader.metrics == ()
    assert loader.options_type is DatasetOptions
    assert loader.fit(model(tensor("y", ("batch",)))) is loader


@pytest.mark.parametrize("method", ["open", "__len__", "load", "labels", "fingerprint"])
def test_a_loader_must_say_the_rest(method):
    incomplete = type("Incomplete", (Smallest,), {method: getattr(DatasetLoader, method)})
    with pytest.raises(TypeError, match=f"abstract method.*{method}"):
        incomplete()
