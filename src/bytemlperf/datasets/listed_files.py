"""Which images there are, in a file: names, labels and sizes are read when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, overload

import attrs
import numpy as np

from bytemlperf.datasets.row_files import RaggedFile, RowFile, add_array, add_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

_FACTS: Final = np.dtype([("label", np.int32), ("size_bytes", np.int64), ("offset", np.int64)])
_NAMES, _ROWS, _ORDER = "names", "files", "order"
_NOWHERE: Final = -1
_AT_ONCE: Final = 1024


@attrs.frozen(kw_only=True)
class LabelledFile:
    """An image and its class.

    Attributes:
        name: Path below the folder, with forward slashes; or the name in an archive.
        label: Class, from 0.
        size_bytes: Size of the file.
        offset: Where its bytes begin in an archive; None where it is a file of its own.
    """

    name: str
    label: int
    size_bytes: int
    offset: int | None = None


class ListedFiles(Sequence[LabelledFile]):
    """Images whose list lies in a folder; nothing is in memory for an image that is not asked for.

    Args:
        folder: What `add_files` has written.
        chosen: int64[n], which of them these are, in order; None for all.

    Raises:
        DatasetError: If a file of the list is missing or cut off.
    """

    def __init__(self, folder: Path, chosen: NDArray[np.int64] | None = None) -> None:
        """Look how many images there are."""
        self._folder, self._chosen = folder, chosen
        self._names, self._facts = RaggedFile(folder / _NAMES, np.uint8), RowFile(folder / _ROWS, _FACTS)
        self._order = RowFile(folder / _ORDER, np.int64) if (folder / _ORDER).is_file() else None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._facts) if self._chosen is None else len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> LabelledFile: ...
    @overload
    def __getitem__(self, index: slice) -> list[LabelledFile]: ...
    def __getitem__(self, index: int | slice) -> LabelledFile | list[LabelledFile]:
        """Return an image, or several."""
        found = self.of(range(len(self))[index] if isinstance(index, slice) else [range(len(self))[index]])
        return found if isinstance(index, slice) else found[0]

    def __iter__(self) -> Iterator[LabelledFile]:
        """Yield all images; some at a time are in memory."""
        for start in range(0, len(self), _AT_ONCE):
            yield from self.of(range(start, min(start + _AT_ONCE, len(self))))

    def names(self) -> Iterator[list[str]]:
        """Yield the names of all images, some at a time."""
        for start in range(0, len(self), _AT_ONCE):
            yield [file.name for file in self.of(range(start, min(start + _AT_ONCE, len(self))))]

    def of(self, indices: Sequence[int] | NDArray[np.int64]) -> list[LabelledFile]:
        """Return images by their numbers, which must be from 0 to the length less 1."""
        rows = np.asarray(indices, np.int64)
        rows = rows if self._chosen is None else self._chosen[rows]
        rows = rows if self._order is None else self._order[rows]
        return [
            LabelledFile(name=name, label=label, size_bytes=size, offset=None if offset == _NOWHERE else offset)
            for name, (label, size, offset) in zip(self._names.texts(rows), self._facts[rows].tolist(), strict=True)
        ]

    def without(self, rows: Iterable[int]) -> ListedFiles:
        """Return the others of these images."""
        kept = np.delete(np.arange(len(self)), list(rows))
        return ListedFiles(self._folder, kept if self._chosen is None else self._chosen[kept])


def add_files(folder: Path, files: Iterable[LabelledFile]) -> int:
    """Write images behind those that a folder's list has; return how many they are.

    Raises:
        OSError: If they cannot be written.
    """
    source, total = iter(files), 0
    add_array(folder / _ROWS, np.empty(0, _FACTS))  # so that a list of none is one
    add_texts(folder / _NAMES, [])
    while block := list(islice(source, _AT_ONCE)):
        facts = [(each.label, each.size_bytes, _NOWHERE if each.offset is None else each.offset) for each in block]
        add_array(folder / _ROWS, np.array(facts, _FACTS))
        add_texts(folder / _NAMES, [each.name for each in block])
        total += len(block)
    return total


def write_turns(folder: Path, counts: NDArray[np.int64], turns: NDArray[np.int64]) -> None:
    """Give a list another order: groups of images take turns, the first of each, then the second of each.

    Args:
        folder: Of the list.
        counts: int64[groups], images of each group, which follow each other in the list.
        turns: int64[groups], the groups in the order of their turns.

    Raises:
        OSError: If it cannot be written.
    """
    starts = (np.cumsum(counts) - counts)[turns]
    most, step = int(counts.max(initial=0)), max(1, _AT_ONCE // max(1, len(counts)))
    for first in range(0, most, step):
        ranks = np.arange(first, min(first + step, most))[:, np.newaxis]
        add_array(folder / _ORDER, (starts + ranks)[counts[turns] > ranks])
