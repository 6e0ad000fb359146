"""What a search for the limit of a load says."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.environment import NoiseCertificate
from bytemlperf.errors import SpecError
from bytemlperf.spec import from_json, to_json
from bytemlperf.spec.fields import as_tuple
from bytemlperf.studies.limit.search import Point, Target

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

    from bytemlperf.spec.reading import Json

SCHEMA_VERSION: Final = "1.0"
"""Version of a limit's JSON. 1.0: the first."""


@attrs.frozen(kw_only=True)
class Limit:
    """The highest rate at which a bound of latency is kept, and the curve that led to it.

    Attributes:
        schema_version: Version of the JSON form.
        task: Which model.
        backend: On what.
        batch_size: Samples in a query.
        target: What was looked for.
        rate_qps: Highest rate that is shown to keep the bound; None if none is.
        broken_qps: Lowest rate that is shown not to; None if none is.
        capacity_qps: Queries a second of a closed loop, where the search began.
        knee_qps: Rate beyond which more load costs more latency than it gives throughput (the greatest rate over mean
            latency); None where the curve does not show it.
        points: Every rate that was tried, in ascending order.
        consistent: Whether no rate that holds lies above one that does not; else the machine changed meanwhile.
        ended: Why the search ended.
        noise: How quiet the machine was before.
        warnings: What a reader must know.
        started_utc: When it began.
        duration_s: How long it took.
    """

    schema_version: str = SCHEMA_VERSION
    task: str
    backend: str
    batch_size: int = 1
    target: Target
    rate_qps: float | None
    broken_qps: float | None
    capacity_qps: float
    knee_qps: float | None = None
    points: tuple[Point, ...] = attrs.field(converter=as_tuple)
    consistent: bool = True
    ended: str
    noise: NoiseCertificate | None = None
    warnings: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    started_utc: str = ""
    duration_s: float = 0.0

    @property
    def found(self) -> bool:
        """Whether a rate is shown to keep the bound, and nothing contradicts it."""
        return self.rate_qps is not None and self.consistent

    def to_dict(self) -> dict[str, Json]:
        """Return the JSON form; `from_dict` reads it back."""
        data = to_json(self)
        assert isinstance(data, dict)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Limit:
        """Read the JSON form.

        Raises:
            SpecError: If it is none of this version.
        """
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise SpecError("no limit of this version", where="$.schema_version", got=version, expected=SCHEMA_VERSION)
        return from_json(cls, dict(data))

    def to_markdown(self) -> str:
        """Write the result and every rate that was tried."""
        from bytemlperf.studies.limit.showing import to_markdown

        return to_markdown(self)

    def save(self, folder: str | Path) -> Path:
        """Write `limit.json`, `limit.md` and the curve as `limit.png` into a folder; return the first.

        Raises:
            HarnessError: If a file cannot be written.
        """
        from bytemlperf.studies.limit.showing import save

        return save(self, Path(folder))

    def __str__(self) -> str:
        """Write a readable table, 80 columns wide, without colours."""
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=80, color_system=None, force_terminal=False, legacy_windows=False).print(self)
        return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Give rich the sections."""
        from bytemlperf.studies.limit.showing import sections

        yield from sections(self)

    def _repr_markdown_(self) -> str:
        """Show the table in a notebook."""
        return self.to_markdown()
