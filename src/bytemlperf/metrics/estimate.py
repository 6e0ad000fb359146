"""A figure with its uncertainty and its definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from bytemlperf.spec.fields import as_dict


@attrs.frozen(kw_only=True)
class Estimate:
    """A measured figure: nothing is reported without what it means and how far to trust it.

    Attributes:
        value: The figure, never rounded; None where it could not be had, and `note` says why.
        unit: Its unit (`ns`, `samples/s`, `1`).
        low: Lower end of the interval; None where none can be given.
        high: Upper end of the interval; None where none can be given.
        level: Confidence of the interval, 0 to 1.
        n: Observations behind it.
        definition: How it is computed, in words and formula.
        note: What a reader must know ("too few samples for this percentile").
    """

    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    n: int = 0
    definition: str = ""
    note: str = ""

    def __str__(self) -> str:
        """Write value and interval: `0.981 [0.960, 0.992], n = 360`."""
        if self.value is None:
            return self.note or "not known"
        interval = f" [{self.low:.6g}, {self.high:.6g}]" if self.low is not None and self.high is not None else ""
        unit = "" if self.unit == "1" else f" {self.unit}"
        return f"{self.value:.6g}{interval}{unit}, n = {self.n}"


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
