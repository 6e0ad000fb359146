"""Outputs against an independent reference: figures, a verdict, and what can be drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.errors import NonFiniteError, NumericMismatchError, SpecError
from bytemlperf.metrics.bytemlperf_formulas import DiffSums
from bytemlperf.metrics.differences import DifferenceState, OutputDifference
from bytemlperf.metrics.estimate import Estimate, Metrics
from bytemlperf.metrics.pairs import masked, matched
from bytemlperf.metrics.tolerance import TOLERANCE, tolerance_of
from bytemlperf.metrics.ulps import FLOAT_FORMATS
from bytemlperf.spec import DType

if TYPE_CHECKING:
    from bytemlperf.errors import ResultError
    from bytemlperf.sample import Array
    from bytemlperf.spec import TensorSpec


@attrs.frozen(kw_only=True)
class NumericResult:
    """Every output against its reference.

    Attributes:
        outputs: The differences of each output, by canonical name.
        precision: What the backend used.
        reference_name: What the reference is, for reports.
        independent: Whether the reference was made by something else than the runtime that is judged.
        passed: The verdict over all outputs; None where there is none.
        reasons: Why it failed, or why there is no verdict; empty if it passed.
        bytemlperf: ByteMLPerf's five figures by its own formulas, under its own keys.
    """

    outputs: Mapping[str, OutputDifference]
    precision: DType
    reference_name: str
    independent: bool
    passed: bool | None
    reasons: tuple[str, ...]
    bytemlperf: Mapping[str, float]

    @property
    def metrics(self) -> Metrics:
        """The figures as estimates: `numeric/<output>/max_rel` and so on."""
        return Metrics(
            {
                f"numeric/{name}/{figure}": estimate
                for name, difference in self.outputs.items()
                for figure, estimate in _estimates(difference, self).items()
            }
        )

    def error(self) -> ResultError | None:
        """Return what a failed comparison would raise, with its tensor; None unless it failed."""
        if self.passed is not False:
            return None
        name = next(name for name, difference in self.outputs.items() if difference.passed is False)
        difference = self.outputs[name]
        kind = NonFiniteError if difference.non_finite.planted else NumericMismatchError
        error = kind(f"outputs do not agree with {self.reference_name}: {'; '.join(self.reasons)}")
        error.tensor = name
        return error


class NumericState:
    """A comparison of answers that come batch by batch; what it keeps does not grow with them.

    Example:
        >>> import numpy as np
        >>> from bytemlperf.spec import TensorSpec
        >>> spec = TensorSpec(name="y", shape=("batch", 2), dtype="fp32")
        >>> state = NumericState(specs=(spec,), precision=DType.FLOAT32, independent=True, reference_name="float64")
        >>> state.update({"y": np.array([[1.0, 2.0]])}, {"y": np.array([[1.0, 2.5]])})
        >>> state.compute().outputs["y"].max_rel
        0.2
    """

    def __init__(
        self,
        *,
        specs: tuple[TensorSpec, ...],
        precision: DType,
        independent: bool,
        reference_name: str,
        tolerance: float | None = None,
    ) -> None:
        """Say what is compared with what.

        Args:
            specs: Of the outputs: all of them, and no others.
            precision: What the backend used; `TOLERANCE` has its bound.
            independent: Whether the reference was made by something else; otherwise there is no verdict.
            reference_name: What the reference is, for reports.
            tolerance: Bound of max|d| / max|reference| in the place of the table's.

        Raises:
            SpecError: If the tolerance is below 0 or not finite.
        """
        if tolerance is not None and not 0 <= tolerance < math.inf:
            raise SpecError("a tolerance is out of range", where="$.tolerance", got=tolerance, expected="0 or above")
        self._specs = {spec.name: spec for spec in specs}
        self._precision = DType.of(precision)
        self._independent = independent
        self._reference_name = reference_name
        self._given_tolerance = tolerance
        self._differences = {name: self._begun(spec) for name, spec in self._specs.items()}
        self._coarsest = dict.fromkeys(self._differences, 0.0)
        self._sums = DiffSums()

    def _begun(self, spec: TensorSpec) -> DifferenceState:
        if not spec.dtype.is_float or self._precision not in FLOAT_FORMATS:
            return DifferenceState()
        return DifferenceState(ulp_type=str(self._precision), float_format=FLOAT_FORMATS[self._precision])

    def update(
        self,
        outputs: Mapping[str, Array],
        reference: Mapping[str, Array],
        valid: Mapping[str, Array] | None = None,
    ) -> None:
        """Take in the answers of a batch, padding taken off. If it raises, nothing was taken in.

        Args:
            outputs: What came, by canonical name.
            reference: What should have come.
            valid: Masks by the name of the input that they are; only positions where they are not 0 count.

        Raises:
            MalformedOutputError: If an output is missing, unknown, of another shape than its reference or not of
                numbers.
            SpecError: If the same is true of the reference, or a mask is missing or does not fit.
        """
        pairs = matched(outputs, reference, self._differences)
        for pair in [masked(pair, self._specs[pair.name], valid or {}) for pair in pairs]:
            self._differences[pair.name].update(pair)
            self._sums.update(pair)
            self._coarsest[pair.name] = max(self._coarsest[pair.name], _bound_of(reference[pair.name]))

    def compute(self, *, least: Mapping[str, float] | None = None) -> NumericResult:
        """Return the figures and the verdict over what was taken in so far.

        Args:
            least: By output, a bound below which no tolerance is taken: what the reference's own arithmetic explains.
        """
        outputs = {name: self._compute(name, (least or {}).get(name, 0.0)) for name in self._specs}
        passed, reasons = _verdict(outputs, independent=self._independent, precision=self._precision)
        return NumericResult(
            outputs=outputs,
            precision=self._precision,
            reference_name=self._reference_name,
            independent=self._independent,
            passed=passed,
            reasons=reasons,
            bytemlperf=self._sums.compute(),
        )

    def _compute(self, name: str, least: float) -> OutputDifference:
        difference = self._differences[name].compute(tolerance=self._tolerance(name, least))
        return difference if self._independent else attrs.evolve(difference, passed=None)

    def _tolerance(self, name: str, least: float) -> float | None:
        """The bound of what was used, but no finer than what the reference itself was made in."""
        bound = tolerance_of(self._precision).value if self._given_tolerance is None else self._given_tolerance
        if bound is None:
            return None
        if not self._specs[name].dtype.is_float:
            return 0.0
        return bound if self._given_tolerance is not None else max(bound, self._coarsest[name], least)


def compare(
    outputs: Mapping[str, Array],
    reference: Mapping[str, Array],
    *,
    specs: tuple[TensorSpec, ...],
    precision: DType,
    valid: Mapping[str, Array] | None = None,
    independent: bool,
    reference_name: str,
    tolerance: float | None = None,
) -> NumericResult:
    """Compare outputs with a reference, matched by name; see `NumericState` for answers that come batch by batch.

    An output passes if max|d| / max|reference| is within the bound of the precision used, and nothing is NaN or
    infinite where the reference is not the same. Whole numbers must be equal. Nothing is judged where the reference is
    not independent, no position is finite on both sides, or the precision has no bound.

    Args:
        outputs: What came, by canonical name.
        reference: What should have come.
        specs: Of the outputs: all of them, and no others.
        precision: What the backend used; `TOLERANCE` has its bound.
        valid: Masks by the name of the input that they are; only positions where they are not 0 count.
        independent: Whether the reference was made by something else; otherwise there is no verdict.
        reference_name: What the reference is, for reports.
        tolerance: Bound of max|d| / max|reference| in the place of the table's.

    Raises:
        MalformedOutputError: If an output is missing, unknown, of another shape than its reference or not of numbers.
        SpecError: If the same is true of the reference, a mask is missing or does not fit, or the tolerance is below 0.
    """
    state = NumericState(
        specs=specs,
        precision=precision,
        independent=independent,
        reference_name=reference_name,
        tolerance=tolerance,
    )
    state.update(outputs, reference, valid)
    return state.compute()


def _bound_of(array: Array) -> float:
    bounds = {dtype.value: tolerance.value for dtype, tolerance in TOLERANCE.items()}
    return bounds.get(array.dtype.name) or 0.0


def _verdict(
    outputs: Mapping[str, OutputDifference], *, independent: bool, precision: DType
) -> tuple[bool | None, tuple[str, ...]]:
    if not independent:
        return None, ("the reference is the same runtime: no verdict",)
    failed = tuple(f"{name}: {_failure(each)}" for name, each in outputs.items() if each.passed is False)
    if failed:
        return False, failed
    undecided = tuple(f"{name}: {_doubt(each, precision)}" for name, each in outputs.items() if each.passed is None)
    return (None, undecided or ("there is no output to compare",)) if undecided or not outputs else (True, ())


def _failure(difference: OutputDifference) -> str:
    if difference.non_finite.planted:
        return f"{difference.non_finite.planted} values are NaN or infinite where the reference is finite"
    if difference.non_finite.unmatched:
        return f"{difference.non_finite.unmatched} values do not match a reference that is NaN or infinite"
    if difference.max_rel is None:
        return f"the reference is all 0 and the output is up to {difference.max_abs:.6g} away"
    return f"max|d| / max|reference| is {difference.max_rel:.6g}, above {difference.tolerance:.6g}"


def said(difference: OutputDifference) -> str:
    """Say in words how far an output lies from its reference."""
    if difference.passed is False:
        return _failure(difference)
    if difference.max_rel is None:
        return _NOTHING_COMPARED if not difference.n else "the reference is all 0"
    return f"max|d| / max|reference| is {difference.max_rel:.6g}"


def _doubt(difference: OutputDifference, precision: DType) -> str:
    return tolerance_of(precision).reason if difference.n else _NOTHING_COMPARED


_NOTHING_COMPARED: Final = "no position is finite on both sides"

_NO_ULP: Final = "what was computed in has no units in the last place"

_FIGURES: Final = {
    "max_rel": ("max|d| / max|reference|", "the reference is all 0 and the output is not"),
    "max_abs": ("max|d|", ""),
    "mean_abs": ("mean|d|", ""),
    "std_abs": ("standard deviation of |d|, divided by n", ""),
    "p50_abs": ("sorted |d|[int(n * 0.5)], within 0.4 %", ""),
    "p90_abs": ("sorted |d|[int(n * 0.9)], within 0.4 %", ""),
    "p99_abs": ("sorted |d|[int(n * 0.99)], within 0.4 %", ""),
    "p999_abs": ("sorted |d|[int(n * 0.999)], within 0.4 %", ""),
    "mean_rel": ("mean|d| / mean|reference|", "the reference is all 0 and the output is not"),
    "cosine": ("sum(output * reference) / (norm of output * norm of reference)", "output or reference is all 0"),
    "sqnr_db": ("10 log10(sum of reference^2 / sum of d^2)", "output and reference are equal, or one is all 0"),
    "max_ulp": ("max(|d| / ulp(reference))", _NO_ULP),
    "p50_ulp": ("sorted(|d| / ulp(reference))[int(n * 0.5)], within 0.4 %", _NO_ULP),
    "p99_ulp": ("sorted(|d| / ulp(reference))[int(n * 0.99)], within 0.4 %", _NO_ULP),
}
"""Figures with their formula, and why one may be None."""

_COUNTS: Final = {
    "nan": "NaN in the output",
    "inf": "infinities in the output",
    "reference_nan": "NaN in the reference",
    "reference_inf": "infinities in the reference",
    "unmatched": "positions where one side is NaN or infinite and the other is not the same",
}


def _estimates(difference: OutputDifference, result: NumericResult) -> dict[str, Estimate]:
    against = f"d = output - reference ({result.reference_name}), over the positions where both are finite"
    figures = {
        name: Estimate(
            value=getattr(difference, name),
            unit=_unit(name, difference),
            n=difference.n,
            definition=f"{formula}; {against}",
            note=_note(getattr(difference, name), difference, otherwise=why_none),
        )
        for name, (formula, why_none) in _FIGURES.items()
    }
    figures["max_rel"] = figures["max_rel"].noted(_judged(difference, independent=result.independent))
    positions = difference.n + difference.non_finite.positions
    return figures | {
        name: Estimate(value=getattr(difference.non_finite, name), unit="values", n=positions, definition=definition)
        for name, definition in _COUNTS.items()
    }


def _unit(name: str, difference: OutputDifference) -> str:
    if name.endswith("_ulp") and difference.ulp_type is not None:
        return f"ulp of {difference.ulp_type}"
    return "dB" if name == "sqnr_db" else "1"


def _note(value: float | None, difference: OutputDifference, *, otherwise: str) -> str:
    if value is not None:
        return ""
    return (otherwise or "beyond the range of a double") if difference.n else _NOTHING_COMPARED


def _judged(difference: OutputDifference, *, independent: bool) -> str:
    if not independent:
        return "the reference is the same runtime: no verdict"
    bound = "" if difference.tolerance is None else f" at a bound of {difference.tolerance:.6g}"
    return {True: "passed", False: "failed", None: "no verdict"}[difference.passed] + bound
