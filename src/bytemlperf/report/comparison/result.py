"""What a comparison of two reports says: a decision for each figure, and what it rests on."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.spec import from_json, to_json
from bytemlperf.spec.fields import as_tuple, choice

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

    from bytemlperf.spec.reading import Json

SCHEMA_VERSION: Final = "1.0"
"""Version of a comparison's JSON. 1.0: the first."""


class Decision(StrEnum):
    """What can be said of a figure of b against the same of a, at the comparison's confidence."""

    FASTER = "faster"
    """b is better in time or rate."""
    SLOWER = "slower"
    """b is worse in time or rate."""
    BETTER = "better"
    """b is better in any other figure."""
    WORSE = "worse"
    """b is worse in any other figure."""
    EQUIVALENT = "equivalent"
    """The difference is shown to be smaller than the margin, whether there is one or not."""
    UNDECIDED = "undecided"
    """Neither a difference nor equivalence is shown: there are too few data, or too uneven ones."""


class Basis(StrEnum):
    """What varies, and so what a decision may be generalised to."""

    PROCESSES = "processes"
    """Independent processes: the decision is about the machine."""
    QUERIES = "queries"
    """Queries of one process on each side, from raw stamps: the decision is about these two runs."""
    INTERVALS = "intervals"
    """Only the intervals kept in the reports: the decision is as good as they are."""
    PAIRED_SAMPLES = "paired samples"
    """The same samples of a data set, one by one."""
    SAMPLES = "samples"
    """Samples of a data set, each side for itself."""
    NOTHING = "nothing"
    """One value on each side: it is shown, and nothing is decided."""


class Aspect(StrEnum):
    """In what two reports may differ besides their figures; those in `REFUSED` stop a comparison unless allowed."""

    ARTIFACT = "artifact"
    WEIGHTS = "weights"
    DATASET = "dataset"
    PRECISION = "precision"
    SCENARIO = "scenario"
    ENVIRONMENT = "environment"
    BACKEND = "backend"
    OPTIONS = "options"
    ISOLATION = "isolation"
    SOFTWARE = "software"
    SETTINGS = "settings"
    SEEDS = "seeds"
    VERDICT = "verdict"
    ROWS = "rows"
    RAW = "raw"
    PROCESSES = "processes"
    WARNINGS = "warnings"
    SAME = "same"


REFUSED: Final = frozenset(
    {Aspect.ARTIFACT, Aspect.WEIGHTS, Aspect.DATASET, Aspect.PRECISION, Aspect.SCENARIO, Aspect.ENVIRONMENT}
)
"""Where these differ, a difference of figures says nothing of what was changed."""


def as_aspect(value: str | Aspect) -> Aspect:
    """Take text for an aspect.

    Raises:
        SpecError: If it is none.
    """
    return choice(Aspect)(value)


def _as_decision(value: str | Decision | None) -> Decision | None:
    return None if value is None else choice(Decision)(value)


def _as_basis(value: str | Basis) -> Basis:
    return choice(Basis)(value)


@attrs.frozen(kw_only=True)
class Mismatch:
    """In what the reports differ, or what weakens the comparison.

    Attributes:
        aspect: In what.
        text: How, for a person.
        allowed: Whether it would have been refused, had the caller not allowed it.
    """

    aspect: Aspect = attrs.field(converter=as_aspect)
    text: str
    allowed: bool = False


@attrs.frozen(kw_only=True)
class Side:
    """One of the two reports.

    Attributes:
        name: What the caller calls it: a folder's name, or `a` and `b`.
        task: The model's name.
        backend: The backend's name.
        backend_version: As the backend tells it.
        started_utc: When it began.
        job_key: Of its job.
        digest: Of the report.
    """

    name: str
    task: str
    backend: str
    backend_version: str = "unknown"
    started_utc: str
    job_key: str
    digest: str


@attrs.frozen(kw_only=True)
class FigureComparison:
    """One figure of b against the same of a.

    Attributes:
        row: Key of the row, a's where they differ by an allowed aspect.
        figure: Its name in the row, such as `latency/p99`.
        unit: Of the two values.
        a: a's value.
        b: b's value.
        ratio: Whether `change` is b / a (times and rates; of the geometric means where there are several processes),
            or b - a in the figure's unit (shares).
        change: The estimate.
        low: Lower end of its interval at `level`, for itself and without correction; None where the data give none.
        high: Upper end.
        level: Confidence of the interval.
        margin: Changes within it count as equivalent: for a ratio 1 / (1 + margin) to 1 + margin, else +- margin.
        p_difference: Two-sided p-value against "there is no change"; None where nothing can be tested.
        p_equivalence: p-value against "the change is the margin or more" (two one-sided tests).
        adjusted_difference: `p_difference` after Holm's correction over the comparison.
        adjusted_equivalence: `p_equivalence` after the same.
        decision: What follows; None where a value is only shown.
        basis: What varies.
        n_a: Observations of that kind behind a.
        n_b: Observations of that kind behind b.
        method: How change, interval and p-values are made, with the source.
        note: What a reader must know.
    """

    row: str
    figure: str
    unit: str
    a: float
    b: float
    ratio: bool
    change: float
    low: float | None = None
    high: float | None = None
    level: float
    margin: float
    p_difference: float | None = None
    p_equivalence: float | None = None
    adjusted_difference: float | None = None
    adjusted_equivalence: float | None = None
    decision: Decision | None = attrs.field(default=None, converter=_as_decision)
    basis: Basis = attrs.field(converter=_as_basis)
    n_a: int = 0
    n_b: int = 0
    method: str = ""
    note: str = ""

    @property
    def is_worse(self) -> bool:
        """Whether b is shown to be slower or worse."""
        return self.decision in {Decision.SLOWER, Decision.WORSE}


