"""Mean, spread and peak of numbers that come in parts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class Moments:
    """What is kept of values that are none below 0; parts are added by `plus`, in any order.

    Attributes:
        n: How many values.
        mean: Their arithmetic mean; 0 without any.
        squares: Sum of squared deviations from the mean.
        peak: Largest value; 0 without any.

    Source:
        Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, COMPSTAT
        1982.
    """

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    peak: float = 0.0

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Moments:
        """Sum up values [n], each at least 0 and finite."""
        if not values.size:
            return cls()
        mean = float(values.mean())
        return cls(n=values.size, mean=mean, squares=float(np.square(values - mean).sum()), peak=float(values.max()))

    def plus(self, other: Moments) -> Moments:
        """Return the moments of both sets of values together."""
        n = self.n + other.n
        if not n:
            return self
        apart = other.mean - self.mean
        return Moments(
            n=n,
            mean=self.mean + apart * (other.n / n),
            squares=self.squares + other.squares + apart * apart * (self.n * (other.n / n)),
            peak=max(self.peak, other.peak),
        )

    @property
    def std(self) -> float:
        """Standard deviation, divided by n and not by n - 1; 0 without any value."""
        return math.sqrt(self.squares / self.n) if self.n else 0.0
