"""Which row of one report belongs to which of another, and the raw data beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.metrics import performance
from bytemlperf.report.comparison.result import Aspect, Mismatch
from bytemlperf.report.files import KeptSamples, read_samples, read_trace, sha256_of
from bytemlperf.report.rows import Row
from bytemlperf.spec import DType

if TYPE_CHECKING:
    from bytemlperf.metrics import Estimate, Metrics
    from bytemlperf.report.report import Report
    from bytemlperf.trace import Trace

_PRECISIONS: Final = frozenset(dtype.short for dtype in DType)


@attrs.define(kw_only=True, slots=False)
class Measured:
    """A row with its raw data, read when asked for.

    Attributes:
        row: What the report tells.
        folder: Where its files lie; None for a report that is only in memory.
        problems: Why raw data could not be used.
    """

    row: Row
    folder: Path | None
    problems: list[str] = attrs.field(factory=list)

    @cached_property
    def traces(self) -> tuple[Trace, ...]:
        """Raw stamps, one for each process; empty unless all are there and as they were written."""
        files = [self._file(name) for name in self.row.files if name.startswith("traces/")]
        try:
            return () if None in files else tuple(read_trace(file) for file in files if file is not None)
        except SpecError as error:
            self.problems.append(str(error))
            return ()

    @cached_property
    def samples(self) -> KeptSamples | None:
        """What units brought to figures; None where that was not kept."""
        files = [self._file(name) for name in self.row.files if name.startswith("samples/")]
        if len(files) != 1 or files[0] is None:
            return None
        try:
            return read_samples(files[0])
        except SpecError as error:
            self.problems.append(str(error))
            return None

    @cached_property
    def by_process(self) -> tuple[Metrics, ...]:
        """The figures of each process, from its raw stamps."""
        return tuple(performance(trace) for trace in self.traces)

    @property
    def processes(self) -> int:
        """How many processes were measured, from the stamps or else as the row tells."""
        told = self.row.labels.get("processes")
        return len(self.traces) or (told if isinstance(told, int) and told > 0 else 1)

    def _file(self, name: str) -> Path | None:
        if self.folder is None or not (self.folder / name).is_file():
            return None
        path = self.folder / name
        if self.row.sha256.get(name) not in {None, sha256_of(path)}:
            self.problems.append(f"{name} was changed after the report was written")
            return None
        return path


@attrs.frozen(kw_only=True)
class Pair:
    """The same row of both reports."""

    a: Measured
    b: Measured

    def estimates(self) -> Iterator[tuple[str, Estimate, Estimate]]:
        """Go through the figures that both have a value of, in one unit."""
        for name, of_a in self.a.row.metrics.items():
            of_b = self.b.row.metrics.get(name)
            if of_b is not None and of_a.value is not None and of_b.value is not None and of_a.unit == of_b.unit:
                yield name, of_a, of_b


@attrs.frozen(kw_only=True)
class Matching:
    """Pairs of rows, and rows without a partner."""

    pairs: tuple[Pair, ...]
    unmatched: tuple[str, ...]


def match(a: Report, b: Report, *, allow: frozenset[Aspect]) -> Matching:
    """Pair rows by key; a part of the key that is allowed to differ is left out if the rest tells rows apart.

    Raises:
        SpecError: If there is not one pair.
    """
    keys = [_keys(each.rows, allow=allow) for each in (a, b)]
    common = [key for key in keys[0] if key in keys[1]]
    if not common:
        raise SpecError(
            "the reports have no row in common",
            got=[row.key for row in b.rows],
            expected=", ".join(row.key for row in a.rows) or "a report with rows",
        )
    pairs = tuple(
        Pair(a=Measured(row=keys[0][key], folder=a.folder), b=Measured(row=keys[1][key], folder=b.folder))
        for key in common
    )
    paired = [{pair.a.row.key for pair in pairs}, {pair.b.row.key for pair in pairs}]
    lost = (
        f"{name}: {row.key}"
        for name, report, known in (("a", a, paired[0]), ("b", b, paired[1]))
        for row in report.rows
        if row.key not in known
    )
    return Matching(pairs=pairs, unmatched=tuple(lost))


def _keys(rows: Sequence[Row], *, allow: frozenset[Aspect]) -> dict[str, Row]:
    short = [_shortened(row, allow) for row in rows]
    return {key if short.count(key) == 1 else row.key: row for key, row in zip(short, rows, strict=True)}


def _shortened(row: Row, allow: frozenset[Aspect]) -> str:
    key = row.key
    if Aspect.SCENARIO in allow and row.scenario:
        key = key.replace(f"/{row.scenario}/", "/")
    if Aspect.PRECISION in allow:
        key = "/".join(part for part in key.split("/") if part not in _PRECISIONS)
    if Aspect.ENVIRONMENT in allow:
        key = "/".join(part for part in key.split("/") if not part.startswith("devices="))
    return key


def row_mismatches(pairs: Sequence[Pair]) -> Iterator[Mismatch]:
    """Tell what weakens the comparison of rows: lost queries, changed files."""
    for pair in pairs:
        for name, each in (("a", pair.a), ("b", pair.b)):
            for problem in each.problems:
                yield Mismatch(aspect=Aspect.RAW, text=f"{name}: {problem}; the intervals of the report are used")
            if each.row.note and each.row.metrics.get("queries/planned"):
                yield Mismatch(aspect=Aspect.ROWS, text=f"{name}: {each.row.key}: {each.row.note}")
