"""A report: everything that one job found, and all that is needed to believe it."""

from __future__ import annotations

import io
import math
import uuid
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.backends.compiled import CompileInfo
from bytemlperf.environment import Environment, NoiseCertificate
from bytemlperf.errors import SpecError
from bytemlperf.failure import Failure
from bytemlperf.metrics.estimate import Estimate, Metrics
from bytemlperf.report.facts import ArtifactFacts, BackendFacts, DatasetFacts, Part, ReportWarning, utc_text
from bytemlperf.report.lookup import FlatMetrics
from bytemlperf.report.rows import Row, RowKind, as_metrics
from bytemlperf.report.verdict import NotMeasured, Outcome, Verdict
from bytemlperf.scenarios import Seeds
from bytemlperf.spec.fields import as_dict, as_tuple, choice
from bytemlperf.workload import Job

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

    from bytemlperf.report.table import TableRow
    from bytemlperf.spec.reading import Json

SCHEMA_VERSION: Final = "1.0"
"""Version of the JSON that is written; `report/schema` has its history."""


class Status(StrEnum):
    """How far a job came."""

    COMPLETE = "complete"
    """All that was asked for was measured, or there is a stated reason why it cannot be."""
    PARTIAL = "partial"
    """Some rows are missing, because their steps failed."""
    FAILED = "failed"
    """There is no row at all."""
    CANCELLED = "cancelled"
    """The caller asked to stop; the rows that were finished stand."""


def _as_status(value: str | Status) -> Status:
    return choice(Status)(value)


def new_part_id() -> str:
    """Return a fresh id for a part of a run."""
    return uuid.uuid4().hex


def _distinct_keys(_: object, __: object, value: tuple[Row, ...]) -> None:
    keys = [row.key for row in value]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise SpecError("two rows have the same key", where="$.rows", got=twice)


def _known_parts(report: Report, _: object, value: tuple[Part, ...]) -> None:
    ids = {part.id for part in value}
    unknown = sorted({row.part for row in report.rows if row.part and row.part not in ids})
    if unknown:
        raise SpecError("a row names a part of the run that is not told", where="$.parts", got=unknown)


def _named_only(value: Mapping[str, CompileInfo]) -> Mapping[str, CompileInfo]:
    """Keep the name alone of each file that a compiler wrote: where it lay is nobody's business."""
    return {
        key: attrs.evolve(
            info,
            files=tuple(Path(file.name) if file.is_absolute() else file for file in info.files),
            optimizations={name: _finite(each) for name, each in info.optimizations.items()},
        )
        for key, info in as_dict(value).items()
    }


def _finite(value: str | float | bool) -> str | int | float | bool:  # noqa: FBT001 - a plain value of a vendor's
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _duration(_: object, __: object, value: float) -> None:
    if not 0 <= value < math.inf:
        raise SpecError("no duration", where="$.duration_s", got=value, expected="seconds")


