"""End a run when its percentile is known as well as was asked for, without fooling oneself by looking often."""

from __future__ import annotations

import math
from typing import Final

import attrs

from bytemlperf.spec.fields import positive, share

GROWTH: Final = 1.25
"""From one look to the next: a run is at most a quarter longer than it had to be, and all looks cost little."""


@attrs.frozen(kw_only=True)
class Look:
    """One look at the first latencies of a run, by their ranks from 0 in ascending order.

    Attributes:
        n: How many of the first queries are looked at.
        low: Rank of the lower end of the interval.
        value: Rank of the percentile.
        high: Rank of the upper end.
    """

    n: int
    low: int
    value: int
    high: int


@attrs.frozen(kw_only=True)
class Certainty:
    """Until the interval of a percentile of latency lies within a share of it: p99 within 5 %.

    Who looks at an interval again and again, and stops when it is narrow, stops too early too often. So looks come
    at numbers of queries that are fixed beforehand, each `GROWTH` times the last, and share the error evenly: that
    *any* of their intervals misses the true percentile has at most the probability 1 - level, whichever is the last.
    Each look takes the first queries in the order of the plan, all of them ended: quick answers are not preferred.

    Attributes:
        percentile: Of latency, as a share.
        within: Each end of the interval differs from the percentile by at most this share of it.
        level: Confidence of all looks together. The latencies count as independent of each other.

    Source: Bonferroni's inequality over the looks; exact order-statistic intervals, `statistics.quantile_ranks`.
    """

    percentile: float = attrs.field(default=0.99, validator=share())
    within: float = attrs.field(default=0.05, validator=positive())
    level: float = attrs.field(default=0.95, validator=share())

    @property
    def key(self) -> str:
        """Short stable text for row keys."""
        return f"p{100 * self.percentile:g}-within-{self.within:g}-at-{self.level:g}"

    def looks(self, most: int) -> tuple[Look, ...]:
        """Return the looks at a run of at most so many queries; none where they are too few for any.

        Example:
            >>> [look.n for look in Certainty(percentile=0.5).looks(40)]
            [9, 12, 15, 19, 24, 30, 38]
        """
        from bytemlperf.statistics import quantile_ranks, samples_needed

        count = 0
        while True:  # with more looks each has less error, and the first one takes more queries
            level = 1 - (1 - self.level) / max(count, 1)
            sizes = _sizes(samples_needed(self.percentile, level=level), most)
            if len(sizes) <= count:
                break
            count += 1
        found = []
        for n in sizes:
            ranks = quantile_ranks(n, self.percentile, level=level)
            assert ranks.lower is not None
            assert ranks.upper is not None
            found.append(Look(n=n, low=ranks.lower - 1, value=int(n * self.percentile), high=ranks.upper - 1))
        return tuple(found)


def _sizes(first: int, most: int) -> list[int]:
    sizes, n = [], first
    while n <= most:
        sizes.append(n)
        n = math.ceil(n * GROWTH)
    return sizes
