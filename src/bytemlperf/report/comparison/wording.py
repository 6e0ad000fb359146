"""Figures of a comparison for people: changes in percent or points, beside their decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bytemlperf.report.comparison.result import Decision
from bytemlperf.report.units import measured, scale

if TYPE_CHECKING:
    from bytemlperf.report.comparison.result import Comparison, FigureComparison

_SMALL_PERCENT: Final = 100.0


def value_text(value: float, unit: str) -> str:
    """Write a value with its unit.

    Example:
        >>> value_text(6_451_234, "ns"), value_text(0.98, "1")
        ('6.451 ms', '0.9800')
    """
    factor, name = scale(unit, value)
    return f"{measured(value / factor)} {name}".rstrip()


def change_text(figure: FigureComparison) -> str:
    """Write the change: in percent of a ratio, in points of a difference."""
    return _one(figure, figure.change) + (" %" if figure.ratio else "")


def interval_text(figure: FigureComparison) -> str:
    """Write the interval in the change's unit; empty where there is none."""
    low, high = (None if end is None else _one(figure, end) for end in (figure.low, figure.high))
    if low is None and high is None:
        return ""
    if high is None:
        return f"from {low}"
    return f"up to {high}" if low is None else f"{low} to {high}"


def _one(figure: FigureComparison, value: float) -> str:
    if not figure.ratio:
        return f"{value:+.4g}"
    percent = (value - 1) * _SMALL_PERCENT
    return f"{percent:+.1f}" if abs(percent) < _SMALL_PERCENT else f"{percent:+,.0f}"


def decision_text(figure: FigureComparison) -> str:
    """Write the decision; `-` where a value is only shown."""
    return "-" if figure.decision is None else figure.decision.value


def headline(comparison: Comparison) -> str:
    """Say in one line what came out."""
    counts = {each: sum(figure.decision is each for figure in comparison.figures) for each in Decision}
    told = ", ".join(f"{count} {decision.value}" for decision, count in counts.items() if count)
    return told or "nothing could be tested"


def margins_text(comparison: Comparison) -> str:
    """Say what the decisions mean."""
    return (
        f"equivalent: within {100 * comparison.equivalence:g} % (score: {comparison.accuracy_equivalence:g}); "
        f"intervals at {100 * comparison.level:g} %"
    )
