"""NaN and infinity among the answers to every sample, of which the reference has answered the first only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import attrs
import numpy as np

from bytemlperf.datasets.axes import split_samples
from bytemlperf.errors import NonFiniteError
from bytemlperf.evaluation.masks import masks_of
from bytemlperf.evaluation.rightoutputs import RightOutputs
from bytemlperf.evaluation.subject import Subject
from bytemlperf.metrics.pairs import Pair, masked
from bytemlperf.sample import Array
from bytemlperf.spec import TensorSpec


@attrs.define
class _Found:
    values: int = 0
    samples: int = 0
    first: int = 0


class Finiteness:
    """Counts what is not finite in answers that come wave by wave.

    Args:
        subject: What is evaluated.
        right: What the reference answers to the first samples; None where it was not asked.
    """

    def __init__(self, subject: Subject, right: RightOutputs | None) -> None:
        """Begin with no sample."""
        self._subject, self._right = subject, right
        self._found: dict[str, _Found] = {}
        self._samples = 0

    def add(self, numbers: Sequence[int], outputs: Mapping[str, Array]) -> None:
        """Take the answers to the samples of these numbers, in the model's own axes."""
        self._samples += len(numbers)
        for spec in self._subject.original.spec.outputs:
            if spec.name in outputs and spec.dtype.is_float and spec.batch_axis is not None:
                wrong = ~np.isfinite(outputs[spec.name])
                if wrong.any():
                    self._note(spec, self._where_it_counts(spec, wrong, numbers), numbers)

    def _where_it_counts(self, spec: TensorSpec, wrong: Array, numbers: Sequence[int]) -> Array:
        masks = masks_of(self._subject, numbers)
        pair = masked(Pair(name=spec.name, output=wrong, reference=wrong), spec, masks)
        return wrong if pair.counts is None else wrong & pair.counts

    def _note(self, spec: TensorSpec, wrong: Array, numbers: Sequence[int]) -> None:
        per_sample = split_samples(wrong, spec, samples=len(numbers)).reshape(len(numbers), -1).sum(axis=1)
        if not per_sample.any():
            return
        found = self._found.setdefault(spec.name, _Found(first=numbers[int(np.flatnonzero(per_sample)[0])]))
        found.values += int(per_sample.sum())
        found.samples += int(np.count_nonzero(per_sample))

    def doubt(self) -> str:
        """Say what was found where nothing tells whether the reference has the same; empty where nothing was."""
        return self._said(name for name in self._found if self._right is None or self._is_the_references(name))

    def error(self, what: str, *, ignored: Collection[str] = ()) -> NonFiniteError | None:
        """Return what is wrong: outputs that are not finite, and are so in every answer of the reference's.

        Args:
            what: Which answers they are, for the message.
            ignored: Outputs of which it is told elsewhere.
        """
        if self._right is None:
            return None
        wrong = [name for name in self._found if name not in ignored and not self._is_the_references(name)]
        if not wrong:
            return None
        error = NonFiniteError(
            f"{what} hold NaN or infinity: {self._said(wrong)}; all that "
            f"{self._right.reference.name} answers to {self._right.count} samples is finite"
        )
        error.tensor = wrong[0]
        return error

    def _is_the_references(self, name: str) -> bool:
        assert self._right is not None
        return not bool(np.isfinite(self._right.rows[name]).all())

    def _said(self, names: Iterable[str]) -> str:
        return "; ".join(self._said_of(name, self._found[name]) for name in names)

    def _said_of(self, name: str, found: _Found) -> str:
        where = f"{found.samples} of {self._samples} samples, the first in sample {found.first}"
        return f"{name}: {found.values} values in {where}"
