"""The probability functions that the intervals are made of, as plain typed functions of numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from types import ModuleType

    import numpy.typing as npt


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
    """Find t with P(|T| <= t) = level of Student's T; the degrees of freedom may be fractional or infinite."""
    # Symmetry: the lower tail keeps its digits for levels near 1.
    tail = (1 - level) / 2
    return -float(_special().ndtri(tail) if degrees == math.inf else _special().stdtrit(degrees, tail))


def student_t_above(t: float, *, degrees: float) -> float:
    """Compute P(T > t) of Student's T; infinite degrees of freedom mean a normal."""
    return float(_special().ndtr(-t) if degrees == math.inf else _special().stdtr(degrees, -t))


def normal_quantile(probability: float) -> float:
    """Find z with P(Z <= z) = probability of a standard normal Z."""
    return float(_special().ndtri(probability))


def normal_probability(z: float) -> float:
    """Compute P(Z <= z) of a standard normal Z."""
    return float(_special().ndtr(z))


def binomial_masses(counts: npt.NDArray[np.int64], *, trials: int, p: float) -> npt.NDArray[np.float64]:
    """Compute P(B = k) of a binomial B for each k of an array, for 0 < p < 1."""
    special = _special()
    ways = special.gammaln(trials + 1) - special.gammaln(counts + 1) - special.gammaln(trials - counts + 1)
    masses: npt.NDArray[np.float64] = np.exp(ways + counts * math.log(p) + (trials - counts) * math.log1p(-p))
    return masses


def brownian_bridge_above(x: float) -> float:
    """Compute P(sup |B| > x) of a Brownian bridge B: Kolmogorov's distribution."""
    return float(_special().kolmogorov(x))


def noncentral_t_above(t: float, *, degrees: float, shift: float) -> float:
    """Compute P(T > t) of a non-central T; infinite degrees of freedom mean a normal around the shift."""
    if degrees == math.inf:
        return float(_special().ndtr(shift - t))
    return 1 - float(_special().nctdtr(degrees, shift, t))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Compute the regularised incomplete beta I_x(a, b)."""
    return float(_special().betainc(a, b, x))
