"""Which names came before, told by digests: 8 bytes a name in the place of the names."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.row_files import add_array

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_BYTES: Final = 8
_PART_BITS: Final = 6
_AT_ONCE: Final = 2**15


class Repeats:
    """Remembers names; among ten million of them, the chance that two have one digest is below 1 in 100,000.

    Example:
        >>> repeats = Repeats()
        >>> repeats.among(["a", "b", "a"]).tolist(), repeats.among(["c", "b"]).tolist()
        ([False, False, True], [False, True])
    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        # Of digests that begin alike, sorted ones, each more than twice as long as the next: few are ever copied.
        self._sorted: list[list[NDArray[np.uint64]]] = [[] for _ in range(2**_PART_BITS)]

    def among(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Return which of some names came before, among them or earlier, and remember them."""
        if not names:
            return np.zeros(0, np.bool_)
        digests = name_digests(names)
        repeated = np.ones(len(digests), np.bool_)
        fresh, first = np.unique(digests, return_index=True)
        parts, starts = np.unique(fresh >> np.uint64(64 - _PART_BITS), return_index=True)
        for part, some, where in zip(
            parts.tolist(), np.split(fresh, starts[1:]), np.split(first, starts[1:]), strict=True
        ):
            repeated[where] = self._seen(self._sorted[part], some)
        return repeated

    @staticmethod
    def _seen(known: list[NDArray[np.uint64]], some: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which of some sorted digests are known, and make all of them known."""
        seen = np.zeros(len(some), np.bool_)
        for each in known:
            seen |= each[np.minimum(np.searchsorted(each, some), len(each) - 1)] == some
        if not seen.all():
            known.append(some[~seen])
        while len(known) > 1 and len(known[-2]) <= 2 * len(known[-1]):
            both = np.concatenate([known.pop(), known.pop()])
            both.sort()
            known.append(both)
        return seen


def name_digests(names: Sequence[str]) -> NDArray[np.uint64]:
    """Return the first 8 bytes of each name's digest."""
    digests = (hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest() for name in names)
    return np.frombuffer(b"".join(digests), np.uint64)


def repeated_digests(path: Path, blocks: Iterable[Sequence[str]]) -> NDArray[np.uint64]:
    """Return the digests that more than one of some names have; memory does not grow with the names.

    Args:
        path: Of a file that is written for it, sorted where it lies, and deleted.
        blocks: The names, some at a time.

    Raises:
        OSError: If it cannot be written.
    """
    for names in blocks:
        add_array(path, name_digests(names))
    if not path.exists() or not path.stat().st_size:
        return np.zeros(0, np.uint64)
    digests = np.memmap(path, np.uint64, mode="r+")
    digests.sort()
    parts = [digests[start : start + _AT_ONCE + 1] for start in range(0, len(digests), _AT_ONCE)]
    found = np.concatenate([part[1:][part[1:] == part[:-1]] for part in parts])
    path.unlink()
    return np.unique(found)
