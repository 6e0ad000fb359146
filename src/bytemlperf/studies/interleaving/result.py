"""What two backends in turn say."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.environment import NoiseCertificate
from bytemlperf.errors import SpecError
from bytemlperf.report import Decision
from bytemlperf.spec import from_json, to_json
from bytemlperf.spec.fields import as_tuple, choice
from bytemlperf.studies.interleaving.blocks import Block

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

    from bytemlperf.spec.reading import Json

SCHEMA_VERSION: Final = "1.0"
"""Version of the JSON. 1.0: the first."""


def _as_decision(value: str | Decision) -> Decision:
    return choice(Decision)(value)


@attrs.frozen(kw_only=True)
class Contender:
    """One of the two sides.

    Attributes:
        backend: What runs it.
        version: What the backend says of itself.
        precision: That was used.
        isolation: Whether it had a process of its own.
        time_ns: Geometric mean over its measurements.
    """

    backend: str
    version: str
    precision: str
    isolation: str
    time_ns: float


@attrs.frozen(kw_only=True)
class Interleaving:
    """Which of two backends is faster at the same work, measured in turn.

    Attributes:
        schema_version: Version of the JSON form.
        task: Which model.
        batch_size: Samples in a query.
        figure: Of the latencies of a stretch of queries: `mean` or a percentile.
        queries: In each stretch.
        a: The base.
        b: The candidate.
        speed: How many times as fast b is as a.
        low: Lower end of its interval; None where the data do not bound it.
        high: Upper end.
        level: Confidence of interval and decision.
        equivalence: Share within which a difference counts as none.
        decision: What is shown of b.
        p_difference: Against "there is no difference".
        p_equivalence: Against "the difference is at least `equivalence`".
        equal_outputs: Whether both give the same outputs for the same inputs; None where nothing can be said.
        outputs: How that was found.
        units: Observations behind the decision.
        about: What they are, and so what the decision is about.
        blocks: Every block, in order of time.
        noise: How quiet the machine was before.
        warnings: What a reader must know.
        started_utc: When it began.
        duration_s: How long it took.
    """

    schema_version: str = SCHEMA_VERSION
    task: str
    batch_size: int
    figure: str
    queries: int
    a: Contender
    b: Contender
    speed: float
    low: float | None
    high: float | None
    level: float
    equivalence: float
    decision: Decision = attrs.field(converter=_as_decision)
    p_difference: float
    p_equivalence: float
    equal_outputs: bool | None
    outputs: str
    units: int
    about: str
    blocks: tuple[Block, ...] = attrs.field(converter=as_tuple)
    noise: NoiseCertificate | None = None
    warnings: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    started_utc: str = ""
    duration_s: float = 0.0

    @property
    def percent(self) -> float:
        """By how many percent more queries a second b works through than a; negative where it is fewer."""
        return 100 * (self.speed - 1)

    def exit_code(self) -> int:
        """Return what a command should end with: 1 if b is slower or its outputs differ, otherwise 0."""
        return int(self.decision is Decision.SLOWER or self.equal_outputs is False)

    def to_dict(self) -> dict[str, Json]:
        """Return the JSON form; `from_dict` reads it back."""
        data = to_json(self)
        assert isinstance(data, dict)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Interleaving:
        """Read the JSON form.

        Raises:
            SpecError: If it is none of this version.
        """
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise SpecError(
                "no interleaving of this version", where="$.schema_version", got=version, expected=SCHEMA_VERSION
            )
        return from_json(cls, dict(data))

    def to_markdown(self) -> str:
        """Write the decision and what it rests on."""
        from bytemlperf.studies.interleaving.showing import to_markdown

        return to_markdown(self)

    def __str__(self) -> str:
        """Write a readable summary, 80 columns wide, without colours."""
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=80, color_system=None, force_terminal=False, legacy_windows=False).print(self)
        return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Give rich the sections."""
        from bytemlperf.studies.interleaving.showing import sections

        yield from sections(self)

    def _repr_markdown_(self) -> str:
        """Show it in a notebook."""
        return self.to_markdown()
