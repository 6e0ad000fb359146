"""Outputs and what they are compared with, matched by name and found to fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import BenchmarkError, MalformedOutputError, SpecError
from bytemlperf.sample import Array

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bytemlperf.spec import TensorSpec


@attrs.frozen(kw_only=True, eq=False)
class Pair:
    """An output and its reference, of one shape and of real numbers. Not copied where they are such arrays.

    Attributes:
        name: Of the output.
        output: What came.
        reference: What should have come.
        counts: bool of the same shape, which positions are compared; None for all.
    """

    name: str
    output: Array
    reference: Array
    counts: NDArray[np.bool_] | None = None


def matched(outputs: Mapping[str, Array], reference: Mapping[str, Array], names: Iterable[str]) -> tuple[Pair, ...]:
    """Pair outputs with their reference by name, never by position.

    Args:
        outputs: What came.
        reference: What should have come.
        names: The outputs that both must have, and no others.

    Raises:
        MalformedOutputError: If an output is missing, unknown, of another shape than its reference or not of numbers.
        SpecError: If the reference is missing, unknown or not of numbers.
    """
    expected = tuple(names)
    _check_names(reference, expected, SpecError, "reference")
    _check_names(outputs, expected, MalformedOutputError, "answer")
    return tuple(_matched(name, outputs[name], reference[name]) for name in expected)


def masked(pair: Pair, spec: TensorSpec, valid: Mapping[str, Array]) -> Pair:
    """Leave out the positions at which the spec's mask is 0.

    The mask [batch, ...] covers the first axes of the output; what lies behind one of its positions counts as it does.

    Args:
        pair: As `matched` gives it.
        spec: Of the output.
        valid: Masks by the name of the input that they are.

    Raises:
        SpecError: If the spec names a mask that is not given or does not cover the output's first axes.
    """
    if spec.valid is None:
        return pair
    where = f"$.valid.{spec.valid}"
    if spec.valid not in valid:
        raise SpecError(
            f"the mask of the output {spec.name!r} is missing", where=where, remedy="give the input of that name"
        )
    mask = np.asarray(valid[spec.valid])
    shape = pair.output.shape
    if mask.shape != shape[: mask.ndim]:
        raise SpecError(
            f"the mask does not fit the output {spec.name!r}", where=where, got=mask.shape, expected=f"axes of {shape}"
        )
    spread = np.broadcast_to((mask != 0).reshape(mask.shape + (1,) * (len(shape) - mask.ndim)), shape)
    return attrs.evolve(pair, counts=spread)


def _check_names(given: Mapping[str, Array], expected: tuple[str, ...], kind: type[BenchmarkError], whose: str) -> None:
    missing = [name for name in expected if name not in given]
    unknown = [name for name in given if name not in expected]
    if missing or unknown:
        error = kind(
            f"the {whose} has {'no output ' + ', '.join(map(repr, missing)) if missing else 'outputs of no spec'}",
            got=sorted(given),
            expected=f"exactly {', '.join(map(repr, expected)) or 'none'}",
        )
        error.tensor = (missing or unknown)[0]
        raise error


def _matched(name: str, output: Array, reference: Array) -> Pair:
    right = numbers(reference, name=name, kind=SpecError, whose="reference")
    left = numbers(output, name=name, kind=MalformedOutputError, whose="output")
    if left.shape != right.shape:
        error = MalformedOutputError(
            f"the output {name!r} has another shape than its reference", got=left.shape, expected=str(right.shape)
        )
        error.tensor = name
        raise error
    return Pair(name=name, output=left, reference=right)


def numbers(value: object, *, name: str, kind: type[BenchmarkError], whose: str) -> Array:
    """Take a value as an array of real numbers; extended types (bfloat16, float8) become float32.

    Raises:
        BenchmarkError: Of the given kind, if it is none.
    """
    array = value if isinstance(value, np.ndarray) else None
    if array is not None and array.dtype.kind == "V" and array.dtype.names is None:
        array = _widened(array)
    if array is None or array.dtype.kind not in "biuf":
        error = kind(
            f"the {whose} {name!r} is no array of real numbers", got=type(value) if array is None else array.dtype
        )
        error.tensor = name
        raise error
    return array


def _widened(array: Array) -> Array | None:
    try:
        return array.astype(np.float32)
    except (TypeError, ValueError):  # raw bytes, not a registered type
        return None
