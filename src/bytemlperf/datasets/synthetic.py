"""Seeded tensors that fit any model: real lengths, ids within the vocabulary, distinct samples."""

from __future__ import annotations

import hashlib
import math
import zlib
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.datasets.axes import join_samples, sample_shape
from bytemlperf.datasets.base import DatasetLoader, DatasetOptions
from bytemlperf.datasets.casting import numpy_dtype
from bytemlperf.datasets.indexing import positions
from bytemlperf.errors import SpecError
from bytemlperf.spec import DType, canonical_json
from bytemlperf.spec.fields import at_least

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec, TensorSpec


@attrs.frozen(kw_only=True)
class SyntheticOptions(DatasetOptions):
    """How many samples, and which.

    Attributes:
        samples: How many there are; each is made when it is asked for.
        seed: Of all of them.
    """

    samples: int = attrs.field(default=1024, validator=at_least(1))
    seed: int = attrs.field(default=0, validator=at_least(0))


class Role(StrEnum):
    """What the values of an input mean."""

    MASK = "mask"
    PADDING = "padding"
    SEGMENTS = "segments"
    POSITIONS = "positions"
    IDS = "ids"
    LEVELS = "levels"
    NUMBERS = "numbers"


class Synthetic(DatasetLoader):
    """Random samples without labels, made for a model's inputs by their dtype, name and bounds.

    - **Masks**: an input that some tensor names as its `valid`, and any input of whole or truth values with
      `mask` in its name. Along the last axis ones come first, then zeros; the length is drawn from a quarter
      of the axis to all of it, and is at least 1.
    - **Padding**: such an input that no tensor names, with `pad` in its name too. Zeros come first, then ones,
      which stand where a sequence has ended: `src_pad_mask`.
    - **Segments** (`segment` or `token_type` in the name): 0 up to a drawn place, then 1.
    - **Positions** (`position` in the name): 0, 1, 2 and so on along the last axis, below `high`.
    - **Ids** (all other whole numbers of more than 8 bits, truth values, and floating-point inputs with a bound):
      drawn below `high`; without a bound nothing but 0 and 1 is safe. Never the same id everywhere, if there are
      two. Under a mask 0 is left to what it leaves out, if there are three.
    - **Levels** (uint8, int8): the whole range, as an image's pixels, or below `high`.
    - **Numbers** (floating point without a bound): standard normal.

    Where an input's `valid` mask has its leading axes, what the mask leaves out is 0.

    A sample depends on the seed, its index and the inputs' own specs alone. An unbatched input depends on the
    seed alone. The rows of an axis such as `26*batch` are drawn for each sample.
    """

    name = "synthetic"
    options_type = SyntheticOptions

    def __init__(self, inputs: Sequence[TensorSpec], *, masks: frozenset[str], options: SyntheticOptions) -> None:
        """Take what `open` found out.

        Args:
            inputs: The model's inputs.
            masks: Names of those that some tensor names as its `valid`.
            options: How many samples, and which.
        """
        self._inputs = {tensor.name: tensor for tensor in inputs}
        self._roles = {tensor.name: _role(tensor, masks) for tensor in inputs}
        self._options = options

    @classmethod
    def open(cls, spec: ModelSpec, options: SyntheticOptions) -> Self:
        """Prepare to make samples for a model.

        Raises:
            SpecError: If an input is of a dtype without arrays of numbers, has more than one batch
                axis, or a `valid` names no input.
        """
        masks = frozenset(tensor.valid for tensor in (*spec.inputs, *spec.outputs) if tensor.valid is not None)
        unknown = masks - {tensor.name for tensor in spec.inputs}
        if unknown:
            raise SpecError(f"a tensor of {spec.name!r} names a mask that is no input", got=sorted(unknown))
        for tensor in spec.inputs:
            numpy_dtype(tensor.dtype)
            if tensor.batch_axis is not None:
                sample_shape(tensor)
        return cls(spec.inputs, masks=masks, options=options)

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._options.samples

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Make samples.

        Raises:
            DatasetError: If there is no such sample.
        """
        chosen = positions(indices, total=len(self), dataset=self.name)
        batched = [tensor for tensor in self._inputs.values() if tensor.batch_axis is not None]
        rows = {each.name: np.empty((len(chosen), *sample_shape(each)), numpy_dtype(each.dtype)) for each in batched}
        for row, index in enumerate(chosen.tolist()):
            sample = self._sample(index)
            for name, array in rows.items():
                array[row] = sample[name]
        joined = {name: join_samples(array, self._inputs[name]) for name, array in rows.items()}
        return {**joined, **{name: array[0] for name, array in self._sample(None).items()}}

    def labels(self, indices: Sequence[int]) -> None:
        """Return None: random samples have no right answer."""

    def fingerprint(self) -> str:
        """Return a sha256 over the options, the inputs' specs and the first sample.

        The first sample stands for all: another version of numpy may draw other numbers.
        """
        recipe = {"recipe": self.preprocessing, "inputs": list(self._inputs.values()), "options": self._options}
        digest = hashlib.sha256(canonical_json(recipe).encode())
        for name, array in sorted(self.load([0]).items()):
            digest.update(name.encode() + array.tobytes())
        return digest.hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name and version of the recipe."""
        return "synthetic/v1"

    def _sample(self, index: int | None) -> Mapping[str, Array]:
        """Make all batched inputs of one sample; of None, the unbatched ones."""
        wanted = [tensor for tensor in self._inputs.values() if (tensor.batch_axis is None) is (index is None)]
        made = {tensor.name: self._drawn(tensor, index) for tensor in wanted}
        return {tensor.name: _padded(made[tensor.name], made.get(tensor.valid or "")) for tensor in wanted}

    def _drawn(self, tensor: TensorSpec, index: int | None) -> Array:
        """Make one input of one sample, [times, *other axes]; [1, *axes] where it is unbatched."""
        shape = (1, *tensor.sized(1)) if index is None else sample_shape(tensor)
        # Each input has a stream of its own: the order of a model's inputs changes nothing.
        stream = (zlib.crc32(tensor.name.encode()), 0 if index is None else index + 1)
        rng = np.random.default_rng(np.random.SeedSequence(self._options.seed, spawn_key=stream))
        return _DRAW[self._roles[tensor.name]](rng, shape, tensor).astype(numpy_dtype(tensor.dtype))


