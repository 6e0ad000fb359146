"""Samples for quantisation: written as .npy files, apart from those that are scored."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from bytemlperf.artifact import digest_of
from bytemlperf.datasets import DatasetLoader
from bytemlperf.sample import CalibrationSet
from bytemlperf.spec import DType

CALIBRATION_SAMPLES: Final = 128
NEEDS_CALIBRATION: Final = frozenset({DType.INT8, DType.INT4, DType.FLOAT8})
"""Precisions whose scales a compiler finds from samples."""


def calibration_set(loader: DatasetLoader, precision: DType | None, folder: Path) -> CalibrationSet | None:
    """Write the first samples of a data set's calibration split, where the precision asks for any.

    Args:
        loader: Of the job's data.
        precision: What is asked of the compiler.
        folder: Where the files go; made if they are written.

    Returns:
        None where the precision needs none or the data set has no such split.
    """
    indices = list(loader.calibration())[:CALIBRATION_SAMPLES] if precision in NEEDS_CALIBRATION else []
    if not indices:
        return None
    folder.mkdir(parents=True)
    for name, array in loader.load(indices).items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    return CalibrationSet(path=folder, ids=tuple(indices), sha256=digest_of(folder))
