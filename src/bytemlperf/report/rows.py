"""Rows of a report: one thing measured, with its figures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.metrics.acceptance import Judgement
from bytemlperf.metrics.estimate import Estimate, Metrics
from bytemlperf.metrics.validity import Validity
from bytemlperf.spec import DType
from bytemlperf.spec.fields import as_dict, as_tuple, at_least, choice

Scalar = str | int | float | bool | None
"""A plain value that a database column can hold."""

VENDOR_REPORTED: Final = "vendor_reported"
"""Label, true on rows whose figures a vendor's own tool told."""
PHASES: Final = "phases"
"""Label, true on rows of a pass by phases, which is slower than the timed runs."""

IN_MEMORY: Final = "in_memory"
"""Label, how many samples were in memory, of which a plan of MLPerf's was made."""


class RowKind(StrEnum):
    """What a row measures."""

    COMPILE = "compile"
    ACCURACY = "accuracy"
    NUMERIC = "numeric"
    PERFORMANCE = "performance"
    INTEGRITY = "integrity"


def row_key(
    kind: str | RowKind,
    *,
    scenario: str | None = None,
    batch_size: int | None = None,
    precision: DType | None = None,
    devices: int | None = None,
) -> str:
    """Return the stable key of a row; what is None is left out.

    Args:
        kind: What it measures.
        scenario: The scenario's own key.
        batch_size: Samples in a query.
        precision: What the backend used.
        devices: How many devices.

    Example:
        >>> row_key("performance", scenario="fixed_batch/clients=2", batch_size=8, precision=DType.FLOAT32, devices=1)
        'performance/fixed_batch/clients=2/batch=8/fp32/devices=1'
    """
    parts = (
        str(_as_kind(kind)),
        scenario,
        None if batch_size is None else f"batch={batch_size}",
        None if precision is None else precision.short,
        None if devices is None else f"devices={devices}",
    )
    return "/".join(part for part in parts if part)


def _as_kind(value: str | RowKind) -> RowKind:
    return choice(RowKind)(value)


def _as_dtype(value: str | DType) -> DType:
    return DType.of(value)


def as_metrics(value: Mapping[str, Estimate]) -> Mapping[str, Estimate]:
    """Take any mapping of estimates for `Metrics`, whose errors list what there is."""
    return value if isinstance(value, Metrics) else Metrics(as_dict(value))


def finite_values(value: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
    """Copy plain values by name; a number that JSON cannot hold becomes None."""
    return {
        name: None if isinstance(each, float) and not math.isfinite(each) else each
        for name, each in as_dict(value).items()
    }


def _key_fits(row: Row, _: object, value: str) -> None:
    kind, _slash, rest = value.partition("/")
    if kind != row.kind or (_slash and not rest) or value != value.strip():
        raise SpecError(
            "a row's key does not begin with its kind", where="$.key", got=value, expected=f"{row.kind}/..."
        )


def _relative(_: object, __: object, value: tuple[str, ...]) -> None:
    for path in value:
        if not path or path.startswith(("/", "~")) or "\\" in path or ".." in path.split("/"):
            raise SpecError("a row's file is no path below the report", where="$.files", got=path)


def _digests(row: Row, _: object, value: Mapping[str, str]) -> None:
    for path, digest in value.items():
        if path not in row.files or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise SpecError("no sha256 of one of the row's files", where="$.sha256", got={path: digest})


@attrs.frozen(kw_only=True)
class Row:
    """One thing measured.

    Attributes:
        kind: What it measures.
        key: Stable and unique in a report, such as `performance/fixed_batch/clients=2/batch=8/fp32/devices=1`.
        metrics: Its figures by name.
        scenario: The load pattern's key; None where there was none.
        batch_size: Samples in a query; None where it has no say.
        precision: What the backend used.
        devices: On which devices, in the framework's own words.
        passed: Whether a bound was held; None where there was none to hold, or too little was measured to say it.
        validity: Whether the run counts by MLPerf's rules, and if not why; None for what has no such rules.
        note: What a reader must know.
        labels: Plain facts by name, such as `vendor_chosen`, `inline`, `repeats`.
        bytemlperf: ByteMLPerf's own figures by its own formulas, under its own keys.
        files: Raw data beside the report, relative to its folder.
        sha256: Digest of each of those files.
        part: Id of the part of the run that measured it.
        acceptance: How its figures were held against targets.
    """

    kind: RowKind = attrs.field(converter=_as_kind)
    key: str = attrs.field(validator=_key_fits)
    metrics: Mapping[str, Estimate] = attrs.field(factory=Metrics, converter=as_metrics)
    scenario: str | None = None
    batch_size: int | None = attrs.field(default=None, validator=at_least(1, optional=True))
    precision: DType = attrs.field(converter=_as_dtype)
    devices: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    passed: bool | None = None
    validity: Validity | None = None
    note: str = ""
    labels: Mapping[str, Scalar] = attrs.field(factory=dict, converter=finite_values)
    bytemlperf: Mapping[str, Scalar] = attrs.field(factory=dict, converter=finite_values)
    files: tuple[str, ...] = attrs.field(default=(), converter=as_tuple, validator=_relative)
    sha256: Mapping[str, str] = attrs.field(factory=dict, converter=as_dict, validator=_digests)
    part: str = ""
    acceptance: tuple[Judgement, ...] = attrs.field(default=(), converter=as_tuple)

    @property
    def headline(self) -> bool:
        """Whether its figures stand for the kind: neither a vendor's own, nor of a pass beside the timed runs."""
        return not any(self.labels.get(label) is True for label in (VENDOR_REPORTED, PHASES))
