"""The probability functions that the intervals are made of, as plain typed functions of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


def _special() -> ModuleType:
    # Not at the top: it takes 0.3 s, which whoever only reads an Interval need not pay.
    import scipy.special

    module: ModuleType = scipy.special
    return module


def binomial_at_least(successes: int, *, trials: int, p: float) -> float:
    """Compute P(B >= successes) of a binomial B, for successes >= 1, as the incomplete beta I_p(k, n - k + 1)."""
    return float(_special().betainc(successes, trials - successes + 1, p))


def binomial_at_most(successes: int, *, trials: int, p: float) -> float:
    """Compute P(B <= successes) of a binomial B, for successes < trials, as 1 - I_p(k + 1, n - k)."""
    return float(_special().betaincc(successes + 1, trials - successes, p))


def beta_quantile(probability: float, *, a: float, b: float) -> float:
    """Find x with P(Beta(a, b) <= x) = probability."""
    return float(_special().betaincinv(a, b, probability))


def beta_upper_quantile(probability: float, *, a: float, b: float) -> float:
    """Find x with P(Beta(a, b) > x) = probability; exact where 1 - probability would lose digits."""
    return float(_special().betainccinv(a, b, probability))


def student_t_two_sided(level: float, *, degrees: float) -> float:
    """Find t with P(|T| <= t) = level of Student's T; the degrees of freedom may be fractional."""
    # Symmetry: the lower tail keeps its digits for levels near 1.
    return -float(_special().stdtrit(degrees, (1 - level) / 2))


def normal_quantile(probability: float) -> float:
    """Find z with P(Z <= z) = probability of a standard normal Z."""
    return float(_special().ndtri(probability))


def normal_probability(z: float) -> float:
    """Compute P(Z <= z) of a standard normal Z."""
    return float(_special().ndtr(z))
