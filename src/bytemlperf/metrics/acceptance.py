"""Whether accuracy holds its target, by what the data can tell: pass, fail, or how many more samples it takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.metrics.pairing import paired
from bytemlperf.spec.fields import choice
from bytemlperf.statistics import Interval, StudentContrast, binomial_interval, error_of_interval

if TYPE_CHECKING:
    from bytemlperf.metrics.estimate import Estimate
    from bytemlperf.metrics.pairing import Pairing
    from bytemlperf.metrics.units import Figure, Units

MOST_SAMPLES: Final = 1_000_000_000
"""Nobody has more: a target that would take more is as good as met to the digit."""


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
        n: Samples, or what else a figure is over: questions, windows of a text, photographs.
        n_needed: So many of these with which data of this kind would decide; None if decided, or if no number would do.
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

    @property
    def two_sided(self) -> float:
        """Level of the two-sided interval whose ends are one-sided bounds at the requirement's level."""
        return 2 * self.level - 1

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
    figure: str,
    estimate: Estimate,
    requirement: Requirement,
    *,
    reference: float | None,
    whole: float | None = None,
    noun: str = "samples",
) -> Judgement | None:
    """Hold a figure and its interval against a published reference, or a stated bound, at the requirement's level.

    A share of samples has its exact binomial interval at that level. Any other figure's own interval, which was made at
    another level, counts as that many standard errors on either side, of Student's t with n - 1 degrees of freedom, and
    is made anew from these.

    Args:
        figure: Its name.
        estimate: With an interval; without one, or without a value, there is nothing to decide.
        requirement: What must hold.
        reference: What was published; may be None where the requirement states a bound.
        whole: What the figure is if all samples are right (1, or 100 for percent), if it is a share of samples; None if
            it is none.
        noun: What it is over, in plural.

    Returns:
        The judgement; None without a value, an interval or anything to hold it against.

    Source:
        Clopper and Pearson, The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial,
        Biometrika 26, 1934; for other figures Zou and Donner, as `bytemlperf.statistics.error_of_interval` cites it.
    """
    if estimate.value is None or (reference is None and requirement.bound is None):
        return None
    bound = requirement.bound_for(reference or 0.0)
    ends = _interval(estimate, estimate.n, level=requirement.two_sided, whole=whole)
    if ends is None:
        return None
    passed = requirement.decide(ends.low - bound, ends.high - bound)
    more = None if passed is not None else _more_published(estimate, requirement, bound, whole=whole)
    return Judgement(
        figure=figure,
        basis=Basis.PUBLISHED,
        passed=passed,
        value=estimate.value,
        bound=bound,
        low=ends.low - bound,
        high=ends.high - bound,
        level=requirement.level,
        n=estimate.n,
        n_needed=more,
        text=f"{figure} {estimate.value:.6g} [{ends.low:.6g}, {ends.high:.6g}] {_word(passed)} the target of "
        f"{_target(requirement, bound, reference)}{_needs(passed, more, estimate.n, noun)}{_source(requirement)}",
    )


def _target(requirement: Requirement, bound: float, reference: float | None) -> str:
    """Write what must be reached, and what it is made of."""
    side = "at least" if requirement.higher_is_better else "at most"
    if requirement.share is None or reference is None:
        return f"{side} {bound:.6g}"
    if requirement.higher_is_better:
        return f"{side} {bound:.6g} ({requirement.share:.4g} of {reference:.6g})"
    return f"{side} {bound:.6g} ({reference:.6g} / {requirement.share:.4g})"


def judge_paired(
    name: str, answers: Units, reference: Units, requirement: Requirement, *, figure: Figure, seed: int = 0
) -> Judgement | None:
    """Hold a figure against the reference's on the same units: only where the two differ counts.

    Args:
        name: Of the figure, such as `accuracy/f1`.
        answers: What the units bring by the answers.
        reference: What they bring by the reference's answers.
        requirement: With a share; a bound in the figure's own unit is no matter of pairs.
        figure: What is made of units.
        seed: Of what is drawn.

    Returns:
        The judgement; None where a bound is stated, a figure has no value, the two have no unit in common or fewer than
        20 that are more than right or wrong, or the data bound nothing.

    Raises:
        SpecError: If a unit's value lies beyond the ends that the figure states.

    Source:
        McNemar, Note on the Sampling Error of the Difference between Correlated Proportions or Percentages,
        Psychometrika 12, 1947; the intervals are those of `paired`.
    """
    if requirement.share is None:
        return None
    found = paired(answers, reference, figure, times=requirement.bound_for(1.0), seed=seed)
    interval = None if found is None else found.contrast.interval(level=requirement.two_sided)
    if found is None or interval is None or not interval.bounded:
        return None
    bound, passed = requirement.bound_for(found.reference), requirement.decide(interval.low, interval.high)
    more = _more_paired(found, requirement) if passed is None else None
    return Judgement(
        figure=name,
        basis=Basis.PAIRED,
        passed=passed,
        value=found.value,
        bound=bound,
        low=interval.low,
        high=interval.high,
        level=requirement.level,
        n=found.n,
        n_needed=more,
        text=f"{name} {found.value:.6g} {_word(passed)} {requirement.share:.4g} of the reference's "
        f"{found.reference:.6g} on the same {found.n} {found.noun} ({_how(found)})"
        f"{_needs(passed, more, found.n, found.noun)}{_source(requirement)}",
    )


def _how(found: Pairing) -> str:
    if found.differing is None:
        return "paired bootstrap"
    only = found.differing
    return f"{only.only_reference} right only by the reference, {only.only_answers} only here, p = {only.p:.3g}"


def _more_paired(found: Pairing, requirement: Requirement) -> int | None:
    def decided(n: int) -> bool:
        ends = found.grown(n).interval(level=requirement.two_sided)
        return requirement.decide(ends.low, ends.high) is not None

    return _first(found.n, decided)


def _interval(estimate: Estimate, n: int, *, level: float, whole: float | None) -> Interval | None:
    """Return a figure's two-sided interval at a level, as it would be of n samples that are like those behind it."""
    value = estimate.value
    if value is None:
        return None
    if whole is not None and n:
        found = binomial_interval(round(value / whole * n), n, level=level)
        return Interval(low=whole * found.low, high=whole * found.high, level=level)
    if estimate.low is None or estimate.high is None:
        return None
    own = Interval(low=min(value, estimate.low), high=max(value, estimate.high), level=estimate.level)
    error = error_of_interval(value, own, degrees=estimate.n - 1 if estimate.n > 1 else math.inf)
    shrunk = math.sqrt(estimate.n / n) if n else 1.0
    contrast = StudentContrast(
        distance=value, below=shrunk * error.below, above=shrunk * error.above, degrees=error.degrees
    )
    return contrast.interval(level=level)


def _more_published(estimate: Estimate, requirement: Requirement, bound: float, *, whole: float | None) -> int | None:
    if not estimate.n:
        return None

    def decided(samples: int) -> bool:
        ends = _interval(estimate, samples, level=requirement.two_sided, whole=whole)
        return ends is not None and requirement.decide(ends.low - bound, ends.high - bound) is not None

    return _first(estimate.n, decided)


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


def _needs(passed: bool | None, needed: int | None, n: int, noun: str) -> str:  # noqa: FBT001 - as above
    if passed is not None:
        return ""
    if needed is None:
        return f"; no number of {noun} would tell"
    return f"; about {needed - n:,} more {noun} would tell"


def _source(requirement: Requirement) -> str:
    return f" [{requirement.source}]" if requirement.source else ""