@attrs.frozen(kw_only=True)
class Comparison:
    """How b compares with a.

    Attributes:
        schema_version: Of the JSON form.
        a: What is compared with: the base.
        b: What is compared: the candidate.
        level: Confidence of the intervals, and of all decisions together.
        equivalence: Share by which a time or rate may change and still count as equivalent.
        accuracy_equivalence: The same for a share, as a difference.
        correction: How many tests are treated together, and how.
        figures: Row by row, in a's order.
        warnings: In what the reports differ otherwise, and what weakens the comparison.
        unmatched: Rows that only one of them has, as `a: <key>` and `b: <key>`.
    """

    schema_version: str = SCHEMA_VERSION
    a: Side
    b: Side
    level: float
    equivalence: float
    accuracy_equivalence: float
    correction: str
    figures: tuple[FigureComparison, ...] = attrs.field(default=(), converter=as_tuple)
    warnings: tuple[Mismatch, ...] = attrs.field(default=(), converter=as_tuple)
    unmatched: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)

    @property
    def worse(self) -> tuple[FigureComparison, ...]:
        """Figures in which b is shown to be slower or worse."""
        return tuple(each for each in self.figures if each.is_worse)

    @property
    def undecided(self) -> tuple[FigureComparison, ...]:
        """Figures of which nothing could be shown."""
        return tuple(each for each in self.figures if each.decision is Decision.UNDECIDED)

    @property
    def lost(self) -> tuple[str, ...]:
        """Keys of rows that a has and b has not."""
        return tuple(each.removeprefix("a: ") for each in self.unmatched if each.startswith("a: "))

    def exit_code(self, *, strict: bool = False) -> int:
        """Return what a command should end with.

        Args:
            strict: Whether a figure that is undecided, or a row that b lacks, is told too.

        Returns:
            1 if a figure is slower or worse; 3 if `strict` and something is left open; otherwise 0.
        """
        if self.worse:
            return 1
        return 3 if strict and (self.undecided or self.lost) else 0

    def find(self, figure: str, *, row: str | None = None) -> FigureComparison:
        """Return a figure's comparison.

        Args:
            figure: Its name in a row.
            row: The row's key; may be left out if one row only has the figure.

        Raises:
            KeyError: If there is none, or several rows have it.
        """
        found = [each for each in self.figures if each.figure == figure and row in {None, each.row}]
        if len(found) != 1:
            places = ", ".join(each.row for each in found) or f"none; there are {', '.join(self._names())}"
            raise KeyError(f"{figure!r} is in {places}")
        return found[0]

    def _names(self) -> Iterator[str]:
        yield from dict.fromkeys(each.figure for each in self.figures)

    def to_dict(self) -> dict[str, Json]:
        """Return the JSON form; `from_dict` reads it back."""
        data = to_json(self)
        assert isinstance(data, dict)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Comparison:
        """Read the JSON form.

        Raises:
            SpecError: If it is no comparison of this version.
        """
        version = data.get("schema_version") if isinstance(data, Mapping) else None
        if version != SCHEMA_VERSION:
            raise SpecError(
                "no comparison of this version", where="$.schema_version", got=version, expected=SCHEMA_VERSION
            )
        return from_json(cls, dict(data))

    def to_markdown(self) -> str:
        """Write every figure with its interval and decision."""
        from bytemlperf.report.comparison.markdown import to_markdown

        return to_markdown(self)

    def to_junit(self, *, strict: bool = False) -> str:
        """Write JUnit's XML: a case for each decided figure, which fails where b is slower or worse.

        Args:
            strict: Whether an undecided figure, or a row that b lacks, fails too; else it is skipped.
        """
        from bytemlperf.report.comparison.junit import to_junit

        return to_junit(self, strict=strict)

    def __str__(self) -> str:
        """Write a readable table, 80 columns wide, without colours."""
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=80, color_system=None, force_terminal=False, legacy_windows=False).print(self)
        return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Give rich the sections."""
        from bytemlperf.report.comparison.text import sections

        yield from sections(self)

    def _repr_markdown_(self) -> str:
        """Show tables in a notebook."""
        return self.to_markdown()
