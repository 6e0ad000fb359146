"""Every figure of a report under one name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from bytemlperf.errors import nearest
from bytemlperf.metrics.estimate import Estimate
from bytemlperf.report.rows import RowKind

if TYPE_CHECKING:
    from bytemlperf.report.rows import Row


class FlatMetrics(Mapping[str, Estimate]):
    """Figures of all rows.

    A performance figure is named by its row's key and its own name
    (`performance/fixed_batch/clients=1/batch=8/fp32/devices=1/latency/p99`). Any other has its plain
    name (`accuracy/top1`), unless several rows have it: then these too are named with the row's key.
    Any figure is also found by the long name, and by the plain one where only one row has it.
    """

    def __init__(self, rows: tuple[Row, ...]) -> None:
        """Name the figures of these rows."""
        self._long = {f"{row.key}/{name}": estimate for row in rows for name, estimate in row.metrics.items()}
        self._places: dict[str, list[str]] = {}
        for row in rows:
            for name in row.metrics:
                self._places.setdefault(name, []).append(f"{row.key}/{name}")
        self._named = dict(self._names(rows))

    def _names(self, rows: tuple[Row, ...]) -> Iterator[tuple[str, Estimate]]:
        for row in rows:
            for name, estimate in row.metrics.items():
                plain = row.kind is not RowKind.PERFORMANCE and len(self._places[name]) == 1
                yield (name if plain else f"{row.key}/{name}"), estimate

    def __getitem__(self, name: str) -> Estimate:
        """Return a figure; KeyError lists the rows that have it, or the names that look like it."""
        places = self._places.get(name, [])
        if name in self._long:
            return self._long[name]
        if len(places) == 1:
            return self._long[places[0]]
        if places:
            raise KeyError(f"{name!r} is in several rows: {', '.join(places)}")
        known = [*self._named, *self._places]
        raise KeyError(f"{name!r}; there are {', '.join(nearest(name, known) or self._named) or 'none'}")

    def __iter__(self) -> Iterator[str]:
        """Go through the names in the order of the rows."""
        return iter(self._named)

    def __len__(self) -> int:
        """Return the number of figures."""
        return len(self._named)
