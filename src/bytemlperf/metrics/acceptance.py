"""Whether accuracy holds its target, by what the data can tell: pass, fail, or how many more samples it takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.spec.fields import choice
from bytemlperf.statistics import binomial_interval, bootstrap_interval, mcnemar_p_value, paired_share_contrast

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bytemlperf.metrics.estimate import Estimate

MOST_SAMPLES: Final = 1_000_000_000
"""Nobody has more: a target that would take more is as good as met to the digit."""

FEWEST_DRAWN: Final = 20
"""With fewer samples the interval of a bootstrap is too narrow to decide by."""


class Basis(StrEnum):
    """What accuracy was held against."""

    PUBLISHED = "published"
    """A figure that was published for the checkpoint, or a bound that somebody states; with the figure's interval."""
    PAIRED = "paired"
    """The independent reference's answers to the same samples."""


def _as_basis(value: str | Basis) -> Basis:
    return choice(Basis)(value)


@attrs.frozen(kw_only=True)
class Judgement:
    """One accuracy figure against one target.

    Attributes:
        figure: Its name, such as `accuracy/top1`.
        basis: What it was held against.
        passed: Whether the target holds; None where these samples cannot tell.
        value: The figure; for pairs over the samples that both answered.
        bound: What it must reach, in its own unit; at most where less is better.
        low: Lower end of the two-sided interval whose ends are the one-sided bounds; of value less bound.
        high: Upper end of the same; the target holds if all of it is on the good side of 0.
        level: Confidence of each side.
        n: Samples.
        n_needed: Samples with which data of this kind would decide; None if decided, or if no number would do.
        text: All this for a person.
    """

    figure: str
    basis: Basis = attrs.field(converter=_as_basis)
    passed: bool | None
    value: float
    bound: float
    low: float
    high: float
    level: float
    n: int
    n_needed: int | None = None
    text: str = ""


@attrs.frozen(kw_only=True)
class Requirement:
    """A target in numbers.

    Attributes:
        share: Of the reference; None where a bound is stated.
        bound: In the figure's own unit; None where a share is stated.
        higher_is_better: Which way is good.
        level: Confidence of a decision, one-sided.
        source: Who says so.
    """

    share: float | None = None
    bound: float | None = None
    higher_is_better: bool = True
    level: float = 0.95
    source: str = ""

    def bound_for(self, reference: float) -> float:
        """Return what must be reached where the reference reaches this: share * reference, or reference / share."""
        if self.bound is not None or self.share is None:
            return reference if self.bound is None else self.bound
        return self.share * reference if self.higher_is_better else reference / self.share

    def decide(self, low: float, high: float) -> bool | None:
        """Tell whether value - bound is on the good side, by both of its one-sided bounds."""
        if not self.higher_is_better:
            low, high = -high, -low
        if low >= 0:
            return True
        return False if high < 0 else None


def judge_published(
    figure: str, estimate: Estimate, requirement: Requirement, *, reference: float | None, is_share: bool
) -> Judgement | None:
    """Hold a figure and its interval against a published reference, or a stated bound.

    Args:
        figure: Its name.
        estimate: With an interval; without one, or without a value, there is nothing to decide.
        requirement: What must hold.
        reference: What was published; may be None where the requirement states a bound.
        is_share: Whether the figure is a share of samples, whose interval is the exact binomial one.

    Returns:
        The judgement; None without a value, an interval or anything to hold it against.
    """
    if estimate.value is None or (reference is None and requirement.bound is None):
        return None
    bound = requirement.bound_for(reference or 0.0)
    ends = _ends(estimate, requirement.level, is_share=is_share)
    if ends is None:
        return None
    low, high = (end - bound for end in ends)
    passed = requirement.decide(low, high)
    more = None if passed is not None else _more_published(estimate, requirement, bound, is_share=is_share)
    held = (
        f"{bound:.6g}"
        if requirement.share is None or reference is None
        else (
            f"{bound:.6g} ({requirement.share:.4g} of {reference:.6g})"
            if requirement.higher_is_better
            else f"{bound:.6g} ({reference:.6g} / {requirement.share:.4g})"
        )
    )
    return Judgement(
        figure=figure,
        basis=Basis.PUBLISHED,
        passed=passed,
        value=estimate.value,
        bound=bound,
        low=low,
        high=high,
        level=requirement.level,
        n=estimate.n,
        n_needed=more,
        text=f"{figure} {estimate.value:.6g} [{ends[0]:.6g}, {ends[1]:.6g}] {_word(passed)} the target of "
        f"{'at least' if requirement.higher_is_better else 'at most'} {held}"
        f"{_needs(passed, more, estimate.n)}{_source(requirement)}",
    )


