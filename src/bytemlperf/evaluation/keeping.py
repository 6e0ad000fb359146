"""What units brought to figures, kept beside the report so that another run's can be paired with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from bytemlperf.metrics import InUnits, RightOrWrong, SampleMetric, Units
from bytemlperf.report.files import KeptSamples, samples_path, write_samples

MOST_BYTES: Final = 32 * 2**20
"""Of what units brought to one metric: of more units only the first ones are paired and kept."""


def save_samples(
    folder: Path | None, key: str, metrics: Mapping[str, SampleMetric], units: Mapping[str, Units], *, count: int
) -> tuple[str, ...]:
    """Write for a row which samples were right and what other units brought; return the file's path in the folder.

    Args:
        folder: Of the report; None for none.
        key: Of the row.
        metrics: By name.
        units: By metric.
        count: Samples that were scored, the first ones of the data.

    Raises:
        HarnessError: If it cannot be written.
    """
    if folder is None or not count or not units:
        return ()
    right = [name for name, each in units.items() if _is_plain(metrics[name]) and len(each.ids) == count]
    samples = KeptSamples(
        sample=np.arange(count),
        right={name: units[name].values[:, 0].astype(np.bool_) for name in right},
        units={name: each for name, each in units.items() if name not in right},
    )
    write_samples(folder / samples_path(key), samples)
    return (samples_path(key),)


def _is_plain(metric: SampleMetric) -> bool:
    """Whether a metric's only units are samples that are right or wrong: a bit of each says it all."""
    return isinstance(metric, RightOrWrong) and not isinstance(metric, InUnits)
