"""What an audit finds: a reason for each figure that cannot be true, or cannot be believed."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.spec import to_json
from bytemlperf.spec.fields import as_tuple, choice

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

    from bytemlperf.spec.reading import Json

SCHEMA_VERSION: Final = "1.0"
"""Version of an audit's JSON. 1.0: the first."""


class Severity(StrEnum):
    """How much a finding says against a figure."""

    ERROR = "error"
    """It contradicts itself, or what is stated beside it."""
    WARNING = "warning"
    """It cannot be believed without something that is not told."""
    NOTE = "note"
    """It is right, and means less than it seems to."""


class FindingKind(StrEnum):
    """Everything that an audit looks for. Kinds are only ever added."""

    UNREADABLE = "unreadable"
    """The file is no report."""
    CHANGED = "changed"
    """The report, or raw data beside it, is not as it was written."""
    MISSING_FIELD = "missing_field"
    """A field that the format has is not there."""
    RENAMED_FIELD = "renamed_field"
    """A field is there under another name."""
    NO_NUMBER = "no_number"
    """A figure is no number, not finite, or not above 0."""
    DUPLICATE = "duplicate"
    """Two rows are of the same batch size."""
    UNITS = "units"
    """A figure is not of the size that its unit allows."""
    LITTLES_LAW = "littles_law"
    """More queries were in flight than the stated clients, instances or devices take."""
    CONCURRENCY_UNSTATED = "concurrency_unstated"
    """Several queries were in flight, and nothing is stated."""
    INCONSISTENT_THROUGHPUT = "inconsistent_throughput"
    """Throughput and latency do not fit: time is lost, or they are of different runs."""
    DERIVED_THROUGHPUT = "derived_throughput"
    """Throughput and latency are one measurement, one computed from the other."""
    PERCENTILE_ORDER = "percentile_order"
    """A higher percentile is below a lower one, or below the mean."""
    NO_SPREAD = "no_spread"
    """A high percentile equals the mean to the last digit that is told."""
    SAMPLES_UNKNOWN = "samples_unknown"
    """A percentile is told without the number of queries behind it."""
    TOO_FEW_SAMPLES = "too_few_samples"
    """A percentile rests on fewer queries than bound it at 99 %."""
    PERCENTILE_IS_MAXIMUM = "percentile_is_maximum"
    """By its rule, a percentile of so few queries is the slowest of them."""
    ROUNDED_AWAY = "rounded_away"
    """Rounding, or the clock's step, is a large part of the figure."""
    COVERAGE_LITERAL = "coverage_literal"
    """Full coverage is stated, and no placement of operators tells it."""
    DEVICE_COUNT = "device_count"
    """The number of devices cannot be, or is not what the row names."""
    PRECISION_MISMATCH = "precision_mismatch"
    """A name tells another precision than what was compiled."""
    NAME_MISMATCH = "name_mismatch"
    """The folder tells another model or backend than the file."""
    NOTHING_COMPILED = "nothing_compiled"
    """The compilation took no time: it happens later, or an old result was taken."""
    NO_ACCURACY = "no_accuracy"
    """Speed is told without accuracy."""
    NUMERIC_ORDER = "numeric_order"
    """Differences contradict each other: a mean above its maximum."""
    NO_INTERVAL = "no_interval"
    """A figure is told without an interval."""
    INTERVAL = "interval"
    """A figure lies outside its own interval."""
    COUNTS = "counts"
    """The queries do not add up, or some were lost."""
    VALIDITY = "validity"
    """A run is called valid, or not, against the facts that are told with it."""
    PLAN_DISAGREES = "plan_disagrees"
    """What was loaded or asked for is not what the seeds give."""
    LOGGED_ERROR = "logged_error"
    """The run's own log tells of an error."""
    STAMPS_DISAGREE = "stamps_disagree"
    """A figure is not what the raw stamps beside the report give."""


def _as_kind(value: str | FindingKind) -> FindingKind:
    return choice(FindingKind)(value)


def _as_severity(value: str | Severity) -> Severity:
    return choice(Severity)(value)


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that is wrong, or missing, at one place.

    Attributes:
        file: Of which file or report.
        row: Of which row; empty for the whole report.
        kind: What was looked for.
        severity: How much it says against the figure.
        reason: What was found and what it means, with the numbers, for a person.
    """

    file: str
    row: str = ""
    kind: FindingKind = attrs.field(converter=_as_kind)
    severity: Severity = attrs.field(converter=_as_severity)
    reason: str


@attrs.frozen(kw_only=True)
class Place:
    """Where findings are made.

    Attributes:
        file: Of which file or report.
        row: Of which row; empty for the whole report.
    """

    file: str
    row: str = ""

    def error(self, kind: FindingKind, reason: str) -> Finding:
        """Return a finding that contradicts a figure."""
        return Finding(file=self.file, row=self.row, kind=kind, severity=Severity.ERROR, reason=reason)

    def warning(self, kind: FindingKind, reason: str) -> Finding:
        """Return a finding of something that is not told."""
        return Finding(file=self.file, row=self.row, kind=kind, severity=Severity.WARNING, reason=reason)

    def note(self, kind: FindingKind, reason: str) -> Finding:
        """Return a finding of something that a reader must know."""
        return Finding(file=self.file, row=self.row, kind=kind, severity=Severity.NOTE, reason=reason)


@attrs.frozen(kw_only=True)
class Audit:
    """All findings over one or more reports.

    Attributes:
        schema_version: Of the JSON form.
        files: What was looked at.
        rows: How many rows of figures that were.
        findings: In order of file and row.
    """

    schema_version: str = SCHEMA_VERSION
    files: tuple[str, ...] = attrs.field(converter=as_tuple)
    rows: int = 0
    findings: tuple[Finding, ...] = attrs.field(default=(), converter=as_tuple)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that contradict a figure."""
        return tuple(each for each in self.findings if each.severity is Severity.ERROR)

    @property
    def counts(self) -> Mapping[FindingKind, int]:
        """How often each kind was found, most often first."""
        return dict(Counter(each.kind for each in self.findings).most_common())

    def exit_code(self, *, strict: bool = False) -> int:
        """Return what a command should end with.

        Args:
            strict: Whether warnings count too.

        Returns:
            1 if there is an error (with `strict`, or a warning); otherwise 0.
        """
        telling = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
        return int(any(each.severity in telling for each in self.findings))

    def to_dict(self) -> dict[str, Json]:
        """Return the JSON form."""
        data = to_json(self)
        assert isinstance(data, dict)
        return data

    def to_markdown(self) -> str:
        """Write counts and findings as tables."""
        from bytemlperf.report.auditing.showing import to_markdown

        return to_markdown(self)

    def __str__(self) -> str:
        """Write a readable text, 80 columns wide, without colours."""
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=80, color_system=None, force_terminal=False, legacy_windows=False).print(self)
        return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Give rich the sections."""
        from bytemlperf.report.auditing.showing import sections

        yield from sections(self)

    def _repr_markdown_(self) -> str:
        """Show tables in a notebook."""
        return self.to_markdown()
