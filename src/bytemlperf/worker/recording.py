"""What a series of queries leaves: its trace, the answers that were kept, and what went wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import numpy as np

from bytemlperf.errors import Failure
from bytemlperf.sample import Array
from bytemlperf.trace import Trace


class Answers(Mapping[int, Mapping[str, Array]]):
    """Kept answers by query, read from files only when asked for."""

    def __init__(self, folder: Path | None = None, held: Mapping[int, Mapping[str, Array]] | None = None) -> None:
        """Open a folder that the issuer wrote, or take answers that are in memory."""
        self._folder = folder
        self._held = dict(held or {})
        self._places: dict[int, dict[str, tuple[int, int]]] = _places(folder) if folder else {}

    def __getitem__(self, query: int) -> Mapping[str, Array]:
        """Return one query's outputs by canonical name."""
        if query in self._held:
            return self._held[query]
        assert self._folder is not None or query not in self._places
        return {name: _array(self._folder, *place) for name, place in self._places[query].items()}

    def __iter__(self) -> Iterator[int]:
        """Go through the answered queries in order."""
        return iter(sorted({*self._held, *self._places}))

    def __len__(self) -> int:
        """Return how many answers were kept."""
        return len({*self._held, *self._places})


def _places(folder: Path) -> dict[int, dict[str, tuple[int, int]]]:
    places: dict[int, dict[str, tuple[int, int]]] = {}
    index = folder / "index.jsonl"
    for line in index.read_text().splitlines() if index.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # the last line of a worker that was killed while it wrote
            continue
        places.setdefault(row["query"], {})[row["name"]] = (row["file"], row["offset"])
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
