"""TensorFlow's fast hash of strings, many at a time.

Source: FarmHash's `Fingerprint64` (G. Pike, https://github.com/google/farmhash), which
    `tf.strings.to_hash_bucket_fast` takes modulo the number of buckets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable

Words = NDArray[np.uint64]
_K0: Final = np.uint64(0xC3A5C85C97CB3127)
_K1: Final = np.uint64(0xB492B66FBE98F273)
_K2: Final = np.uint64(0x9AE16A3B2F90404F)
_SEED: Final = np.uint64(81)
_BLOCK: Final = 64


def hash_buckets(texts: Iterable[str | bytes], buckets: int) -> NDArray[np.int64]:
    """Return the bucket of each text, as `tf.strings.to_hash_bucket_fast` does.

    Args:
        texts: Texts, as UTF-8, or bytes.
        buckets: How many there are.

    Returns:
        int64[n], 0 to `buckets` - 1.

    Raises:
        SpecError: If there is no bucket.

    Example:
        >>> hash_buckets(["a", ""], 1000)
        array([939, 263])
    """
    if buckets < 1:
        raise SpecError("no bucket", got=buckets, expected="at least 1")
    encoded = [text.encode() if isinstance(text, str) else text for text in texts]
    lengths = np.array([len(text) for text in encoded], np.int64)
    data = np.frombuffer(b"".join(encoded), np.uint8)
    return (fingerprints(data, np.cumsum(lengths) - lengths, lengths) % np.uint64(buckets)).astype(np.int64)


def fingerprints(data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Words:
    """Return FarmHash's 64-bit fingerprint of pieces of a buffer, uint64[n].

    Args:
        data: Bytes, all pieces among them.
        starts: int64[n], where each piece begins.
        lengths: int64[n], bytes of each piece.
    """
    padded = np.concatenate([data, np.zeros(8, np.uint8)])
    result = np.full(len(starts), _K2, np.uint64)
    for length in np.unique(lengths).tolist():
        chosen = np.flatnonzero(lengths == length)
        if length:
            result[chosen] = _of_length(_Pieces(padded, starts[chosen]), length)
    return result


class _Pieces:
    """Pieces of one length: reads the words at a place of all of them."""

    def __init__(self, padded: NDArray[np.uint8], starts: NDArray[np.int64]) -> None:
        self._starts = starts
        self._bytes = padded
        self._long = np.ndarray((len(padded) - 7,), "<u8", buffer=padded, strides=(1,))
        self._short = np.ndarray((len(padded) - 3,), "<u4", buffer=padded, strides=(1,))

    def word(self, place: int) -> Words:
        return self._long[self._starts + place].astype(np.uint64)

    def half(self, place: int) -> Words:
        return self._short[self._starts + place].astype(np.uint64)

    def byte(self, place: int) -> Words:
        return self._bytes[self._starts + place].astype(np.uint64)


def _of_length(pieces: _Pieces, length: int) -> Words:
    with np.errstate(over="ignore"):
        if length <= 16:  # noqa: PLR2004 - the algorithm's own steps
            return _short(pieces, length)
        if length <= 32:  # noqa: PLR2004
            return _middle(pieces, length)
        return _long(pieces, length) if length <= _BLOCK else _longest(pieces, length)


def _rotated(value: Words, by: int) -> Words:
    return (value >> np.uint64(by)) | (value << np.uint64(64 - by))


def _mixed(value: Words) -> Words:
    return value ^ (value >> np.uint64(47))


def _joined(low: Words, high: Words, factor: np.uint64 | Words) -> Words:
    first = _mixed((low ^ high) * factor)
    return _mixed((high ^ first) * factor) * factor


def _factor(length: int) -> np.uint64:
    return np.uint64((int(_K2) + 2 * length) % 2**64)


def _short(pieces: _Pieces, length: int) -> Words:
    factor = _factor(length)
    if length >= 8:  # noqa: PLR2004
        first, last = pieces.word(0) + _K2, pieces.word(length - 8)
        return _joined(_rotated(last, 37) * factor + first, (_rotated(first, 25) + last) * factor, factor)
    if length >= 4:  # noqa: PLR2004
        return _joined(np.uint64(length) + (pieces.half(0) << np.uint64(3)), pieces.half(length - 4), factor)
    low = pieces.byte(0) + (pieces.byte(length >> 1) << np.uint64(8))
    high = np.uint64(length) + (pieces.byte(length - 1) << np.uint64(2))
    return _mixed(low * _K2 ^ high * _K0) * _K2


def _middle(pieces: _Pieces, length: int) -> Words:
    factor = _factor(length)
    a, b = pieces.word(0) * _K1, pieces.word(8)
    c, d = pieces.word(length - 8) * factor, pieces.word(length - 16) * _K2
    return _joined(_rotated(a + b, 43) + _rotated(c, 30) + d, a + _rotated(b + _K2, 18) + c, factor)


def _long(pieces: _Pieces, length: int) -> Words:
    factor = _factor(length)
    a, b = pieces.word(0) * _K2, pieces.word(8)
    c, d = pieces.word(length - 8) * factor, pieces.word(length - 16) * _K2
    y = _rotated(a + b, 43) + _rotated(c, 30) + d
    z = _joined(y, a + _rotated(b + _K2, 18) + c, factor)
    e, f = pieces.word(16) * factor, pieces.word(24)
    g, h = (y + pieces.word(length - 32)) * factor, (z + pieces.word(length - 24)) * factor
    return _joined(_rotated(e + f, 43) + _rotated(g, 30) + h, e + _rotated(f + a, 18) + g, factor)


def _weak(pieces: _Pieces, place: int, a: Words, b: Words) -> tuple[Words, Words]:
    """Mix 32 bytes into a pair of seeds."""
    w, x, y, z = (pieces.word(place + 8 * number) for number in range(4))
    a = a + w
    b = _rotated(b + a + z, 21)
    c, a = a, a + x + y
    return a + z, b + _rotated(a, 44) + c


def _longest(pieces: _Pieces, length: int) -> Words:
    zero = np.zeros_like(pieces.word(0))
    y = np.full_like(zero, _SEED * _K1 + np.uint64(113))
    z = _mixed(y * _K2 + np.uint64(113)) * _K2
    x = _SEED * _K2 + pieces.word(0)
    v, w = (zero, zero), (zero, zero)
    for place in range(0, (length - 1) // _BLOCK * _BLOCK, _BLOCK):
        x = _rotated(x + y + v[0] + pieces.word(place + 8), 37) * _K1
        y = _rotated(y + v[1] + pieces.word(place + 48), 42) * _K1
        x = x ^ w[1]
        y = y + v[0] + pieces.word(place + 40)
        z = _rotated(z + w[0], 33) * _K1
        v, w = _both(pieces, place, _K1, (x, y, z), (v, w))
        x, z = z, x
    return _ended(pieces, length, (x, y, z), (v, w))


def _both(
    pieces: _Pieces,
    place: int,
    factor: np.uint64 | Words,
    state: tuple[Words, Words, Words],
    seeds: tuple[tuple[Words, Words], tuple[Words, Words]],
) -> tuple[tuple[Words, Words], tuple[Words, Words]]:
    (x, y, z), (v, w) = state, seeds
    first = _weak(pieces, place, v[1] * factor, x + w[0])
    return first, _weak(pieces, place + 32, z + w[1], y + pieces.word(place + 16))


def _ended(
    pieces: _Pieces,
    length: int,
    state: tuple[Words, Words, Words],
    seeds: tuple[tuple[Words, Words], tuple[Words, Words]],
) -> Words:
    (x, y, z), (v, w) = state, seeds
    place, nine = length - _BLOCK, np.uint64(9)
    factor = _K1 + ((z & np.uint64(0xFF)) << np.uint64(1))
    w = (w[0] + np.uint64((length - 1) & 63), w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    x = _rotated(x + y + v[0] + pieces.word(place + 8), 37) * factor
    y = _rotated(y + v[1] + pieces.word(place + 48), 42) * factor
    x = x ^ (w[1] * nine)
    y = y + v[0] * nine + pieces.word(place + 40)
    z = _rotated(z + w[0], 33) * factor
    v, w = _both(pieces, place, factor, (x, y, z), (v, w))
    x, z = z, x
    return _joined(_joined(v[0], w[0], factor) + _mixed(y) * _K0 + z, _joined(v[1], w[1], factor) + x, factor)
