"""The exact interval of a share: accuracy, for example."""

from __future__ import annotations

from typing import Literal

from bytemlperf.statistics._distributions import beta_quantile, beta_upper_quantile, incomplete_beta
from bytemlperf.statistics.interval import Interval, check_level


def binomial_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Bound the probability behind `successes` out of `n` independent trials, at least at the level.

    The bounds are those probabilities for which a count this great, or this small, is just as rare as
    (1 - level) / 2. They stay within [0, 1], and 0 or n successes give no width of zero.

    Raises:
        ValueError: unless 0 <= successes <= n, n >= 1 and 0 < level < 1.

    Source:
        Clopper and Pearson, The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial,
        Biometrika 26(4), 1934, pp. 404-413.

    Example:
        >>> interval = binomial_interval(350, 360)
        >>> round(interval.low, 4), round(interval.high, 4)
        (0.9495, 0.9866)
    """
    check_level(level)
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"successes must lie between 0 and n, and n be at least 1, got {successes!r} of {n!r}")
    tail = (1 - level) / 2
    low = beta_quantile(tail, a=successes, b=n - successes + 1) if successes else 0.0
    high = beta_upper_quantile(tail, a=successes + 1, b=n - successes) if successes < n else 1.0
    return Interval(low=low, high=high, level=level)


def share_above(successes: float, trials: float, bound: float, *, side: Literal["above", "below"]) -> float:
    """Return the p-value of an exact one-sided test of a share, also for an effective number of trials.

    Args:
        successes: How many; need not be whole, where the trials are an effective number.
        trials: Of how many.
        bound: Share strictly between 0 and 1 that the true one is tested against.
        side: `above` for evidence that the true share is above the bound, `below` that it is below it.

    Raises:
        ValueError: unless 0 <= successes <= trials, trials > 0 and 0 < bound < 1.

    Source:
        Clopper and Pearson, The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial,
        Biometrika 26(4), 1934, pp. 404-413, by the incomplete beta.

    Example:
        >>> share_above(0, 459, 0.01, side="below") <= 0.01 < share_above(0, 458, 0.01, side="below")
        True
    """
    if not (0 <= successes <= trials and trials > 0 and 0 < bound < 1):
        raise ValueError(f"need 0 <= successes <= trials and 0 < bound < 1, got {successes!r}, {trials!r}, {bound!r}")
    if side == "below":
        return 1.0 if successes == trials else incomplete_beta(trials - successes, successes + 1, 1 - bound)
    return 1.0 if successes == 0 else incomplete_beta(successes, trials - successes + 1, bound)
