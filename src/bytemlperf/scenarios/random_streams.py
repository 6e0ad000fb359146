"""The random streams of a C++ program, to the bit: MT19937 words, and what libstdc++ makes of them.

A schedule that is to be equal to LoadGen's has to draw as LoadGen does, word by word. Nothing here speaks of load.

Source: M. Matsumoto and T. Nishimura, Mersenne Twister, ACM TOMACS 8(1), 1998 (seeding: the 2002 revision, as the C++
standard has it); D. Lemire, Fast Random Integer Generation in an Interval, ACM TOMACS 29(1), 2019. Which of libstdc++'s
forms the wheel `mlcommons-loadgen` 6.0.17 was built with was found by trying both against it.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

_STATE_WORDS: Final = 624
_WORD: Final = 1 << 32
_MASK: Final = np.uint64(_WORD - 1)
_SHIFT: Final = np.uint64(32)
_BELOW_ONE: Final = math.nextafter(1.0, 0.0)
_MOST_IN_PAIRS: Final = 65535
"""`std::shuffle` places two elements with one word as long as the square of their number fits in a word."""


class Words:
    """The 32-bit words of `std::mt19937(seed)`, in order; each is handed out once.

    Args:
        seed: Any whole number; as in C++, only its lowest 32 bits count.
    """

    def __init__(self, seed: int) -> None:
        """Begin with the first word."""
        self._bits = np.random.MT19937()
        self._bits.state = {"bit_generator": "MT19937", "state": {"key": _seeded(seed), "pos": _STATE_WORDS}}
        self._ahead: NDArray[np.uint64] = np.zeros(0, np.uint64)

    def peek(self, count: int) -> NDArray[np.uint64]:
        """Return the next words, uint64[count], and leave them to be taken."""
        missing = count - len(self._ahead)
        if missing > 0:
            self._ahead = np.concatenate([self._ahead, self._bits.random_raw(missing).astype(np.uint64, copy=False)])
        return self._ahead[:count]

    def take(self, count: int) -> NDArray[np.uint64]:
        """Return the next words, uint64[count]."""
        words = self.peek(count)
        self._ahead = self._ahead[count:]
        return words


def _seeded(seed: int) -> NDArray[np.uint32]:
    word, key = seed % _WORD, np.empty(_STATE_WORDS, np.uint32)
    for index in range(_STATE_WORDS):
        key[index] = word
        word = (1812433253 * (word ^ word >> 30) + index + 1) % _WORD
    return key


def uniform(words: Words, bound: int, count: int) -> NDArray[np.int64]:
    """Draw `std::uniform_int_distribution(0, bound - 1)` so many times.

    Args:
        words: Stream that is drawn from.
        bound: 1 to 2^32 - 1.
        count: Draws.

    Returns:
        int64[count], each 0 to bound - 1.
    """
    parts, missing = [np.zeros(0, np.int64)], count
    while missing:
        scaled = words.take(missing) * np.uint64(bound)
        parts.append((scaled >> _SHIFT)[(scaled & _MASK) >= _refused(np.array([bound], np.uint64))].astype(np.int64))
        missing -= len(parts[-1])
    return np.concatenate(parts)


def _refused(bounds: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Count the remainders, of 2^32, whose words Lemire's method draws again so that each value is as likely."""
    return (np.uint64(_WORD) - bounds) % bounds


def _uniform_each(words: Words, bounds: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Draw once below each bound, in order; a word that is refused is followed by another for the same bound."""
    refused = _refused(bounds)
    drawn, done = np.empty(len(bounds), np.uint64), 0
    stride = _stride(refused)
    while done < len(bounds):
        part = slice(done, min(done + stride, len(bounds)))
        scaled = words.peek(part.stop - part.start) * bounds[part]
        bad = np.flatnonzero((scaled & _MASK) < refused[part])
        good = int(bad[0]) if bad.size else len(scaled)
        drawn[done : done + good] = scaled[:good] >> _SHIFT
        words.take(good + bool(bad.size))
        done += good
    return drawn


def _stride(refused: NDArray[np.uint64]) -> int:
    """Choose how many words to look at together: about as many as go by between two that are refused."""
    most = int(refused.max(initial=1)) or 1
    return min(max(_WORD // most, 64), 1 << 20)


def skip_shuffles(words: Words, length: int, count: int) -> None:
    """Use up the words that so many shuffles of `length` elements take."""
    _uniform_each(words, np.tile(_shuffle_bounds(length), count))


def shuffle(words: Words, items: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the items, int64[n], in the order that `std::shuffle` of libstdc++ gives them."""
    shuffled = items.tolist()
    for place, other in enumerate(_swaps(words, len(shuffled)).tolist(), start=1):
        shuffled[place], shuffled[other] = shuffled[other], shuffled[place]
    return np.array(shuffled, np.int64)


def _shuffle_bounds(length: int) -> NDArray[np.uint64]:
    """Return the bound of each draw: one draw places one element, or the next two."""
    if length > _MOST_IN_PAIRS:
        return np.arange(2, length + 1, dtype=np.uint64)
    firsts = _pairs(length)
    pairs = (firsts + 1) * (firsts + 2)
    return np.concatenate([np.full(1 - length % 2 if length else 0, 2), pairs]).astype(np.uint64)


def _pairs(length: int) -> NDArray[np.int64]:
    """Return the first place of each two that are filled by one draw; an even length leaves place 1 alone."""
    return np.arange(2 - length % 2, length, 2, dtype=np.int64)


def _swaps(words: Words, length: int) -> NDArray[np.int64]:
    """Return with which place each place from 1 up is swapped."""
    drawn = _uniform_each(words, _shuffle_bounds(length)).astype(np.int64)
    if length > _MOST_IN_PAIRS or length < 2:  # noqa: PLR2004 - nothing to swap with
        return drawn
    firsts = _pairs(length)
    alone, paired = np.split(drawn, [len(drawn) - len(firsts)])
    both = np.stack(np.divmod(paired, firsts + 2), axis=1).ravel()
    return np.concatenate([alone, both])


def exponential_ns(words: Words, rate_per_s: float, count: int) -> NDArray[np.int64]:
    """Draw `std::exponential_distribution(rate)` seconds so many times, cut to whole nanoseconds.

    Returns:
        int64[count], in ns.
    """
    pairs = words.take(2 * count).reshape(count, 2).astype(np.float64)
    shares = np.minimum((pairs[:, 0] + pairs[:, 1] * _WORD) / 2.0**64, _BELOW_ONE)
    # Not numpy's logarithm: it may differ from the C library's in the last bit, and so by a nanosecond.
    logs = np.fromiter(map(math.log, (1.0 - shares).tolist()), np.float64, count)
    return (-logs / rate_per_s * 1e9).astype(np.int64)
