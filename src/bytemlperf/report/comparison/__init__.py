"""Two reports compared: for every figure its change, the interval of it, and a decision."""

from bytemlperf.report.comparison.deciding import FIGURES, compare
from bytemlperf.report.comparison.result import (
    REFUSED,
    Aspect,
    Basis,
    Comparison,
    Decision,
    FigureComparison,
    Mismatch,
    Side,
)

__all__ = [
    "FIGURES",
    "REFUSED",
    "Aspect",
    "Basis",
    "Comparison",
    "Decision",
    "FigureComparison",
    "Mismatch",
    "Side",
    "compare",
]
