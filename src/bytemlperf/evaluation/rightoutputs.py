"""The right outputs: written wave by wave, read where they are needed, whole or by their largest values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.axes import join_samples, split_samples
from bytemlperf.evaluation.reference import Reference
from bytemlperf.evaluation.wide import is_reduced, reduced, top_spec, tops
from bytemlperf.sample import Array
from bytemlperf.spec import TensorSpec

PLACES: Final = ".places"
"""Ending of the file that tells where a reduced output's values lie."""


@attrs.frozen(kw_only=True, eq=False)
class RightOutputs:
    """The reference's outputs for the first samples of the data.

    Attributes:
        reference: What made them.
        specs: Of the outputs, those of wide ones reduced.
        count: Samples.
        rows: By output [count, times, ...]; one without a batch axis as it is. Read from disk where needed.
        places: Of reduced outputs, where the values that are kept lie, int32[count, times, ..., 64].
        masks: By input, which positions are valid, in the input's own shape at `count`.
        inputs: Specs of these inputs.
    """

    reference: Reference
    specs: tuple[TensorSpec, ...]
    count: int
    rows: Mapping[str, Array]
    places: Mapping[str, Array] = attrs.field(factory=dict)
    masks: Mapping[str, Array] = attrs.field(factory=dict)
    inputs: tuple[TensorSpec, ...] = ()

    def of(self, samples: NDArray[np.int64]) -> dict[str, Array]:
        """Return what should come for some samples, in the model's own axes."""
        return {spec.name: self._taken(self.rows[spec.name], spec, samples) for spec in self.specs}

    def seen(self, outputs: Mapping[str, Array], samples: NDArray[np.int64]) -> dict[str, Array]:
        """Return what came as it is compared: of wide outputs the values at the reference's largest ones."""
        found = dict(outputs)
        for spec in self.specs:
            if spec.name in self.places:
                found[spec.name] = reduced(
                    outputs[spec.name], self._taken(self.places[spec.name], top_spec(spec), samples)
                )
        return found

    def valid(self, samples: NDArray[np.int64]) -> dict[str, Array]:
        """Return the masks of some samples."""
        return {
            spec.name: join_samples(split_samples(self.masks[spec.name], spec, samples=self.count)[samples], spec)
            for spec in self.inputs
        }

    @staticmethod
    def _taken(rows: Array, spec: TensorSpec, samples: NDArray[np.int64]) -> Array:
        return rows if spec.batch_axis is None else join_samples(np.asarray(rows[samples]), spec)


class OutputFiles:
    """Outputs on their way to disk, wave by wave: no array of all samples is ever in memory.

    Args:
        folder: For one .npy an output, and another where a wide one is reduced.
        count: Samples in all.
        floats: What float64 is kept in.
    """

    def __init__(self, folder: Path, count: int, floats: np.dtype[np.floating]) -> None:
        """Begin without samples."""
        self._folder, self._count, self._floats = folder, count, floats
        self._files: dict[str, np.memmap[tuple[int, ...], np.dtype[np.generic]]] = {}
        self._done: dict[str, int] = {}

    def add(self, array: Array, spec: TensorSpec, *, samples: int) -> None:
        """Write an output of the next samples, in the model's own axes."""
        if spec.batch_axis is None:
            np.save(self._folder / f"{spec.name}.npy", self._narrowed(array))
            return
        rows = split_samples(array, spec, samples=samples)
        if is_reduced(spec, self._count):
            places = tops(rows)
            self._put(f"{spec.name}{PLACES}", places)
            rows = reduced(rows, places)
        self._put(spec.name, self._narrowed(rows))

    def _narrowed(self, array: Array) -> Array:
        with np.errstate(over="ignore"):  # beyond float32 is infinite, as it is for the backend
            return array.astype(self._floats) if array.dtype == np.float64 else array

    def _put(self, name: str, rows: Array) -> None:
        if name not in self._files:
            shape = (self._count, *rows.shape[1:])
            path = self._folder / f"{name}.npy"
            self._files[name] = np.lib.format.open_memmap(path, mode="w+", dtype=rows.dtype, shape=shape)
        begin = self._done.get(name, 0)
        self._files[name][begin : begin + len(rows)] = rows
        self._done[name] = begin + len(rows)

    def close(self) -> None:
        """Bring everything to disk."""
        for file in self._files.values():
            file.flush()
        self._files.clear()
