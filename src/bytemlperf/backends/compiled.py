"""What a backend is asked for at compile, and what it answers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, Generic

import attrs
from typing_extensions import TypeVar

from bytemlperf.sample import CalibrationSet
from bytemlperf.spec import DType, TensorSpec
from bytemlperf.spec.fields import as_dict, as_tuple, at_least, choice, optional_tuple
from bytemlperf.spec.tensor import as_dtype, optional_dtype

HandleT = TypeVar("HandleT", default=object)

TP_SIZE: Final = "tp_size"
"""Setting, and label of rows: among how many ranks a model's weights are divided (tensor parallelism)."""
LENGTH: Final = "length"
"""Setting: most tokens of a prompt and its answer together."""
CONTEXT: Final = "context"
"""Setting: the same as the model itself was made for, where an engine has room for less."""


class WeightsChange(StrEnum):
    """What a compiler did to the weights; anything but `none` is the open division."""

    NONE = "none"
    QUANTIZED = "quantized"
    PRUNED = "pruned"
    REPLACED = "replaced"


@attrs.frozen(kw_only=True)
class CompileOptions:
    """What the harness asks of every compiler; a vendor's own options subclass it.

    A subclass is a frozen attrs class whose further fields are plain values (text, numbers,
    true or false, tuples of them) with defaults; their types are checked and their docstring shown.

    Attributes:
        batch_size: Samples in a query; None where the engine takes any.
        precision: What was asked for; None leaves the model's own.
        devices: Device ids in the framework's own words; empty for the backend's default.
        seed: For anything random in a compiler.
        calibration: Samples for quantisation, where the data set has a calibration split.
        work_dir: Folder for caches and files, kept between a cold and a warm compile.
    """

    batch_size: int | None = None
    precision: DType | None = attrs.field(default=None, converter=optional_dtype)
    devices: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    seed: int = 0
    calibration: CalibrationSet | None = None
    work_dir: Path = attrs.field(factory=lambda: Path(tempfile.gettempdir()) / "bytemlperf-work", converter=Path)


@attrs.frozen(kw_only=True)
class Segment:
    """A part of the graph and where it runs.

    Attributes:
        name: For a person.
        device: Where it runs, in the framework's own words.
        operators: How many operators of the model it holds.
        fallback: Whether it runs beside the accelerator.
    """

    name: str
    device: str
    operators: int = attrs.field(validator=at_least(0))
    fallback: bool = False


@attrs.frozen(kw_only=True)
class Device:
    """A device that a backend sees.

    Attributes:
        id: In the framework's own words; what `devices=` takes.
        name: Product name.
        memory_bytes: Its memory; None where not known.
        serial_sha256: Digest of a serial number; None where not known.
    """

    id: str
    name: str
    memory_bytes: int | None = None
    serial_sha256: str | None = None


def _as_weights_change(value: str | WeightsChange) -> WeightsChange:
    return choice(WeightsChange)(value)


def _as_paths(paths: Iterable[str | Path]) -> tuple[Path, ...]:
    return tuple(Path(path) for path in as_tuple(paths))


@attrs.frozen(kw_only=True)
class CompileInfo:
    """What a compiler says it did.

    Attributes:
        precision: What is used, not what was asked for.
        segments: Parts of the graph and their devices; None where the backend cannot tell,
            and then coverage is "not known".
        files: What it wrote.
        devices: Where the model runs.
        instances: Copies of the model that work at the same time.
        inputs: Inputs as the engine takes them (dtype, axis order); None for the model's own.
        max_in_flight: Calls it takes at once; the harness never sends more. None for no bound.
        weights: What was done to the weights.
        optimizations: Named settings worth a line in the report. `tp_size`, the ranks among which the weights are
            divided, and what begins with `rank_` are labels of rows too.
    """

    precision: DType = attrs.field(converter=as_dtype)
    segments: tuple[Segment, ...] | None = attrs.field(default=None, converter=optional_tuple)
    files: tuple[Path, ...] = attrs.field(default=(), converter=_as_paths)
    devices: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    instances: int = attrs.field(default=1, validator=at_least(1))
    inputs: tuple[TensorSpec, ...] | None = attrs.field(default=None, converter=optional_tuple)
    max_in_flight: int | None = attrs.field(default=1, validator=at_least(1, optional=True))
    weights: WeightsChange = attrs.field(default=WeightsChange.NONE, converter=_as_weights_change)
    optimizations: Mapping[str, str | int | float | bool] = attrs.field(factory=dict, converter=as_dict)

    @property
    def ranks(self) -> Mapping[str, str | int | float | bool]:
        """Return what the settings say of the ranks among which a model is divided."""
        return {
            name: value for name, value in self.optimizations.items() if name == TP_SIZE or name.startswith("rank_")
        }

    @property
    def coverage(self) -> float | None:
        """Share of operators that do not fall back, 0 to 1; None where not known."""
        if not self.segments or not sum(segment.operators for segment in self.segments):
            return None
        kept = sum(segment.operators for segment in self.segments if not segment.fallback)
        return kept / sum(segment.operators for segment in self.segments)


@attrs.frozen(eq=False)
class CompiledModel(Generic[HandleT]):
    """A model ready to run; never pickled, never leaves its process.

    Attributes:
        handle: The runtime's own object.
        info: What the compiler did.
    """

    handle: HandleT
    info: CompileInfo
