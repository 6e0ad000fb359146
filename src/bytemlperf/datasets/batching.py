"""Samples into batches: grouped, padded, cast and checked before any clock runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from bytemlperf.datasets.axes import sample_shape, split_samples
from bytemlperf.datasets.casting import misfit, numpy_dtype
from bytemlperf.datasets.checking import check_names, checked
from bytemlperf.datasets.engine_inputs import EngineInput, match_inputs
from bytemlperf.errors import DatasetError, InputMismatchError, SpecError
from bytemlperf.sample import BatchSet, Forward

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from bytemlperf.datasets.base import DatasetLoader
    from bytemlperf.sample import Array, Ask
    from bytemlperf.spec import TensorSpec

CHUNK_BYTES: Final = 64 * 2**20
"""Enough at a time for a loader to decode many images in parallel."""
_FORWARD: Final = Forward()


def bytes_per_sample(inputs: Sequence[TensorSpec]) -> int:
    """Return how many bytes one sample takes in all batched inputs; unbatched inputs count nothing.

    Raises:
        SpecError: If a dtype has no array of numbers, or an input more than one batch axis.

    Example:
        >>> from bytemlperf.spec import TensorSpec
        >>> bytes_per_sample([TensorSpec(name="image", shape=("batch", 3, 224, 224), dtype="fp32")])
        602112
    """
    batched = [tensor for tensor in inputs if tensor.batch_axis is not None]
    return sum(math.prod(sample_shape(tensor)) * numpy_dtype(tensor.dtype).itemsize for tensor in batched)


def batches(
    loader: DatasetLoader,
    inputs: Sequence[TensorSpec],
    indices: Sequence[int] | NDArray[np.int64],
    *,
    batch_size: int,
    engine_inputs: Sequence[TensorSpec] | None = None,
    ask: Ask = _FORWARD,
    chunk_bytes: int = CHUNK_BYTES,
) -> BatchSet:
    """Load samples and make equal batches of them, in the order of the indices.

    The last batch is filled up with its last sample; that padding is counted and carries sample index -1.
    Each batch's arrays are contiguous, in the dtype and order of axes that the engine takes. A cast may
    round a floating-point number and changes nothing else. An unbatched input is shared by all batches.

    Args:
        loader: Gives the samples.
        inputs: The model's inputs.
        indices: Which samples, at least one; one may come more than once.
        batch_size: Samples in every batch.
        engine_inputs: `CompileInfo.inputs`; None for the model's own.
        ask: What to answer.
        chunk_bytes: How much is loaded at a time, besides what is kept; at least one batch.

    Raises:
        DatasetError: If the loader's arrays are not what the model's inputs say: names, shapes,
            kinds of dtype, range of values, ids outside the vocabulary.
        InputMismatchError: If the engine's inputs cannot be made of the model's by an order of axes
            and a cast that keeps the values.
        SpecError: If the batch size is below 1, or there is no index.
    """
    rows, padding = _grouped(np.asarray(indices), batch_size)
    plan = match_inputs(inputs, engine_inputs)
    kept = {each.engine.name: _room_for(each, len(rows), batch_size) for each in plan}
    step = max(1, chunk_bytes // max(1, batch_size * bytes_per_sample(inputs)))
    for start in range(0, len(rows), step):
        _fill(kept, loader, plan, rows, slice(start, start + step))
    samples = rows.copy()
    samples[-1, batch_size - padding[-1] :] = -1
    axes = {each.engine.name: axis for each in plan if (axis := each.engine.batch_axis) is not None}
    return BatchSet(inputs=kept, size=batch_size, padding=padding, samples=samples, ask=ask, axes=axes)


def waves(
    loader: DatasetLoader,
    inputs: Sequence[TensorSpec],
    indices: Sequence[int] | NDArray[np.int64],
    *,
    batch_size: int,
    max_bytes: int,
    engine_inputs: Sequence[TensorSpec] | None = None,
    answers: Sequence[TensorSpec] = (),
    ask: Ask = _FORWARD,
) -> Iterator[BatchSet]:
    """Yield batches in sets of at most `max_bytes`, so that a whole data set needs only that much at a time.

    All are as `batches` makes them; only the last set can hold padding. A set has at least one batch, however
    large that is. The next set is loaded when it is asked for.

    Args:
        loader: Gives the samples.
        inputs: The model's inputs.
        indices: Which samples; none yields nothing.
        batch_size: Samples in every batch.
        max_bytes: Bound of one set's arrays; loading takes up to `CHUNK_BYTES` and a copy beside it.
        engine_inputs: `CompileInfo.inputs`; None for the model's own.
        answers: Outputs that will be kept beside a set and count into its bound: a language model's logits
            are ten thousand times its ids.
        ask: What to answer.

    Raises:
        DatasetError: As `batches` does.
        InputMismatchError: As `batches` does.
        SpecError: As `batches` does.
    """
    kept = [*(inputs if engine_inputs is None else engine_inputs), *answers]
    step = batch_size * _batches_within(max_bytes, kept, batch_size)
    for start in range(0, len(indices), step):
        part = indices[start : start + step]
        yield batches(loader, inputs, part, batch_size=batch_size, engine_inputs=engine_inputs, ask=ask)


def performance_set(
    loader: DatasetLoader,
    inputs: Sequence[TensorSpec],
    *,
    batch_size: int,
    max_bytes: int,
    max_samples: int,
    dealt: int = 0,
    engine_inputs: Sequence[TensorSpec] | None = None,
    ask: Ask = _FORWARD,
) -> BatchSet:
    """Load the batches that a timed run goes round: distinct samples in rotation, and no padding.

    The samples are the data set's first; where they do not fill the last batch, it goes on with the
    first again, so that every query is full.

    Args:
        loader: Gives the samples.
        inputs: The model's inputs.
        batch_size: Samples in every batch.
        max_bytes: Bound of the set; it has at least one batch, however large that is.
        max_samples: Bound of distinct samples, at least 1; a batch that is larger repeats them.
        dealt: The first so many samples are dealt out, one to each batch in turn, so that answers to every batch can be
            held against what is known of them; the others follow in order.
        engine_inputs: `CompileInfo.inputs`; None for the model's own.
        ask: What to answer.

    Raises:
        DatasetError: If the data set is empty; else as `batches` does.
        InputMismatchError: As `batches` does.
        SpecError: As `batches` does; or if `max_samples` is below 1.
    """
    if max_samples < 1:
        raise SpecError("no sample is allowed", got=max_samples, expected="max_samples of at least 1")
    distinct = min(len(loader), max_samples)
    if not distinct:
        raise DatasetError(f"data set {loader.name!r} has no sample")
    allowed = _batches_within(max_bytes, inputs if engine_inputs is None else engine_inputs, batch_size)
    count = min(math.ceil(distinct / batch_size), allowed)
    indices = _dealt(np.arange(count * batch_size, dtype=np.int64), count, first=dealt) % distinct
    return batches(loader, inputs, indices, batch_size=batch_size, engine_inputs=engine_inputs, ask=ask)


def _dealt(order: NDArray[np.int64], hands: int, *, first: int) -> NDArray[np.int64]:
    """Deal the first numbers out to so many equal hands, fill these up with the others in order, lay them in a row."""
    size = len(order) // hands
    mine = [order[:first][hand::hands] for hand in range(hands)]
    ends = np.cumsum([size - len(each) for each in mine])
    others = np.split(order[first:], ends[:-1])
    return np.concatenate([part for pair in zip(mine, others, strict=True) for part in pair])


def _batches_within(max_bytes: int, inputs: Sequence[TensorSpec], batch_size: int) -> int:
    _check_batch_size(batch_size)
    return max(1, max_bytes // max(1, batch_size * bytes_per_sample(inputs)))


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise SpecError("batch size out of range", got=batch_size, expected="a whole number above 0")


def _grouped(indices: NDArray[np.int64], batch_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of indices, int64[batches, size], and how many at each row's end are padding."""
    _check_batch_size(batch_size)
    if not indices.size or indices.dtype.kind not in "iu" or indices.ndim != 1 or indices.min() < 0:
        raise SpecError("no samples to make batches of", got=indices.tolist(), expected="indices from 0, at least one")
    padding = -len(indices) % batch_size
    filled = np.concatenate([indices, np.repeat(indices[-1:], padding)]).astype(np.int64)
    counts = np.zeros(len(filled) // batch_size, dtype=np.int64)
    counts[-1] = padding
    return filled.reshape(-1, batch_size), counts


def _room_for(each: EngineInput, count: int, batch_size: int) -> Array:
    shape, dtype = each.engine.sized(batch_size), numpy_dtype(each.engine.dtype)
    if each.model.batch_axis is None:
        return np.broadcast_to(np.empty(shape, dtype), (count, *shape))
    return np.empty((count, *shape), dtype)


def _fill(
    kept: dict[str, Array],
    loader: DatasetLoader,
    plan: Sequence[EngineInput],
    rows: NDArray[np.int64],
    where: slice,
) -> None:
    """Load the samples of some batches, each once, and put them where they belong."""
    wanted, places = np.unique(rows[where], return_inverse=True)
    arrays = loader.load(wanted.tolist())
    check_names(arrays, [each.model for each in plan], dataset=loader.name)
    for each in plan:
        name = each.model.name
        array = checked(arrays[name], each.model, samples=len(wanted), dataset=loader.name)
        _check_for_engine(array, each)
        if each.model.batch_axis is None:
            kept[name] = _shared(array, each, kept[name], first=where.start == 0, dataset=loader.name)
        else:
            by_sample = split_samples(array, each.model, samples=len(wanted))
            kept[name][where] = _batched(by_sample, each, places.reshape(rows[where].shape))


def _check_for_engine(array: Array, each: EngineInput) -> None:
    problem = misfit(array, each.engine.dtype)
    if problem is not None:
        error = InputMismatchError(
            f"values of input {each.model.name!r} do not fit the dtype that the engine takes",
            got=problem,
            expected=f"what {each.engine.dtype} can hold",
        )
        error.tensor = each.model.name
        raise error


def _shared(array: Array, each: EngineInput, kept: Array, *, first: bool, dataset: str) -> Array:
    """Return an unbatched input as each batch sees it; it may not depend on the samples."""
    turned = np.array(array.transpose(each.order), dtype=kept.dtype, order="C")
    if not first and turned.tobytes() != kept[0].tobytes():
        raise DatasetError(f"unbatched input {each.model.name!r} of data set {dataset!r} differs between samples")
    return np.broadcast_to(turned, kept.shape)


def _batched(by_sample: Array, each: EngineInput, places: NDArray[np.int64]) -> Array:
    """Return [batches, *engine's shape], still in the model's dtype.

    Args:
        by_sample: [samples, times, *other axes], distinct samples.
        each: The input.
        places: [batches, size], which of these samples goes where.
    """
    in_order = np.array_equal(places.ravel(), np.arange(len(by_sample)))
    chosen = by_sample if in_order else by_sample[places.ravel()]
    count, size = places.shape
    joined = chosen.reshape(count, size * by_sample.shape[1], *by_sample.shape[2:])
    model_order = np.moveaxis(joined, 1, 1 + (each.model.batch_axis or 0))
    return model_order.transpose(0, *(1 + axis for axis in each.order))
