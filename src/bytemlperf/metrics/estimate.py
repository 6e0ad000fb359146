"""A figure with its uncertainty and its definition."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.spec.fields import as_dict

if TYPE_CHECKING:
    from bytemlperf.statistics import Interval


def _plain(value: float | None) -> float | None:
    """Take numpy's scalars for Python's own numbers, which JSON can hold."""
    item = getattr(value, "item", None)
    number: float | None = value if item is None else item()
    return number


def _finite(_: Estimate, attribute: attrs.Attribute[float | None], value: float | None) -> None:
    if value is not None and not math.isfinite(value):
        raise SpecError(
            "a figure is not finite",
            where=f"$.{attribute.name}",
            got=value,
            expected="a finite number, or None with a note that says why",
        )


@attrs.frozen(kw_only=True)
class Estimate:
    """A measured figure: nothing is reported without what it means and how far to trust it.

    Attributes:
        value: The figure, never rounded; None where it could not be had, and `note` says why.
        unit: Its unit (`ns`, `samples/s`, `1`); empty where it is not known.
        low: Lower end of the interval; None where none can be given.
        high: Upper end of the interval; None where none can be given.
        level: Confidence of the interval, 0 to 1.
        n: Observations behind it.
        definition: How it is computed, in words and formula.
        note: What a reader must know ("too few samples for this percentile").

    Raises:
        SpecError: If value, low or high is NaN or infinite.
    """

    value: float | None = attrs.field(converter=_plain, validator=_finite)
    unit: str
    low: float | None = attrs.field(default=None, converter=_plain, validator=_finite)
    high: float | None = attrs.field(default=None, converter=_plain, validator=_finite)
    level: float = 0.95
    n: int = 0
    definition: str = ""
    note: str = ""

    def within(self, interval: Interval) -> Estimate:
        """Return this estimate with an interval; a side that the data cannot bound is left out."""
        low, high = (end if math.isfinite(end) else None for end in (interval.low, interval.high))
        return attrs.evolve(self, low=low, high=high, level=interval.level)

    def noted(self, *notes: str) -> Estimate:
        """Return this estimate with further notes; empty ones and ones that it has are left out."""
        return attrs.evolve(self, note=joined(self.note, *notes))

    def __str__(self) -> str:
        """Write value and interval: `0.981 [0.960, 0.992], n = 360`."""
        if self.value is None:
            return self.note or "not known"
        interval = f" [{self.low:.6g}, {self.high:.6g}]" if self.low is not None and self.high is not None else ""
        unit = "" if self.unit in {"", "1"} else f" {self.unit}"
        return f"{self.value:.6g}{interval}{unit}, n = {self.n}"


def joined(*notes: str) -> str:
    """Write notes in a row, each once.

    Example:
        >>> joined("", "one process", "2 failed", "one process")
        'one process; 2 failed'
    """
    return "; ".join(dict.fromkeys(note for note in notes if note))


@attrs.frozen
class Metrics(Mapping[str, Estimate]):
    """The estimates of one row, by name such as `latency/p99`."""

    estimates: Mapping[str, Estimate] = attrs.field(factory=dict, converter=as_dict)

    def __getitem__(self, name: str) -> Estimate:
        """Return an estimate; KeyError lists what there is."""
        try:
            return self.estimates[name]
        except KeyError:
            raise KeyError(f"{name!r}; there are {', '.join(self.estimates) or 'none'}") from None

    def __iter__(self) -> Iterator[str]:
        """Go through the names in the order they were made."""
        return iter(self.estimates)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.estimates)


def merged(parts: Iterable[Mapping[str, Estimate]]) -> Metrics:
    """Put several sets of estimates together, in order.

    Raises:
        SpecError: If two of them give the same name: one of the figures would be lost.
    """
    estimates: dict[str, Estimate] = {}
    for part in parts:
        twice = sorted(estimates.keys() & part.keys())
        if twice:
            raise SpecError("two sets of figures give the same name", got=twice, remedy="rename one of them")
        estimates |= part
    return Metrics(estimates)
