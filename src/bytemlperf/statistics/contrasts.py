"""How far one figure lies from another: estimate, interval and evidence, whatever the figures are."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import attrs

from bytemlperf.statistics._distributions import student_t_above, student_t_two_sided
from bytemlperf.statistics.interval import Interval, check_level


class Contrast(ABC):
    """What data say of how far b lies from a: b - a, or the logarithm of b / a.

    Whoever makes one states how the data bound it on either side; the tests follow from that and cannot disagree with
    the interval.
    """

    @property
    @abstractmethod
    def estimate(self) -> float:
        """The distance that was measured."""

    @abstractmethod
    def p_above(self, bound: float) -> float:
        """Return the p-value against "the true distance is at most `bound`"; small is evidence that it is greater."""

    @abstractmethod
    def p_below(self, bound: float) -> float:
        """Return the p-value against "the true distance is at least `bound`"; small is evidence that it is less."""

    @abstractmethod
    def interval(self, *, level: float = 0.95) -> Interval:
        """Bound the true distance by all values that neither one-sided test refuses at (1 - level) / 2.

        Raises:
            ValueError: unless 0 < level < 1.
        """

    def p_difference(self) -> float:
        """Return the two-sided p-value against "there is no difference": twice the smaller of the one-sided ones."""
        return min(1.0, 2 * min(self.p_above(0.0), self.p_below(0.0)))

    def p_equivalence(self, margin: float) -> float:
        """Return the p-value against "the true distance is `margin` or more, either way": two one-sided tests.

        Raises:
            ValueError: if the margin is negative or not finite.

        Source:
            Schuirmann, A Comparison of the Two One-Sided Tests Procedure and the Power Approach for Assessing the
            Equivalence of Average Bioavailability, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987,
            pp. 657-680.
        """
        if not 0 <= margin < math.inf:
            raise ValueError(f"margin must be finite and not negative, got {margin!r}")
        return max(self.p_above(-margin), self.p_below(margin))

    def scaled(self, factor: float, *, plus: float = 0.0) -> Contrast:
        """Return what the same data say of the distance times a factor, as for another unit, plus a known number.

        Raises:
            ValueError: unless the factor is positive and both are finite.
        """
        if not (0 < factor < math.inf and math.isfinite(plus)):
            raise ValueError(f"need a positive factor and a finite number, got {factor!r} and {plus!r}")
        return _Scaled(contrast=self, factor=factor, plus=plus)


@attrs.frozen(kw_only=True)
class _Scaled(Contrast):
    contrast: Contrast
    factor: float
    plus: float

    @property
    def estimate(self) -> float:
        return self._of(self.contrast.estimate)

    def p_above(self, bound: float) -> float:
        return self.contrast.p_above((bound - self.plus) / self.factor)

    def p_below(self, bound: float) -> float:
        return self.contrast.p_below((bound - self.plus) / self.factor)

    def interval(self, *, level: float = 0.95) -> Interval:
        found = self.contrast.interval(level=level)
        return Interval(low=self._of(found.low), high=self._of(found.high), level=level)

    def _of(self, distance: float) -> float:
        return distance * self.factor + self.plus


@attrs.frozen(kw_only=True)
class StandardError:
    """A figure and how far chance moves it.

    Attributes:
        value: The figure.
        below: Standard error towards smaller values, at least 0; infinite where the data do not bound it.
        above: Standard error towards greater values, at least 0; infinite where the data do not bound it.
        degrees: Degrees of freedom of the errors; infinite where they count as known.
    """

    value: float
    below: float = attrs.field(validator=attrs.validators.ge(0))
    above: float = attrs.field(validator=attrs.validators.ge(0))
    degrees: float = attrs.field(default=math.inf, validator=attrs.validators.gt(0))

    def logarithm(self) -> StandardError:
        """Return the logarithm of the figure, its errors divided by it (first order).

        Raises:
            ValueError: if the figure is not above 0.
        """
        if self.value <= 0:
            raise ValueError(f"only a figure above 0 has a logarithm, got {self.value!r}")
        return attrs.evolve(
            self, value=math.log(self.value), below=self.below / self.value, above=self.above / self.value
        )


def error_of_interval(value: float, interval: Interval, *, degrees: float = math.inf) -> StandardError:
    """Read an interval's ends as that many standard errors as its level says, each end for itself.

    Args:
        value: The figure, inside its interval.
        interval: An end that is infinite bounds nothing.
        degrees: Degrees of freedom that the interval was made with; infinite for a normal.

    Raises:
        ValueError: if the figure is outside its interval.

    Source:
        Zou and Donner, Construction of Confidence Limits about Effect Measures: A General Approach, Statistics in
        Medicine 27, 2008, pp. 1693-1702 (limits recovered from separate intervals).
    """
    if not interval.contains(value):
        raise ValueError(f"a figure must be in its interval, got {value!r} in {interval}")
    t = student_t_two_sided(interval.level, degrees=degrees)
    return StandardError(
        value=value, below=(value - interval.low) / t, above=(interval.high - value) / t, degrees=degrees
    )


@attrs.frozen(kw_only=True)
class StudentContrast(Contrast):
    """The distance of two figures whose errors are known, by Student's t.

    Attributes:
        distance: b - a.
        below: Standard error of the distance towards smaller values.
        above: Standard error of the distance towards greater values.
        degrees: Degrees of freedom.
    """

    distance: float
    below: float
    above: float
    degrees: float

    @property
    def estimate(self) -> float:
        """The distance that was measured."""
        return self.distance

    def p_above(self, bound: float) -> float:
        """Return the p-value against "the true distance is at most `bound`"."""
        return self._above(self.distance - bound)

    def p_below(self, bound: float) -> float:
        """Return the p-value against "the true distance is at least `bound`"."""
        return self._above(bound - self.distance, swapped=True)

    def _above(self, excess: float, *, swapped: bool = False) -> float:
        # Evidence that it is greater rests on how far it may really lie below, and the other way round.
        error = self.below if (excess > 0) is not swapped else self.above
        if error == 0:
            return 0.5 if excess == 0 else float(excess < 0)
        return student_t_above(excess / error, degrees=self.degrees)

    def interval(self, *, level: float = 0.95) -> Interval:
        """Bound the true distance: distance - t * below to distance + t * above.

        Raises:
            ValueError: unless 0 < level < 1.
        """
        check_level(level)
        t = student_t_two_sided(level, degrees=self.degrees)
        return Interval(low=self.distance - t * self.below, high=self.distance + t * self.above, level=level)


def student_contrast(a: StandardError, b: StandardError) -> StudentContrast:
    """Compare two independent figures by Welch's t: errors add in squares, each on its own side.

    Where the errors of a figure differ towards either side, those add that work together: towards smaller distances
    b's lower and a's upper one.

    Source:
        Welch, The Generalization of "Student's" Problem when Several Different Population Variances are Involved,
        Biometrika 34, 1947, pp. 28-35; unequal sides: Zou and Donner, Construction of Confidence Limits about Effect
        Measures: A General Approach, Statistics in Medicine 27, 2008, pp. 1693-1702.

    Example:
        >>> a, b = StandardError(value=10, below=3, above=3), StandardError(value=20, below=4, above=4)
        >>> contrast = student_contrast(a, b)
        >>> contrast.estimate, contrast.below
        (10, 5.0)
    """
    return StudentContrast(
        distance=b.value - a.value,
        below=math.hypot(b.below, a.above),
        above=math.hypot(b.above, a.below),
        degrees=_degrees((a, b)),
    )


def _degrees(sides: tuple[StandardError, StandardError]) -> float:
    """Welch and Satterthwaite: (sum of variances)^2 / sum of variance^2 / degrees."""
    variances = [((each.below + each.above) / 2) ** 2 for each in sides]
    if not all(map(math.isfinite, variances)) or not sum(variances):
        return min(each.degrees for each in sides)
    share = [variance / sum(variances) for variance in variances]
    inverse = sum(part**2 / each.degrees for part, each in zip(share, sides, strict=True))
    return 1 / inverse if inverse else math.inf
