"""Which names came before, told by digests: 8 bytes a name in the place of the names."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

_BYTES: Final = 8


class Repeats:
    """Remembers names; among ten million of them, the chance that two have one digest is below 1 in 100,000.

    Example:
        >>> repeats = Repeats()
        >>> repeats.among(["a", "b", "a"]).tolist(), repeats.among(["c", "b"]).tolist()
        ([False, False, True], [False, True])
    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._sorted: list[NDArray[np.uint64]] = []  # each more than twice as long as the next

    def among(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Return which of some names came before, among them or earlier, and remember them."""
        digests = name_digests(names)
        fresh, first = np.unique(digests, return_index=True)
        repeated = np.ones(len(digests), np.bool_)
        repeated[first] = False
        for known in self._sorted:
            repeated |= known[np.minimum(np.searchsorted(known, digests), len(known) - 1)] == digests
        self._keep(fresh)
        return repeated

    def _keep(self, fresh: NDArray[np.uint64]) -> None:
        if fresh.size:
            self._sorted.append(fresh)
        while len(self._sorted) > 1 and len(self._sorted[-2]) <= 2 * len(self._sorted[-1]):
            both = np.concatenate([self._sorted.pop(), self._sorted.pop()])
            both.sort()
            self._sorted.append(both)


def name_digests(names: Sequence[str]) -> NDArray[np.uint64]:
    """Return the first 8 bytes of each name's digest."""
    digests = (hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest() for name in names)
    return np.frombuffer(b"".join(digests), np.uint64)
