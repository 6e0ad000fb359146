"""Tensors as data: dtype, axes as expressions in `batch`, which positions are valid."""

from __future__ import annotations

import keyword
import re
from enum import StrEnum
from typing import Final

import attrs

from bytemlperf.errors import SpecError, nearest
from bytemlperf.spec.fields import at_least, choice


class Format(StrEnum):
    """File formats (and one in-process form) in which a model is handed to a backend."""

    TORCH = "torch"
    """A recipe and a safetensors file: the torch module is built where it is needed."""
    TORCH_MODULE = "torch_module"
    """A live `torch.nn.Module` of the caller; only for a backend in the same process."""
    TORCHSCRIPT = "torchscript"
    ONNX = "onnx"
    SAVED_MODEL = "saved_model"
    STABLEHLO = "stablehlo"


class DType(StrEnum):
    """Element types, under numpy's names; short names such as `fp32` are understood by `DType.of`."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT8 = "float8"
    INT64 = "int64"
    INT32 = "int32"
    INT16 = "int16"
    INT8 = "int8"
    INT4 = "int4"
    UINT8 = "uint8"
    BOOL = "bool"
    STRING = "str"

    @classmethod
    def of(cls, name: str | DType) -> DType:
        """Return the dtype of a full, short or ByteMLPerf name.

        Raises:
            SpecError: If no dtype has that name.

        Example:
            >>> DType.of("fp32"), DType.of("LONG")
            (<DType.FLOAT32: 'float32'>, <DType.INT64: 'int64'>)
        """
        lowered = str(name).lower()
        try:
            return cls(_ALIASES.get(lowered, lowered))
        except ValueError:
            known = [*(each.value for each in cls), *_ALIASES]
            guess = nearest(lowered, known)
            remedy = f"did you mean {guess[0]!r}?" if guess else None
            raise SpecError("unknown dtype", got=name, expected=f"one of {', '.join(known)}", remedy=remedy) from None

    @property
    def short(self) -> str:
        """The name that task names use (`fp32`, `int8`)."""
        return next((short for short, full in _ALIASES.items() if full == self.value), self.value)

    @property
    def is_float(self) -> bool:
        """Whether the type has a fraction, an infinity and a NaN."""
        return "float" in self.value


_ALIASES: Final = {
    "fp64": "float64",
    "fp32": "float32",
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp8": "float8",
    "long": "int64",
    "double": "float64",
    "half": "float16",
    "string": "str",
}


def as_dtype(name: str | DType) -> DType:
    """Do as `DType.of` does, as a function that type checkers follow."""
    return DType.of(name)


def as_format(value: str | Format) -> Format:
    """Take a format's name for the format.

    Raises:
        SpecError: If there is none of that name.
    """
    return choice(Format)(value)


def optional_dtype(name: str | DType | None) -> DType | None:
    """Do as `DType.of` does, but leave None."""
    return None if name is None else DType.of(name)


@attrs.frozen
class Axis:
    """An axis whose length is a multiple of the batch size.

    Attributes:
        name: The variable; `batch` is the only one that the harness sets.
        times: Positive factor: 26 for Wide&Deep's `[26 * batch, 2]`.
    """

    name: str = "batch"
    times: int = attrs.field(default=1, validator=at_least(1))

    @classmethod
    def of(cls, text: str) -> Axis:
        """Read `batch` or `26*batch`.

        Raises:
            SpecError: If the text is neither.
        """
        match = re.fullmatch(r"\s*(?:(\d{1,9})\s*\*\s*)?([A-Za-z_]\w*)\s*", text)
        if match is None or match[1] == "0":
            raise SpecError("an axis is no expression in batch", got=text, expected="'batch' or '26 * batch'")
        return cls(match[2], int(match[1] or 1))

    def __str__(self) -> str:
        """Write it as `of` reads it."""
        return self.name if self.times == 1 else f"{self.times}*{self.name}"


def _as_shape(value: object) -> tuple[int | Axis, ...]:
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        raise SpecError("a shape is no list of axes", got=value, expected="such as ['batch', 3, 224, 224]")
    return tuple(as_axis(each) for each in value)


def as_axis(value: object) -> int | Axis:
    """Take a length, or text that `Axis.of` reads, for an axis.

    Raises:
        SpecError: If it is neither.
    """
    if isinstance(value, Axis):
        return value
    if isinstance(value, str):
        return Axis.of(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise SpecError("an axis is neither a length nor an expression in batch", got=value, expected="an int >= 0 or str")


def _is_identifier(_: TensorSpec, __: attrs.Attribute[str], value: str) -> None:
    if not (isinstance(value, str) and value.isidentifier() and not keyword.iskeyword(value)):
        raise SpecError(
            "a tensor's name is no Python identifier",
            got=value,
            remedy="give the file's own name as original_name and choose a plain name",
        )


@attrs.frozen(kw_only=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: Canonical name, a Python identifier; everything in bytemlperf matches by it.
        original_name: Name in the model's file where that differs (`input_tensor:0`).
        shape: Axis lengths; `Axis()` (or `"batch"`) where the batch goes. No `Axis`: unbatched.
        dtype: Element type.
        valid: Name of the input that is 0 where this tensor's positions count for nothing.
        high: Exclusive upper bound of values that are whole numbers, of whatever type (a vocabulary's size).

    Raises:
        SpecError: If a field cannot be what it says.
    """

    name: str = attrs.field(validator=_is_identifier)
    original_name: str | None = None
    shape: tuple[int | Axis, ...] = attrs.field(converter=_as_shape)
    dtype: DType = attrs.field(converter=as_dtype)
    valid: str | None = None
    high: int | None = attrs.field(default=None, validator=at_least(1, optional=True))

    @property
    def batch_axis(self) -> int | None:
        """Position of the axis that grows with the batch; None for an unbatched tensor."""
        return next((i for i, axis in enumerate(self.shape) if isinstance(axis, Axis)), None)

    @property
    def file_name(self) -> str:
        """The name in the model's file."""
        return self.original_name or self.name

    def sized(self, batch_size: int) -> tuple[int, ...]:
        """Return the shape at a batch size.

        Example:
            >>> TensorSpec(name="indices", shape=("26*batch", 2), dtype="int64").sized(4)
            (104, 2)
        """
        return tuple(axis.times * batch_size if isinstance(axis, Axis) else axis for axis in self.shape)
