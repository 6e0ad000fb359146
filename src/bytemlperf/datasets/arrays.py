"""A data set from arrays that somebody has already."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final, NoReturn

import numpy as np

from bytemlperf.datasets.axes import join_samples, sample_shape
from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.checking import same_kind
from bytemlperf.datasets.indexing import positions
from bytemlperf.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import ArrayLike

    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec, TensorSpec

_HASHED_AT_ONCE: Final = 16 * 2**20


class ArrayLoader(DatasetLoader):
    """Samples from plain arrays, one for each input of the model, preprocessed as it wants them.

    An array goes to the input of the same canonical name, never to one of the same position; a name that the
    model does not have is an error that lists both sides, even if there is only one. Arrays are not copied
    and may be memory-mapped.

    Args:
        named: Inputs by canonical name, where a name cannot be a keyword here.
        labels: What the metrics compare with, [n, ...].
        metric: The metric that the labels are for: its name, a reference (`mymetrics:Top3`), or the metric itself.
        metrics: Several of them.
        unbatched: Inputs that are the same for every sample, in the model's own shape.
        **inputs: Arrays over samples by canonical name, [n, ...]. For an axis `26*batch`: [n, 26, ...].

    Raises:
        SpecError: If there is no input or no sample, lengths differ, a metric has no labels, or
            something is no array of numbers.

    Example:
        >>> loader = ArrayLoader(image=np.zeros((3, 1, 8, 8), np.float32), labels=[7, 1, 0], metric="top1")
        >>> len(loader), loader.metrics, loader.load([2])["image"].shape
        (3, ('top1',), (1, 1, 8, 8))
    """

    name = "arrays"

    def __init__(
        self,
        named: Mapping[str, ArrayLike] | None = None,
        /,
        *,
        labels: ArrayLike | None = None,
        metric: str | object | None = None,
        metrics: Sequence[str | object] = (),
        unbatched: Mapping[str, ArrayLike] | None = None,
        **inputs: ArrayLike,
    ) -> None:
        """Hold the arrays, and their lengths against each other."""
        self._inputs = _arrays({**(named or {}), **inputs}, twice=set(named or ()) & set(inputs))
        self._unbatched = _arrays(unbatched or {}, twice=set(unbatched or ()) & set(self._inputs))
        self._labels = None if labels is None else _array("labels", labels)
        self._tensors: Mapping[str, TensorSpec] = {}
        self._length = _length(self._inputs, self._labels)
        self.metrics = _metrics(metric, metrics, has_labels=labels is not None)

    @classmethod
    def open(cls, spec: ModelSpec, options: object) -> NoReturn:  # noqa: ARG003 - there is nothing to open
        """Refuse: arrays have no name by which they could be opened.

        Raises:
            SpecError: Always.
        """
        raise SpecError("a loader of arrays is not opened by name", remedy="make one: ArrayLoader(image=..., ...)")

    def fit(self, spec: ModelSpec) -> Self:
        """Return a loader of the same arrays that puts samples where the model's axes want them.

        Raises:
            SpecError: If names, shapes or kinds of numbers are not those of the model's inputs.
        """
        given = {**self._inputs, **self._unbatched}
        wanted = {tensor.name: tensor for tensor in spec.inputs}
        if set(given) != set(wanted):
            raise SpecError(
                f"the arrays are not the inputs of model {spec.name!r}",
                got=sorted(given),
                expected=f"the names {sorted(wanted)}",
                remedy="arrays are matched by the model's names: ArrayLoader(" + "=..., ".join(wanted) + "=...)",
            )
        for name, tensor in wanted.items():
            _check_fit(given[name], tensor, batched=name in self._inputs)
        fitted = copy.copy(self)
        fitted._tensors = wanted  # noqa: SLF001 - its own copy
        return fitted

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._length

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Return copies of the samples asked for, and unbatched inputs as they are.

        Raises:
            DatasetError: If there is no such sample.
        """
        chosen = positions(indices, total=self._length, dataset=self.name)
        rows = {name: np.asarray(array[chosen]) for name, array in self._inputs.items()}
        joined = {name: self._joined(name, array) for name, array in rows.items()}
        return {**joined, **self._unbatched}

    def labels(self, indices: Sequence[int]) -> Array | None:
        """Return the labels asked for; None without labels."""
        chosen = positions(indices, total=self._length, dataset=self.name)
        return None if self._labels is None else np.asarray(self._labels[chosen])

    def fingerprint(self) -> str:
        """Return a sha256 over names, dtypes, shapes and content of all arrays; taken once."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(b"arrays/v1")
        parts = {"input": self._inputs, "unbatched": self._unbatched}
        parts["labels"] = {} if self._labels is None else {"labels": self._labels}
        for kind, arrays in parts.items():
            for name, array in sorted(arrays.items()):
                digest.update(f";{kind} {name} {array.dtype.str} {array.shape};".encode())
                _update(digest, array)
        return digest.hexdigest()

    def _joined(self, name: str, rows: Array) -> Array:
        tensor = self._tensors.get(name)
        return np.ascontiguousarray(rows) if tensor is None else join_samples(rows, tensor)


def _arrays(given: Mapping[str, ArrayLike], *, twice: set[str]) -> dict[str, Array]:
    if twice:
        raise SpecError("an input is given twice", got=sorted(twice))
    return {name: _array(name, value) for name, value in given.items()}


def _array(name: str, value: ArrayLike) -> Array:
    try:
        array = np.asanyarray(value)
    except ValueError as error:
        raise SpecError(f"{name!r} is no array", got=str(error)) from error
    if array.dtype.hasobject:
        raise SpecError(f"{name!r} is no array of numbers", got=str(array.dtype))
    return array


def _length(inputs: Mapping[str, Array], labels: Array | None) -> int:
    counted = {**inputs, **({} if labels is None else {"labels": labels})}
    lengths = {name: len(array) if array.ndim else None for name, array in counted.items()}
    if not inputs:
        raise SpecError("there is no input", remedy="give an array for each of the model's inputs by its name")
    if len(set(lengths.values())) != 1 or not all(lengths.values()):
        raise SpecError("arrays differ in length or are empty", got=lengths, expected="one length above 0")
    return next(length for length in lengths.values() if length)


def _metrics(
    metric: str | object | None, metrics: Sequence[str | object], *, has_labels: bool
) -> tuple[str | object, ...]:
    if isinstance(metrics, str) or (metric is not None and metrics):
        raise SpecError("metrics are no list", got=(metric, metrics), expected="metric='top1' or metrics=['top1', ...]")
    names = tuple(metrics) if metric is None else (metric,)
    if names and not has_labels:
        raise SpecError("a metric needs labels", got=names, remedy="give labels=...")
    return names


def _check_fit(array: Array, tensor: TensorSpec, *, batched: bool) -> None:
    if batched != (tensor.batch_axis is not None):
        remedy = "give it in unbatched={...}" if batched else "give it over samples, not in unbatched={...}"
        raise SpecError(f"array {tensor.name!r} is for another kind of input", remedy=remedy)
    shape = _shape_of_one(tensor)
    if array.shape[batched:] != shape or not same_kind(array, tensor):
        got = f"{array.dtype}{list(array.shape)}"
        expected = f"{tensor.dtype}{['n', *shape] if batched else list(shape)}"
        raise SpecError(f"array {tensor.name!r} does not fit the model's input", got=got, expected=expected)


def _shape_of_one(tensor: TensorSpec) -> tuple[int, ...]:
    if tensor.batch_axis is None:
        return tensor.sized(1)
    times, *others = sample_shape(tensor)
    return (*others,) if times == 1 else (times, *others)


def _update(digest: hashlib._Hash, array: Array) -> None:
    """Hash an array piece by piece, so that a memory-mapped one need not fit into memory."""
    if not array.ndim or not array.nbytes:
        digest.update(array.tobytes())
        return
    step = max(1, _HASHED_AT_ONCE * len(array) // array.nbytes)
    for start in range(0, len(array), step):
        digest.update(np.ascontiguousarray(array[start : start + step]).tobytes())
