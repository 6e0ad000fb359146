"""How far one output lies from its reference, gathered part by part."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.metrics.histogram import Histogram, HistogramState, Magnitudes
from bytemlperf.metrics.moments import Moments
from bytemlperf.metrics.ulps import ulps
from bytemlperf.spec.fields import as_tuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bytemlperf.metrics.pairs import Pair
    from bytemlperf.metrics.ulps import FloatFormat
    from bytemlperf.sample import Array

_CHUNK: Final = 1 << 18
"""Positions looked at together: small enough for the cache, and no copy of a whole output is ever made."""
_LARGEST: Final = float(np.finfo(np.float64).max)
CURVE_AT: Final = (0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 0.99999, 0.999999, 1.0)
"""Shares at which the curve of errors is kept; those between the last positions and all of them repeat max|d|."""


@attrs.frozen(kw_only=True)
class NonFinite:
    """Values that are no numbers, among the positions that count.

    Attributes:
        positions: Where either side is NaN or infinite; these are not compared.
        nan: NaN in the output.
        inf: Infinities in the output, of either sign.
        reference_nan: NaN in the reference.
        reference_inf: Infinities in the reference.
        unmatched: Positions where one side is NaN or infinite and the other is not the same.
        planted: Those of them where the reference is finite: the backend made NaN or infinity of its own.
    """

    positions: int = 0
    nan: int = 0
    inf: int = 0
    reference_nan: int = 0
    reference_inf: int = 0
    unmatched: int = 0
    planted: int = 0


@attrs.frozen(kw_only=True)
class ErrorCurve:
    """Error against quantile: how large |d| is that a share of the positions does not exceed.

    Attributes:
        share: Of the positions, ascending from 0 to 1; none where nothing was compared.
        error: `sorted |d|[int(n * share)]`, within 0.4 %; the last is max|d|.
    """

    share: tuple[float, ...] = attrs.field(default=(), converter=as_tuple)
    error: tuple[float, ...] = attrs.field(default=(), converter=as_tuple)


@attrs.frozen(kw_only=True)
class OutputDifference:
    """One output against its reference; d = output - reference, over the positions where both are finite.

    Attributes:
        n: Positions compared.
        left_out: Positions that the mask leaves out.
        non_finite: Values that are no numbers.
        max_abs: max|d|.
        mean_abs: mean|d|.
        std_abs: Standard deviation of |d|, divided by n.
        p50_abs: Median of |d| by `sorted[int(n * p)]`, within 0.4 %.
        p90_abs: The same at p = 0.9.
        p99_abs: The same at p = 0.99.
        max_rel: max|d| / max|reference|, the measure that decides; None where the reference is all 0 and d is not.
        mean_rel: mean|d| / mean|reference|; None likewise.
        cosine: Cosine similarity of output and reference; None where one of them is all 0.
        sqnr_db: 10 log10(sum of squares of the reference / that of d); None where d or the reference is all 0.
        tolerance: Bound of max_rel; None where the precision has none.
        passed: Whether it holds; None where it cannot be said.
        difference: Histogram of d.
        reference: Histogram of the reference.
        output: Histogram of the output.
        p999_abs: As p99_abs at p = 0.999.
        ulp_type: Type in whose units in the last place the next three count; None where it is no known float.
        max_ulp: max(|d| / ulp(reference)); see `ulps`.
        p50_ulp: Median of the same, by `sorted[int(n * p)]`, within 0.4 %.
        p99_ulp: The same at p = 0.99.
        curve: |d| against quantile.
    """

    n: int
    left_out: int
    non_finite: NonFinite
    max_abs: float | None
    mean_abs: float | None
    std_abs: float | None
    p50_abs: float | None
    p90_abs: float | None
    p99_abs: float | None
    max_rel: float | None
    mean_rel: float | None
    cosine: float | None
    sqnr_db: float | None
    tolerance: float | None
    passed: bool | None
    difference: Histogram
    reference: Histogram
    output: Histogram
    p999_abs: float | None = None
    ulp_type: str | None = None
    max_ulp: float | None = None
    p50_ulp: float | None = None
    p99_ulp: float | None = None
    curve: ErrorCurve = ErrorCurve()


class DifferenceState:
    """What is kept of one output's differences: some MB, however many positions there are.

    Args:
        ulp_type: Name of the type whose units in the last place are counted; None for none.
        float_format: Of that type.
    """

    def __init__(self, *, ulp_type: str | None = None, float_format: FloatFormat | None = None) -> None:
        """Begin without positions."""
        self._ulp_type, self._float_format = ulp_type, float_format
        self._ulps = Magnitudes()
        self._max_ulp = 0.0
        self._left_out = 0
        self._non_finite = NonFinite()
        self._absolute = Moments()
        self._reference = Moments()
        self._output_power = 0.0
        self._reference_power = 0.0
        self._noise_power = 0.0
        self._product = 0.0
        self._magnitudes = Magnitudes()
        self._histograms = {name: HistogramState() for name in ("difference", "reference", "output")}

    def update(self, pair: Pair) -> None:
        """Take in the positions of a pair that count."""
        for output, reference, left_out in _chunks(pair):
            self._left_out += left_out
            self._non_finite, finite = _counted(self._non_finite, output, reference)
            # Squares of huge doubles overflow: those figures are then None, and the others stand.
            with np.errstate(over="ignore", invalid="ignore"):
                self._add(output[finite], reference[finite])

    def _add(self, output: Array, reference: Array) -> None:
        difference = _difference(output, reference)
        left, right = output.astype(np.float64), reference.astype(np.float64)
        absolute = np.abs(difference)
        self._absolute = self._absolute.plus(Moments.of(absolute))
        self._reference = self._reference.plus(Moments.of(np.abs(right)))
        self._output_power += float(left @ left)
        self._reference_power += float(right @ right)
        self._noise_power += float(difference @ difference)
        self._product += float(left @ right)
        self._magnitudes.update(absolute)
        if self._float_format is not None and difference.size:
            counted = ulps(difference, right, self._float_format)
            self._ulps.update(counted)
            self._max_ulp = max(self._max_ulp, float(counted.max()))
        for name, values in (("difference", difference), ("reference", right), ("output", left)):
            self._histograms[name].update(values)

    def compute(self, *, tolerance: float | None) -> OutputDifference:
        """Return the figures so far, judged by a bound of max_rel."""
        some = self._absolute.n > 0
        max_rel = _ratio(self._absolute.peak, self._reference.peak) if some else None
        return OutputDifference(
            n=self._absolute.n,
            left_out=self._left_out,
            non_finite=self._non_finite,
            max_abs=self._absolute.peak if some else None,
            mean_abs=_known(self._absolute.mean) if some else None,
            std_abs=_known(self._absolute.std) if some else None,
            p50_abs=self._quantile(0.5),
            p90_abs=self._quantile(0.9),
            p99_abs=self._quantile(0.99),
            max_rel=max_rel,
            mean_rel=_ratio(self._absolute.mean, self._reference.mean) if some else None,
            cosine=self._cosine(),
            sqnr_db=self._sqnr_db(),
            tolerance=tolerance,
            passed=self._passed(max_rel, tolerance),
            difference=self._histograms["difference"].compute(),
            reference=self._histograms["reference"].compute(),
            output=self._histograms["output"].compute(),
            p999_abs=self._quantile(0.999),
            ulp_type=self._ulp_type,
            max_ulp=self._max_ulp if some and self._float_format is not None else None,
            p50_ulp=self._ulp_quantile(0.5),
            p99_ulp=self._ulp_quantile(0.99),
            curve=self._curve(),
        )

    def _quantile(self, p: float) -> float | None:
        return min(self._magnitudes.quantile(p), self._absolute.peak) if self._absolute.n else None

    def _ulp_quantile(self, p: float) -> float | None:
        if self._float_format is None or not self._absolute.n:
            return None
        return min(self._ulps.quantile(p), self._max_ulp)

    def _curve(self) -> ErrorCurve:
        if not self._absolute.n:
            return ErrorCurve()
        peak = self._absolute.peak
        inner = (min(error, peak) for error in self._magnitudes.quantiles(CURVE_AT[:-1]))
        return ErrorCurve(share=CURVE_AT, error=(*inner, peak))

    def _passed(self, max_rel: float | None, tolerance: float | None) -> bool | None:
        if self._non_finite.unmatched:
            return False
        if not self._absolute.n or tolerance is None:
            return None
        return max_rel is not None and max_rel <= tolerance

    def _cosine(self) -> float | None:
        norms = math.sqrt(self._output_power) * math.sqrt(self._reference_power)
        cosine = _known(self._product / norms) if norms and math.isfinite(norms) else None
        return None if cosine is None else min(max(cosine, -1.0), 1.0)

    def _sqnr_db(self) -> float | None:
        ratio = _ratio(self._reference_power, self._noise_power) if self._noise_power else None
        return 10 * math.log10(ratio) if ratio else None


def _chunks(pair: Pair) -> Iterator[tuple[Array, Array, int]]:
    """Yield output and reference [n] where they count, and how many positions beside them do not."""
    output, reference = pair.output.reshape(-1), pair.reference.reshape(-1)
    counts = None if pair.counts is None else pair.counts.reshape(-1)
    for start in range(0, output.size, _CHUNK):
        here = slice(start, start + _CHUNK)
        if counts is None:
            yield output[here], reference[here], 0
        else:
            kept = counts[here]
            yield output[here][kept], reference[here][kept], kept.size - int(kept.sum())


def _counted(so_far: NonFinite, output: Array, reference: Array) -> tuple[NonFinite, NDArray[np.bool_]]:
    left, right = np.isfinite(output), np.isfinite(reference)
    finite = left & right
    if finite.all():
        return so_far, finite
    nan, reference_nan = np.isnan(output), np.isnan(reference)
    same = finite | (nan & reference_nan) | (output == reference)
    return NonFinite(
        positions=so_far.positions + int((~finite).sum()),
        nan=so_far.nan + int(nan.sum()),
        inf=so_far.inf + int((~left & ~nan).sum()),
        reference_nan=so_far.reference_nan + int(reference_nan.sum()),
        reference_inf=so_far.reference_inf + int((~right & ~reference_nan).sum()),
        unmatched=so_far.unmatched + int((~same).sum()),
        planted=so_far.planted + int((right & ~left).sum()),
    ), finite


def _difference(output: Array, reference: Array) -> NDArray[np.float64]:
    kinds = output.dtype.kind + reference.dtype.kind
    if set(kinds) <= set("bi") or kinds == "uu":
        return _whole_difference(output, reference)
    difference: NDArray[np.float64] = output.astype(np.float64) - reference.astype(np.float64)
    return np.clip(difference, -_LARGEST, _LARGEST)


def _whole_difference(output: Array, reference: Array) -> NDArray[np.float64]:
    """Subtract whole numbers so that what differs never becomes 0, as it would between large ones as doubles."""
    common = np.uint64 if output.dtype.kind == "u" else np.int64
    left, right = output.astype(common), reference.astype(common)
    # The distance of two int64 fits into uint64; the subtraction wraps round to just that.
    apart = np.maximum(left, right).astype(np.uint64) - np.minimum(left, right).astype(np.uint64)
    return np.where(left >= right, 1.0, -1.0) * apart.astype(np.float64)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _ratio(part: float, whole: float) -> float | None:
    """Divide; 0 of 0 is 0, and what cannot be told is None."""
    if not whole:
        return None if part else 0.0
    return _known(part / whole) if math.isfinite(whole) else None
