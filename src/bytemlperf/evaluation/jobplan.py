"""What a job would give, as data: rows, time, disk, and what may be claimed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from bytemlperf.report import RowKind
from bytemlperf.spec import to_json
from bytemlperf.spec.fields import as_float, as_tuple, choice, positive, share
from bytemlperf.statistics import Claim
from bytemlperf.workload import Job

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

    from bytemlperf.spec.reading import Json


@attrs.frozen(kw_only=True)
class Wish:
    """What a caller wants to be able to say.

    Attributes:
        expected_latency_ms: About how long a query takes, where there is no pilot.
        minutes: How long each timed row may take; None for no such question.
        width: Interval over percentile.
        difference: Share by which another run may be slower and is to be told apart.
        level: Confidence.
    """

    expected_latency_ms: float | None = attrs.field(default=None, converter=as_float, validator=positive(optional=True))
    minutes: float | None = attrs.field(default=None, converter=as_float, validator=positive(optional=True))
    width: float = attrs.field(default=0.05, converter=as_float, validator=positive())
    difference: float = attrs.field(default=0.05, converter=as_float, validator=positive())
    level: float = attrs.field(default=0.95, converter=as_float, validator=share())


@attrs.frozen(kw_only=True)
class Needed:
    """What one percentile of a row takes; None where a pilot of this size cannot tell.

    Attributes:
        p: The percentile as a share; None for the mean.
        width: Interval over percentile that is wanted.
        for_width: Queries for it.
        difference: Share by which another run is slower.
        for_difference: Queries on each side that tell it apart.
    """

    p: float | None
    width: float
    for_width: int | None
    difference: float
    for_difference: int | None


def _as_kind(value: str | RowKind) -> RowKind:
    return choice(RowKind)(value)


@attrs.frozen(kw_only=True)
class PlannedRow:
    """A row to come.

    Attributes:
        key: Its key in the report.
        kind: What it is of.
        queries: How many are asked in each process; None where it has none, or a stop rule and the latency decide.
        seconds: How long it takes, in all processes together; None where not known.
        disk_bytes: What it leaves in the folder of the report, where there is one.
        claims: Of percentiles of latency, as far as the queries are known.
        within: What the minutes that were given would allow instead.
        needed: What the wishes take; only with a pilot.
    """

    key: str
    kind: RowKind = attrs.field(converter=_as_kind)
    queries: int | None = None
    seconds: float | None = None
    disk_bytes: int = 0
    claims: tuple[Claim, ...] = attrs.field(default=(), converter=as_tuple)
    within: tuple[Claim, ...] = attrs.field(default=(), converter=as_tuple)
    needed: tuple[Needed, ...] = attrs.field(default=(), converter=as_tuple)


@attrs.frozen(kw_only=True)
class JobPlan:
    """What a job would give.

    Attributes:
        job: What was asked for.
        wish: What the caller wants to be able to say.
        rows: To come, in the order of the report.
        overhead_s: Everything but the timed rows: starting, compiling, checking; None where not known.
        disk_bytes: What the report's folder would hold.
        pilot_s: What the pilot took; None without one.
        notes: What the plan rests on, and what a pilot found wrong.
    """

    job: Job
    wish: Wish
    rows: tuple[PlannedRow, ...] = attrs.field(converter=as_tuple)
    overhead_s: float | None = None
    disk_bytes: int = 0
    pilot_s: float | None = None
    notes: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)

    @property
    def minutes(self) -> float | None:
        """How long the whole job takes; None where not known."""
        parts = [self.overhead_s, *(row.seconds for row in self.rows)]
        known = [each for each in parts if each is not None]
        return sum(known) / 60 if len(known) == len(parts) else None

    def to_dict(self) -> dict[str, Json]:
        """Return the JSON form."""
        data = to_json(self)
        assert isinstance(data, dict)
        return {**data, "minutes": self.minutes}

    def __str__(self) -> str:
        """Write a readable table, 80 columns wide, without colours."""
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=80, color_system=None, force_terminal=False, legacy_windows=False).print(self)
        return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Give rich the sections."""
        from bytemlperf.evaluation.plantext import sections

        yield from sections(self)
