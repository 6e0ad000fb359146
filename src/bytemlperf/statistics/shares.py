"""How far two shares lie apart, such as the accuracy of two models: on the same samples, or on others."""

from __future__ import annotations

import math

import attrs

from bytemlperf.statistics._distributions import binomial_at_most
from bytemlperf.statistics._inverting import p_value_of
from bytemlperf.statistics.contrasts import Contrast
from bytemlperf.statistics.interval import Interval, check_level
from bytemlperf.statistics.proportion import binomial_interval


@attrs.frozen(kw_only=True)
class _ShareContrast(Contrast):
    """The distance of two shares, from an exact interval of each.

    Attributes:
        a: Successes and trials whose share is taken off.
        b: Successes and trials whose share counts.
        correlation: Of the two shares.
    """

    a: tuple[int, int]
    b: tuple[int, int]
    correlation: float = 0.0

    @property
    def estimate(self) -> float:
        return self.b[0] / self.b[1] - self.a[0] / self.a[1]

    def p_above(self, bound: float) -> float:
        return p_value_of(lambda tail: self._bounds(tail)[0] > bound)

    def p_below(self, bound: float) -> float:
        return p_value_of(lambda tail: self._bounds(tail)[1] < bound)

    def interval(self, *, level: float = 0.95) -> Interval:
        check_level(level)
        low, high = self._bounds((1 - level) / 2)
        return Interval(low=max(low, -1.0), high=min(high, 1.0), level=level)

    def _bounds(self, tail: float) -> tuple[float, float]:
        of_a = binomial_interval(*self.a, level=1 - 2 * tail)
        of_b = binomial_interval(*self.b, level=1 - 2 * tail)
        share_a, share_b = self.a[0] / self.a[1], self.b[0] / self.b[1]
        below = self._joined(share_b - of_b.low, of_a.high - share_a)
        above = self._joined(of_b.high - share_b, share_a - of_a.low)
        return self.estimate - below, self.estimate + above

    def _joined(self, x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x + y * y - 2 * self.correlation * x * y))


def share_contrast(a: tuple[int, int], b: tuple[int, int]) -> Contrast:
    """Compare two shares of independent samples, each with its exact interval.

    Shares of the same samples are alike, so that this finds less than `paired_share_contrast`, which needs to know
    which samples they are.

    Args:
        a: Successes and trials.
        b: Successes and trials of the other.

    Returns:
        Share of b less share of a.

    Raises:
        ValueError: unless 0 <= successes <= trials and trials >= 1.

    Source:
        Limits from two separate intervals: Newcombe, Interval Estimation for the Difference Between Independent
        Proportions, Statistics in Medicine 17, 1998, pp. 873-890, method 10, here with exact intervals
        (`binomial_interval`).

    Example:
        >>> interval = share_contrast((50, 100), (70, 100)).interval()
        >>> interval.low > 0 and interval.contains(0.2)
        True
    """
    for successes, trials in (a, b):
        binomial_interval(successes, trials)
    return _ShareContrast(a=a, b=b)


def paired_share_contrast(only_a: int, only_b: int, n: int) -> Contrast:
    """Compare two shares of the same samples, by those samples alone that one has and the other has not.

    The distance is (only_b - only_a) / n. Its interval is put together from the exact ones of the two cells, which in
    a multinomial are correlated; it has no width of zero even if the two never differ. For the question whether there
    is a difference at all, `mcnemar_p_value` is exact.

    Args:
        only_a: Samples that a has and b has not.
        only_b: Samples that b has and a has not.
        n: All samples.

    Raises:
        ValueError: unless the counts are not negative, n >= 1 and only_a + only_b <= n.

    Source:
        Zou and Donner, Construction of Confidence Limits about Effect Measures: A General Approach, Statistics in
        Medicine 27, 2008, pp. 1693-1702, for correlated estimates.
    """
    if only_a < 0 or only_b < 0 or n < 1 or only_a + only_b > n:
        raise ValueError(f"no counts of {n!r} samples: {only_a!r} and {only_b!r}")
    rest_a, rest_b = n - only_a, n - only_b
    correlation = -math.sqrt(only_a * only_b / (rest_a * rest_b)) if rest_a and rest_b else -1.0
    return _ShareContrast(a=(only_a, n), b=(only_b, n), correlation=correlation)


def mcnemar_p_value(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p-value against "either of two answers to the same samples is right as often".

    Of the samples where one is right and the other wrong, each is then a fair coin: twice the lower binomial tail.

    Args:
        only_a: Samples that a has right and b wrong.
        only_b: Samples that b has right and a wrong.

    Raises:
        ValueError: if a count is negative.

    Source:
        McNemar, Note on the Sampling Error of the Difference Between Correlated Proportions or Percentages,
        Psychometrika 12, 1947, pp. 153-157; the exact form is the sign test.

    Example:
        >>> mcnemar_p_value(1, 5)
        0.21875
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"counts must not be negative, got {only_a!r} and {only_b!r}")
    if only_a == only_b:
        return 1.0
    return min(1.0, 2 * binomial_at_most(min(only_a, only_b), trials=only_a + only_b, p=0.5))
