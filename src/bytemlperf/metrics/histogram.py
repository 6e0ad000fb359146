"""Histograms of values that come in parts and whose range is not known before."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BINS: Final = 300
"""Upper bound of bins, the number that ByteMLPerf draws."""
_FINEST: Final = -1074
"""Exponent of the smallest number that a double can hold."""
_MANTISSA_BITS: Final = 53
_KEPT_BITS: Final = 7
_DROPPED_BITS: Final = 52 - _KEPT_BITS


@attrs.frozen(kw_only=True)
class Histogram:
    """Counts in bins of equal width, a power of two.

    Attributes:
        low: Lower edge of the first bin.
        width: Of every bin; bin i holds `low + i * width <= value < low + (i + 1) * width`.
        counts: Of each bin, at most 300; none where there were no values.
    """

    low: float
    width: float
    counts: tuple[int, ...] = ()

    @property
    def edges(self) -> tuple[float, ...]:
        """The lower edge of each bin and the upper edge of the last."""
        return tuple(self.low + index * self.width for index in range(len(self.counts) + 1))


class HistogramState:
    """Bins that grow coarser as the range of the values grows.

    Bins begin at multiples of their width, and pairs of them are merged when there would be too many, so that the
    result is that of counting all values at once, however they were cut into parts.
    """

    def __init__(self) -> None:
        """Begin without values."""
        self._exponent = _FINEST
        self._first = 0
        self._counts = np.zeros(0, np.int64)

    def update(self, values: NDArray[np.float64]) -> None:
        """Count values [n], all finite."""
        if not values.size:
            return
        self._widen(float(values.min()), float(values.max()))
        bins = _bins(values, self._exponent) - self._first
        self._counts += np.bincount(bins, minlength=self._counts.size)

    def compute(self) -> Histogram:
        """Return the counts so far."""
        # The edge below values near the end of the doubles is beyond it.
        low = max(self._first * 2.0**self._exponent, -sys.float_info.max)
        return Histogram(low=low, width=math.ldexp(1.0, self._exponent), counts=tuple(self._counts.tolist()))

    def _widen(self, low: float, high: float) -> None:
        """Choose the finest bins that hold what is there and the range from low to high, and count again in them."""
        exponent = max(self._exponent, _finest_exponent(max(abs(low), abs(high))))
        first, last = self._bounds(low, high, exponent)
        while last - first >= BINS:
            exponent += 1
            first, last = self._bounds(low, high, exponent)
        counts = np.zeros(last - first + 1, np.int64)
        there = self._first + np.arange(self._counts.size)
        np.add.at(counts, (there >> (exponent - self._exponent)) - first, self._counts)
        self._exponent, self._first, self._counts = exponent, first, counts

    def _bounds(self, low: float, high: float, exponent: int) -> tuple[int, int]:
        first, last = _bins(np.array([low, high]), exponent).tolist()
        if not self._counts.size:
            return first, last
        coarser = exponent - self._exponent
        there = self._first >> coarser, (self._first + self._counts.size - 1) >> coarser
        return min(first, there[0]), max(last, there[1])


def _bins(values: NDArray[np.float64], exponent: int) -> NDArray[np.int64]:
    """Divide by the width and round down, [n]."""
    bins: NDArray[np.int64] = np.floor(np.ldexp(values, -exponent)).astype(np.int64)
    bins -= (values < 0) & (bins == 0)  # what is just below 0 became -0.0 when it was divided
    return bins


def _finest_exponent(peak: float) -> int:
    """Exponent of the narrowest bin whose multiples up to the peak are whole numbers that a double holds."""
    return max(math.frexp(peak)[1] - _MANTISSA_BITS, _FINEST) if peak else _FINEST


class Magnitudes:
    """Counts of values by their leading bits: quantiles within 0.4 %, over the whole range of doubles, in 2 MB."""

    def __init__(self) -> None:
        """Begin without values."""
        self._counts = np.zeros(1 << (11 + _KEPT_BITS), np.int64)

    def update(self, values: NDArray[np.float64]) -> None:
        """Count values [n], each at least 0 and finite."""
        # The bit patterns of doubles that are not negative are ordered as the doubles are.
        leading = np.abs(values).view(np.int64) >> _DROPPED_BITS
        self._counts += np.bincount(leading, minlength=self._counts.size)

    def quantile(self, p: float) -> float:
        """Return `sorted[int(n * p)]` of the values, or 0 without any, within 0.4 % (2 ** -8) of it."""
        return self.quantiles((p,))[0]

    def quantiles(self, shares: Sequence[float]) -> tuple[float, ...]:
        """Return `quantile` at several shares."""
        cumulated = np.cumsum(self._counts)
        n = int(cumulated[-1])
        if not n:
            return (0.0,) * len(shares)
        ranks = [min(int(n * p), n - 1) for p in shares]
        return tuple(_middle(int(leading)) for leading in np.searchsorted(cumulated, ranks, side="right"))


def _middle(leading: int) -> float:
    """Return the double in the middle of those that begin with these bits; 0 for the smallest."""
    bits = (leading << _DROPPED_BITS) + (1 << (_DROPPED_BITS - 1))
    return float(np.int64(bits).view(np.float64)) if leading else 0.0