def _role(tensor: TensorSpec, masks: frozenset[str]) -> Role:
    name = tensor.name.lower()
    if tensor.name in masks or ("mask" in name and not tensor.dtype.is_float):
        return Role.PADDING if "pad" in name and tensor.name not in masks else Role.MASK
    if tensor.dtype.is_float and tensor.high is None:
        return Role.NUMBERS
    if "segment" in name or "token_type" in name:
        return Role.SEGMENTS
    if "position" in name:
        return Role.POSITIONS
    return Role.LEVELS if tensor.dtype in (DType.UINT8, DType.INT8) else Role.IDS


def _padded(array: Array, mask: Array | None) -> Array:
    """Return the array with 0 where its mask is 0, if the mask has its leading axes."""
    if mask is None or array.shape[: mask.ndim] != mask.shape:
        return array
    valid = (mask != 0).reshape(mask.shape + (1,) * (array.ndim - mask.ndim))
    return np.where(valid, array, np.zeros_like(array))


def _mask(rng: np.random.Generator, shape: tuple[int, ...], _: TensorSpec) -> Array:
    axis = shape[-1] if len(shape) > 1 else 1  # a mask without axes of its own leaves no sample out
    length = rng.integers(max(1, math.ceil(axis / 4)), axis, endpoint=True) if axis else 0
    return np.broadcast_to(np.arange(shape[-1]) < length if len(shape) > 1 else np.True_, shape)


def _padding(rng: np.random.Generator, shape: tuple[int, ...], tensor: TensorSpec) -> Array:
    return np.logical_not(_mask(rng, shape, tensor))


def _segments(rng: np.random.Generator, shape: tuple[int, ...], tensor: TensorSpec) -> Array:
    second = rng.integers(1, max(1, shape[-1]), endpoint=True)
    return np.broadcast_to((np.arange(shape[-1]) >= second) & (_bound(tensor) > 1), shape)


def _positions(_: np.random.Generator, shape: tuple[int, ...], tensor: TensorSpec) -> Array:
    return np.broadcast_to(np.arange(shape[-1]) % (tensor.high or max(1, shape[-1])), shape)


def _ids(rng: np.random.Generator, shape: tuple[int, ...], tensor: TensorSpec) -> Array:
    bound = _bound(tensor)
    low = 1 if tensor.valid is not None and bound > 2 else 0  # noqa: PLR2004 - padding and two others
    drawn = rng.integers(low, bound, size=shape)
    flat = drawn.reshape(-1)
    if flat.size and tensor.valid is not None:
        flat[0] = max(flat[0], min(1, bound - 1))  # so that a short sample is not all padding
    if flat.size > 1 and (flat == flat[0]).all():
        flat[-1] = low + (flat[0] - low + 1) % (bound - low)
    return drawn


def _levels(rng: np.random.Generator, shape: tuple[int, ...], tensor: TensorSpec) -> Array:
    low = -128 if tensor.dtype is DType.INT8 and tensor.high is None else 0
    return rng.integers(low, tensor.high or low + 256, size=shape)


def _numbers(rng: np.random.Generator, shape: tuple[int, ...], tensor: TensorSpec) -> Array:
    if tensor.dtype is DType.FLOAT64:
        return rng.standard_normal(shape)
    return rng.standard_normal(shape, dtype=np.float32)


def _bound(tensor: TensorSpec) -> int:
    """Return the exclusive bound of ids: the vocabulary's, within what the dtype holds."""
    largest = {DType.BOOL: 1, DType.INT4: 7, DType.INT16: 2**15 - 1, DType.INT32: 2**31 - 1}
    return min(tensor.high or 2, largest.get(tensor.dtype, 2**63 - 1) + 1)


_DRAW: Final[Mapping[Role, Callable[[np.random.Generator, tuple[int, ...], TensorSpec], Array]]] = {
    Role.MASK: _mask,
    Role.PADDING: _padding,
    Role.SEGMENTS: _segments,
    Role.POSITIONS: _positions,
    Role.IDS: _ids,
    Role.LEVELS: _levels,
    Role.NUMBERS: _numbers,
}
