"""Points around prototypes, some of them with the label of another class."""

import hashlib

import attrs
import numpy as np

from bytemlperf import DatasetLoader, DatasetOptions
from thirdparty.prototypes import PROTOTYPES


@attrs.frozen(kw_only=True)
class PointsOptions(DatasetOptions):
    """How many points there are.

    Attributes:
        count: In all.
        mislabelled: With the label of another class.
    """

    count: int = 40
    mislabelled: int = 4


class Points(DatasetLoader):
    """Points so near to a prototype that there is no doubt which is the nearest."""

    name, options_type = "thirdparty-points", PointsOptions

    def __init__(self, count, mislabelled):
        classes = np.arange(count) % len(PROTOTYPES)
        noise = np.random.default_rng(1).uniform(-0.1, 0.1, (count, PROTOTYPES.shape[1]))
        self._points = (PROTOTYPES[classes] + noise).astype(np.float32)
        self._labels = np.where(np.arange(count) < mislabelled, (classes + 1) % len(PROTOTYPES), classes)

    @classmethod
    def open(cls, spec, options):
        return cls(options.count, options.mislabelled)

    def __len__(self):
        return len(self._points)

    def load(self, indices):
        return {"point": self._points[list(indices)]}

    def labels(self, indices):
        return self._labels[list(indices)]

    def fingerprint(self):
        return hashlib.sha256(self._points.tobytes() + self._labels.tobytes()).hexdigest()