@attrs.frozen(kw_only=True)
class Report:
    """What one job found.

    Attributes:
        schema_version: Version of the JSON form that it was made for or read from.
        job: What was asked for.
        status: How far it came.
        verdict: How it was judged.
        rows: What was measured, each with its figures.
        failures: Steps that failed.
        warnings: What does not stop a run and must be known.
        environment: Machine and software.
        artifact: Which model; None if it could not be had.
        dataset: Which data; None if there was none.
        backend: Which backend; None if it could not be loaded.
        compiles: What each compilation did, by the key of its row.
        seeds: Of every random stream.
        parts: Stretches of the run that rows come from.
        harness: What the harness itself costs, measured with a backend that does nothing.
        noise: How quiet the machine was before anything was timed; None where nothing was.
        not_measured: Checks without a figure, and why.
        started_utc: When it began, such as `2026-01-31T12:00:00Z`.
        duration_s: How long it took.
        extras: What a newer minor version wrote and this one does not know, by JSON pointer.
        folder: Where its files lie, if anywhere; not written.
    """

    schema_version: str = SCHEMA_VERSION
    job: Job
    status: Status = attrs.field(converter=_as_status)
    verdict: Verdict
    rows: tuple[Row, ...] = attrs.field(default=(), converter=as_tuple, validator=_distinct_keys)
    failures: tuple[Failure, ...] = attrs.field(default=(), converter=as_tuple)
    warnings: tuple[ReportWarning, ...] = attrs.field(default=(), converter=as_tuple)
    environment: Environment
    artifact: ArtifactFacts | None = None
    dataset: DatasetFacts | None = None
    backend: BackendFacts | None = None
    compiles: Mapping[str, CompileInfo] = attrs.field(factory=dict, converter=_named_only)
    seeds: Seeds = attrs.field(factory=Seeds)
    parts: tuple[Part, ...] = attrs.field(default=(), converter=as_tuple, validator=_known_parts)
    harness: Mapping[str, Estimate] = attrs.field(factory=Metrics, converter=as_metrics)
    noise: NoiseCertificate | None = None
    not_measured: tuple[NotMeasured, ...] = attrs.field(default=(), converter=as_tuple)
    started_utc: str = attrs.field(validator=utc_text)
    duration_s: float = attrs.field(validator=_duration)
    extras: Mapping[str, object] = attrs.field(factory=dict, converter=as_dict, repr=False)
    folder: Path | None = attrs.field(default=None, converter=attrs.converters.optional(Path), eq=False, repr=False)

    @property
    def ok(self) -> bool:
        """Whether all that was asked for was done and nothing failed; an undecided verdict is no failure."""
        return self.status is Status.COMPLETE and self.verdict.outcome is not Outcome.FAIL

    @property
    def metrics(self) -> FlatMetrics:
        """Every figure by name, such as `accuracy/top1`."""
        return FlatMetrics(self.rows)

    @property
    def digest(self) -> str:
        """sha256 over the canonical JSON of all of it but this digest."""
        digest = self.to_dict()["digest"]
        assert isinstance(digest, str)
        return digest

    def rows_of(self, kind: str | RowKind) -> tuple[Row, ...]:
        """Return the rows of one kind, by its name or as the member, in order.

        Raises:
            SpecError: If there is no such kind.
        """
        wanted = choice(RowKind)(kind)
        return tuple(row for row in self.rows if row.kind is wanted)

    def table(self) -> list[TableRow]:
        """Return one flat line for each figure, for a database; `TableRow` has the columns."""
        from bytemlperf.report.table import table_of

        return table_of(self)

    def raise_for_status(self) -> None:
        """Do nothing if `ok`; otherwise raise what went wrong.

        Raises:
            BenchmarkError: The leaf error of the first failure's code, CancelledError, or ResultError
                with the verdict's reasons.
        """
        from bytemlperf.report.raising import error_of

        error = error_of(self)
        if error is not None:
            raise error

    def save(self, folder: str | Path, *, markdown: bool = True, plots: bool = True) -> Path:
        """Write `report.json`, and what goes with it, into a folder, each file at once or not at all.

        Raw files of the rows are copied from where the report's own files lie.

        Args:
            folder: Made if it is not there. Files of an earlier report in it are replaced.
            markdown: Also write `report.md`.
            plots: Also draw `plots/*.png`, as far as there is data.

        Returns:
            The path of `report.json`.

        Raises:
            HarnessError: If a file cannot be written.
        """
        from bytemlperf.report.saving import save

        return save(self, Path(folder), markdown=markdown, plots=plots)

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> Report:
        """Read a report.

        Args:
            path: `report.json`, or its folder.
            verify: Refuse a file that was changed after it was written.

        Raises:
            SpecError: If it is no report, or one of a newer major version.
            ChecksumError: If its digest does not fit.
        """
        from bytemlperf.report.saving import load

        return load(Path(path), verify=verify)

    def changed_files(self) -> tuple[str, ...]:
        """Return the rows' raw files that are not there, or not as they were when their digest was taken."""
        from bytemlperf.report.saving import changed_files

        return changed_files(self)

    def to_dict(self) -> dict[str, Json]:
        """Return the JSON form, as `save` writes it."""
        from bytemlperf.report.reading import to_dict

        return to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, object], *, verify: bool = True) -> Report:
        """Read the JSON form.

        Args:
            data: What `to_dict` gave.
            verify: Refuse data that was changed since.

        Raises:
            SpecError: If it is no report, or one of a newer major version.
            ChecksumError: If its digest does not fit.
        """
        from bytemlperf.report.reading import from_dict

        return from_dict(data, verify=verify)

    def to_bytemlperf(self) -> dict[str, Json]:
        """Return ByteMLPerf's own report: its keys exactly, its figures by its own formulas."""
        from bytemlperf.report.bytemlperf import to_bytemlperf

        return to_bytemlperf(self)

    def to_mlperf(self, folder: str | Path, *, trace: bool = False) -> tuple[Path, ...]:
        """Write MLPerf LoadGen's own files for each row of SingleStream, MultiStream, Server or Offline.

        They are `mlperf_log_detail.txt`, `mlperf_log_summary.txt` and `mlperf_log_accuracy.json` in
        `<row>/performance/run_1`. What LoadGen tells and this package does not know is left out:
        `bytemlperf.report.mlperf.LEFT_OUT`.

        Args:
            folder: Made if it is not there.
            trace: Also write LoadGen's `mlperf_log_trace.json`, about 300 bytes a sample.

        Returns:
            Paths of the detail logs.

        Raises:
            SpecError: If there is no such row, or no raw stamps beside the report.
            HarnessError: If a file cannot be written.
        """
        from bytemlperf.report.mlperf.rows import export

        return export(self, Path(folder), trace=trace)

    def __str__(self) -> str:
        """Write a readable summary, 80 columns wide, without colours."""
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=80, color_system=None, force_terminal=False, legacy_windows=False).print(self)
        return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Give rich the sections of the summary."""
        from bytemlperf.report.text import sections

        yield from sections(self, width=options.max_width)

    def _repr_html_(self) -> str:
        """Show tables and plots in a notebook."""
        from bytemlperf.report.html import to_html

        return to_html(self)
