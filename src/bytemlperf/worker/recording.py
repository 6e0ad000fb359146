"""What a series of queries leaves: its trace, the answers that were kept, and what went wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import attrs
import numpy as np

from bytemlperf.failure import Failure
from bytemlperf.sample import Array
from bytemlperf.trace import Trace


class Answers(Mapping[int, Mapping[str, Array]]):
    """Kept answers by query, read from files only when asked for.

    Args:
        folder: Where the issuer wrote them.
        parts: Answers that are in memory, each in the parts in which it came.
    """

    def __init__(
        self, folder: Path | None = None, parts: Mapping[int, Sequence[Mapping[str, Array]]] | None = None
    ) -> None:
        """Open a folder that the issuer wrote, or take answers that are in memory."""
        self._folder = folder
        self._held = {query: tuple(each) for query, each in (parts or {}).items()}
        self._places: dict[int, dict[int, _Places]] = _places(folder) if folder else {}

    def __getitem__(self, query: int) -> Mapping[str, Array]:
        """Return one query's outputs by canonical name; of an output that came in parts, the last."""
        if query in self._held:
            return {name: array for part in self._held[query] for name, array in part.items()}
        places = {name: place for part in self._places[query].values() for name, place in part.items()}
        return {name: _array(self._folder, *place) for name, place in places.items()}

    def parts(self, query: int) -> tuple[Mapping[str, Array], ...]:
        """Return one query's outputs in the parts in which they came, each by canonical name."""
        if query in self._held:
            return self._held[query]
        told = self._places[query]
        return tuple(
            {name: _array(self._folder, *place) for name, place in told[number].items()} for number in sorted(told)
        )

    def __iter__(self) -> Iterator[int]:
        """Go through the answered queries in order."""
        return iter(sorted({*self._held, *self._places}))

    def __len__(self) -> int:
        """Return how many answers were kept."""
        return len({*self._held, *self._places})


_Places: TypeAlias = dict[str, tuple[int, int]]
"""By output, the number of a file and where in it an array begins."""


def _places(folder: Path) -> dict[int, dict[int, _Places]]:
    places: dict[int, dict[int, _Places]] = {}
    index = folder / "index.jsonl"
    for line in index.read_text().splitlines() if index.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # the last line of a worker that was killed while it wrote
            continue
        part = places.setdefault(row["query"], {}).setdefault(row["part"], {})
        part[row["name"]] = (row["file"], row["offset"])
    return places


def _array(folder: Path | None, number: int, offset: int) -> Array:
    assert folder is not None
    with (folder / f"{number}.npy").open("rb") as file:
        file.seek(offset)
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


@attrs.frozen(kw_only=True, eq=False)
class Recording:
    """What a series left.

    Attributes:
        trace: Raw event times; what was stamped before a crash stands.
        answers: Outputs by query, where they were kept.
        failures: What went wrong; empty for a whole series.
        answered_twice: Replies that were ended more than once; the first counts.
        reported: The engine's own figures by query, where it told any; `vendor_reported`, never measured here.
    """

    trace: Trace
    answers: Answers = attrs.field(factory=Answers)
    failures: tuple[Failure, ...] = ()
    answered_twice: int = 0
    reported: Mapping[int, Mapping[str, float]] = attrs.field(factory=dict)