def judge_paired(
    figure: str,
    answers: NDArray[np.float64],
    reference: NDArray[np.float64],
    requirement: Requirement,
    *,
    seed: int = 0,
) -> Judgement | None:
    """Hold per-sample scores against the reference's on the same samples: only where the two differ counts.

    Of right and wrong answers the exact intervals of both cells in which the two differ bound the distance, and the
    exact McNemar test says whether there is one at all. Other scores are drawn again in pairs (seeded bootstrap, BCa).

    Args:
        figure: Its name.
        answers: [n], each sample's part in a figure that is their mean; 0 and 1 where it is right or wrong.
        reference: [n], the reference's, in the same order.
        requirement: With a share; a bound in the figure's own unit is no matter of pairs.
        seed: Of the bootstrap.

    Returns:
        The judgement; None without samples, with fewer than 20 whose scores are more than right or wrong, or where a
        bound is stated.

    Source:
        McNemar, Note on the Sampling Error of the Difference between Correlated Proportions or Percentages,
        Psychometrika 12, 1947; the interval is that of `paired_share_contrast`, the bootstrap `bootstrap_interval`.
    """
    if requirement.share is None or not answers.size:
        return None
    binary = bool(np.isin(answers, (0.0, 1.0)).all() and np.isin(reference, (0.0, 1.0)).all())
    counts = _Counts.of(answers, reference) if binary else None
    right = float(reference.mean())
    bound, value = requirement.bound_for(right), float(answers.mean())
    if counts is not None:
        low, high = counts.ends(requirement, bound - right)
        more = counts.more(requirement, bound - right) if requirement.decide(low, high) is None else None
        told = (
            f"{counts.only_reference} right only by the reference, {counts.only_answers} only here, p = {counts.p:.3g}"
        )
    elif answers.size < FEWEST_DRAWN:
        return None
    else:
        low, high = _bootstrapped(answers, reference, requirement, seed)
        undecided = requirement.decide(low, high) is None
        more = _scaled(answers.size, value - bound, low, high) if undecided else None
        told = "paired bootstrap"
    passed = requirement.decide(low, high)
    return Judgement(
        figure=figure,
        basis=Basis.PAIRED,
        passed=passed,
        value=value,
        bound=bound,
        low=low,
        high=high,
        level=requirement.level,
        n=answers.size,
        n_needed=more,
        text=f"{figure} {value:.6g} {_word(passed)} {requirement.share:.4g} of the reference's {right:.6g} on the same "
        f"{answers.size} samples ({told}){_needs(passed, more, answers.size)}{_source(requirement)}",
    )


@attrs.frozen(kw_only=True)
class _Counts:
    """In how many samples two differ, as McNemar counts them."""

    only_reference: int
    only_answers: int
    n: int

    @classmethod
    def of(cls, answers: NDArray[np.float64], reference: NDArray[np.float64]) -> _Counts:
        return cls(
            only_reference=int((reference > answers).sum()),
            only_answers=int((answers > reference).sum()),
            n=answers.size,
        )

    @property
    def p(self) -> float:
        return mcnemar_p_value(self.only_reference, self.only_answers)

    def ends(self, requirement: Requirement, margin: float) -> tuple[float, float]:
        """Bound value - bound: the distance of the two shares, less that of the bound from the reference's."""
        contrast = paired_share_contrast(self.only_reference, self.only_answers, self.n)
        found = contrast.interval(level=2 * requirement.level - 1)
        return found.low - margin, found.high - margin

    def more(self, requirement: Requirement, margin: float) -> int | None:
        def decided(n: int) -> bool:
            grown = _Counts(
                only_reference=round(self.only_reference * n / self.n),
                only_answers=round(self.only_answers * n / self.n),
                n=n,
            )
            return requirement.decide(*grown.ends(requirement, margin)) is not None

        return _first(self.n, decided)


def _bootstrapped(
    answers: NDArray[np.float64], reference: NDArray[np.float64], requirement: Requirement, seed: int
) -> tuple[float, float]:
    pairs = np.stack([answers, reference], axis=1)

    def distance(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        here, there = rows[..., 0].mean(axis=1), rows[..., 1].mean(axis=1)
        share = requirement.share or 1.0
        apart: NDArray[np.float64] = here - (there * share if requirement.higher_is_better else there / share)
        return apart

    found = bootstrap_interval(pairs, distance, seed=seed, level=2 * requirement.level - 1)
    return found.low, found.high


def _ends(estimate: Estimate, level: float, *, is_share: bool) -> tuple[float, float] | None:
    """Return one-sided bounds of a figure at a level; the estimate's own interval where it is no share."""
    if is_share and estimate.value is not None and estimate.n:
        found = binomial_interval(round(estimate.value * estimate.n), estimate.n, level=2 * level - 1)
        return found.low, found.high
    if estimate.low is None or estimate.high is None:
        return None
    return estimate.low, estimate.high


def _more_published(estimate: Estimate, requirement: Requirement, bound: float, *, is_share: bool) -> int | None:
    value, n = estimate.value, estimate.n
    if value is None or not n:
        return None
    if not is_share:
        assert estimate.low is not None
        assert estimate.high is not None
        return _scaled(n, value - bound, estimate.low - bound, estimate.high - bound)

    def decided(samples: int) -> bool:
        found = binomial_interval(round(value * samples), samples, level=2 * requirement.level - 1)
        return requirement.decide(found.low - bound, found.high - bound) is not None

    return _first(n, decided)


def _scaled(n: int, distance: float, low: float, high: float) -> int | None:
    """Return how many samples it takes where intervals shrink as 1 / sqrt(n) does."""
    half = distance - low if distance > 0 else high - distance
    if not distance or not math.isfinite(half):
        return None
    needed = math.ceil(n * (half / distance) ** 2)
    return needed if needed <= MOST_SAMPLES else None


def _first(n: int, decided: Callable[[int], bool]) -> int | None:
    """Return a number of samples above n that decides, about the smallest one; None if none up to the most does."""
    low, high = n, 2 * n
    while not decided(high):
        low, high = high, 2 * high
        if high > MOST_SAMPLES:
            return None
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high


def _word(passed: bool | None) -> str:  # noqa: FBT001 - a verdict, not a switch
    return {True: "holds", False: "misses", None: "cannot be told from"}[passed]


def _needs(passed: bool | None, needed: int | None, n: int) -> str:  # noqa: FBT001 - as above
    if passed is not None:
        return ""
    if needed is None:
        return "; no number of samples would tell"
    return f"; about {needed - n:,} more samples would tell"


def _source(requirement: Requirement) -> str:
    return f" [{requirement.source}]" if requirement.source else ""
