"""Two reports compared, figure by figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.metrics import Estimate
from bytemlperf.report.comparison.evidence import Evidence, evidence, higher_is_better
from bytemlperf.report.comparison.matching import Matching, Pair, match, row_mismatches
from bytemlperf.report.comparison.result import (
    Aspect,
    Basis,
    Comparison,
    Decision,
    FigureComparison,
    Mismatch,
    Side,
    as_aspect,
)
from bytemlperf.report.comparison.sameness import mismatches
from bytemlperf.report.rows import RowKind
from bytemlperf.statistics import holm

if TYPE_CHECKING:
    from bytemlperf.report.report import Report

FIGURES: Final = (
    "accuracy/*",
    "latency/*",
    "ttft/*",
    "tpot/*",
    "throughput/samples_per_s",
    "throughput/tokens_per_s",
    "compile/*",
)
"""Figures that are compared unless the caller names others: each once, in the form that users decide by."""
_FOREIGN_FORMULAS: Final = "*.bytemlperf"


@attrs.frozen(kw_only=True)
class _Question:
    """One figure of one pair of rows, before it is decided."""

    pair: Pair
    figure: str
    a: Estimate
    b: Estimate
    up_is_good: bool
    evidence: Evidence | None

    @property
    def is_ratio(self) -> bool:
        return self.pair.a.row.kind is not RowKind.ACCURACY

    @property
    def scale(self) -> float:
        """Of a score in percent, a hundredth is one point."""
        return 100.0 if not self.is_ratio and self.a.unit == "%" else 1.0


def compare(
    a: Report,
    b: Report,
    *,
    equivalence: float = 0.05,
    level: float = 0.95,
    accuracy_equivalence: float = 0.01,
    figures: Iterable[str] | None = None,
    allow: Iterable[str | Aspect] = (),
    names: tuple[str, str] = ("a", "b"),
) -> Comparison:
    """Decide for every figure that two reports share whether b is faster, slower, equivalent, or undecided.

    What varies decides what is tested. Where a row was measured in several processes, each process gives one value
    (Welch's t on logarithms). Where there is one process on each side, its raw stamps are used: percentiles by the
    exact distributions of their ranks, means with the effective number of queries, throughput over batches of
    completions. Without raw stamps the intervals that the reports keep are used, and the figure says so. Accuracy is
    compared on the same samples where both reports keep what they brought: by the exact McNemar test where they are
    right or wrong, else by a bootstrap in pairs; and otherwise by the two intervals.

    A figure is equivalent if its change is shown to be smaller than the margin (two one-sided tests); otherwise faster
    or slower if there is shown to be a change; otherwise undecided. All tests of change in the comparison together are
    held to `1 - level` by Holm's procedure, and so are all tests of equivalence. Intervals are each for itself.

    Args:
        a: The base. Its folder, if it has one, is where its raw data is looked for.
        b: The candidate.
        equivalence: Share by which a time or rate may change and still count as equivalent: within 1 / (1 + share) to
            1 + share. 0 for none at all.
        level: Confidence of the intervals and of the decisions together.
        accuracy_equivalence: By how much a score may change, in its own unit; 0.01 is a point of one in percent.
        figures: Patterns of names of figures, such as `latency/p99`, or of the row's key, a slash and the name; by
            default `FIGURES`. The fewer there are, the more each of them can show.
        allow: Aspects that may differ though they would be refused.
        names: What the two are called in what is shown.

    Raises:
        IncomparableError: If model, weights, data, precision, load or machine differ and that is not allowed.
        SpecError: If they have no row or figure in common, or an argument is out of range or unknown.

    Source:
        Holm, Scandinavian Journal of Statistics 6(2), 1979; Schuirmann, Journal of Pharmacokinetics and
        Biopharmaceutics 15, 1987 (two one-sided tests); each figure's `method` names its own.
    """
    _check(equivalence=equivalence, level=level, accuracy_equivalence=accuracy_equivalence)
    allowed = frozenset(as_aspect(each) for each in allow)
    differing = mismatches(a, b, allow=allowed)
    matching = match(a, b, allow=allowed)
    margins = {True: equivalence, False: accuracy_equivalence}
    tested = _all_tested(matching, None if figures is None else tuple(figures), level=level, margins=margins)
    return Comparison(
        a=_side(a, names[0]),
        b=_side(b, names[1]),
        level=level,
        equivalence=equivalence,
        accuracy_equivalence=accuracy_equivalence,
        correction=_correction(tested, level),
        figures=tested,
        warnings=(*differing, *_weaknesses(matching, tested)),
        unmatched=matching.unmatched,
    )


def _all_tested(
    matching: Matching, patterns: tuple[str, ...] | None, *, level: float, margins: Mapping[bool, float]
) -> tuple[FigureComparison, ...]:
    questions = tuple(_questions(matching, patterns))
    if not questions:
        raise SpecError("the reports share no figure to compare", got=patterns, expected=", ".join(FIGURES))
    tested = [_tested(each, level=level, margin=margins[each.is_ratio] * each.scale) for each in questions]
    return _decided(tested, [each.up_is_good for each in questions], alpha=1 - level)


def _check(*, equivalence: float, level: float, accuracy_equivalence: float) -> None:
    for name, value, least, most in (
        ("equivalence", equivalence, 0.0, math.inf),
        ("accuracy_equivalence", accuracy_equivalence, 0.0, math.inf),
        ("level", level, 0.0, 1.0),
    ):
        if not least <= value < most or (name == "level" and value <= 0):
            expected = "between 0 and 1" if name == "level" else "a finite number not below 0"
            raise SpecError("out of range", where=f"$.{name}", got=value, expected=expected)


def _questions(matching: Matching, patterns: tuple[str, ...] | None) -> Iterator[_Question]:
    for pair in matching.pairs:
        for figure, a, b in pair.estimates():
            up_is_good = higher_is_better(pair.a.row.kind, figure, a.unit)
            if up_is_good is not None and _is_asked(pair.a.row.key, figure, patterns):
                found = evidence(pair, figure, a, b)
                yield _Question(pair=pair, figure=figure, a=a, b=b, up_is_good=up_is_good, evidence=found)


def _is_asked(key: str, figure: str, patterns: tuple[str, ...] | None) -> bool:
    if patterns is None:
        return any(fnmatchcase(figure, each) for each in FIGURES) and not fnmatchcase(figure, _FOREIGN_FORMULAS)
    return any(fnmatchcase(name, each) for each in patterns for name in (figure, f"{key}/{figure}"))


def _tested(question: _Question, *, level: float, margin: float) -> FigureComparison:
    a, b = question.a.value, question.b.value
    assert a is not None
    assert b is not None
    shown = FigureComparison(
        row=question.pair.a.row.key,
        figure=question.figure,
        unit=question.a.unit,
        a=a,
        b=b,
        ratio=question.is_ratio and a > 0,
        change=b / a if question.is_ratio and a > 0 else b - a,
        level=level,
        margin=margin,
        basis=Basis.NOTHING,
        n_a=question.a.n,
        n_b=question.b.n,
        note="one value against another",
    )
    return shown if question.evidence is None else _weighed(shown, question.evidence)


def _weighed(shown: FigureComparison, found: Evidence) -> FigureComparison:
    contrast, plain = found.contrast, _exp if shown.ratio else float
    interval = contrast.interval(level=shown.level)
    margin = math.log1p(shown.margin) if shown.ratio else shown.margin
    return attrs.evolve(
        shown,
        change=plain(contrast.estimate),
        low=_end(interval.low, plain),
        high=_end(interval.high, plain),
        p_difference=contrast.p_difference() if found.p_difference is None else found.p_difference,
        p_equivalence=contrast.p_equivalence(margin),
        basis=found.basis,
        n_a=found.n_a,
        n_b=found.n_b,
        method=found.method,
        note=found.note,
    )


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))  # beyond it a double has no exponential


def _end(value: float, plain: Callable[[float], float]) -> float | None:
    return plain(value) if math.isfinite(value) else None


def _decided(
    tested: Sequence[FigureComparison], up_is_good: Sequence[bool], *, alpha: float
) -> tuple[FigureComparison, ...]:
    """Correct all p-values together and decide; what cannot be tested stays as it is."""
    family = [each for each in tested if each.p_difference is not None]
    differences = iter(holm([each.p_difference or 0.0 for each in family]).tolist())
    equivalences = iter(holm([each.p_equivalence or 0.0 for each in family]).tolist())
    return tuple(
        each
        if each.p_difference is None
        else _with_decision(each, next(differences), next(equivalences), up_is_good=good, alpha=alpha)
        for each, good in zip(tested, up_is_good, strict=True)
    )


def _with_decision(
    tested: FigureComparison, difference: float, equivalence: float, *, up_is_good: bool, alpha: float
) -> FigureComparison:
    notes = [tested.note]
    if equivalence <= alpha:
        decision = Decision.EQUIVALENT
    elif difference <= alpha:
        is_better = (tested.change > (1.0 if tested.ratio else 0.0)) is up_is_good
        decision = _NAMES[tested.ratio, is_better]
    else:
        decision = Decision.UNDECIDED
        notes += _why_open(tested, alpha)
    return attrs.evolve(
        tested,
        adjusted_difference=difference,
        adjusted_equivalence=equivalence,
        decision=decision,
        note="; ".join(filter(None, notes)),
    )


_NAMES: Final = {
    (True, True): Decision.FASTER,
    (True, False): Decision.SLOWER,
    (False, True): Decision.BETTER,
    (False, False): Decision.WORSE,
}


def _why_open(tested: FigureComparison, alpha: float) -> Iterator[str]:
    if tested.low is None or tested.high is None:
        yield "too few data for an interval"
    elif min(tested.p_difference or 0.0, tested.p_equivalence or 0.0) <= alpha:
        yield "decided for itself, but not among all figures together: name fewer, or measure longer"


def _correction(tested: Sequence[FigureComparison], level: float) -> str:
    tests = sum(each.p_difference is not None for each in tested)
    return (
        f"Holm over {tests} figures: with probability {level:g} not one change, and likewise not one equivalence, is "
        "stated that there is not; intervals are each for itself"
    )


def _weaknesses(matching: Matching, decided: Sequence[FigureComparison]) -> Iterator[Mismatch]:
    yield from row_mismatches(matching.pairs)
    alone = all(each.processes == 1 for pair in matching.pairs for each in (pair.a, pair.b))
    if alone and any(each.ratio and each.basis is not Basis.NOTHING for each in decided):
        text = "one process on each side: decisions are about these two runs, not about the machine; measure repeats"
        yield Mismatch(aspect=Aspect.PROCESSES, text=text)
    if any(each.basis is Basis.INTERVALS and each.ratio for each in decided):
        yield Mismatch(aspect=Aspect.RAW, text="raw stamps are missing: the intervals that the reports keep are used")
    for each in matching.unmatched:
        yield Mismatch(aspect=Aspect.ROWS, text=f"only in {each}")


def _side(report: Report, name: str) -> Side:
    backend = report.backend
    return Side(
        name=name,
        task=report.job.task,
        backend=report.job.backend if backend is None else backend.name,
        backend_version="unknown" if backend is None else backend.version,
        started_utc=report.started_utc,
        job_key=report.job.key,
        digest=report.digest,
    )
