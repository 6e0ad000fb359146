"""What the units that a figure is over bring to it, kept so that two runs can be paired unit by unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from bytemlperf.errors import SpecError

MOST_UNITS: Final = 2**20
"""Of larger data a metric of this package tells the first units only: what it keeps does not grow for ever."""

Ids: TypeAlias = NDArray[np.int64] | NDArray[np.str_]

Weighed: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Takes how often each row is in some data sets, float64[draws, rows], and gives the figure of each, float64[draws].

NaN where a data set has none.
"""

Figure: TypeAlias = Callable[[NDArray[np.float64]], Weighed]
"""Takes the rows of all units, float64[rows, columns], and says how the figure follows from how often each counts."""


def _is_table(units: Units, _: object, values: NDArray[np.float64]) -> None:
    if values.ndim != 2 or units.ids.shape != values.shape[:1] or units.ids.dtype.kind not in "iU":  # noqa: PLR2004 - rows, columns
        raise SpecError(
            "these are no units",
            got=f"ids {units.ids.dtype} {units.ids.shape}, values {values.shape}",
            expected="ids [rows], whole numbers or texts, and values [rows, columns]",
        )


def _as_ids(ids: npt.ArrayLike) -> Ids:
    array = np.asarray(ids)
    return array.astype(np.int64) if array.dtype.kind == "u" or not array.size else array


def _as_values(values: npt.ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, np.float64)


@attrs.frozen(kw_only=True, eq=False)
class Units:
    """What each unit brings to the figures of a metric.

    A unit is what could have been drawn instead: a sample, a question, a triplet, a window of a text, a photograph.

    Attributes:
        ids: int64[rows] or str[rows], the unit that a row is of; rows of one unit (the boxes of a photograph) share it
            and stand together.
        values: float64[rows, columns], what the row brings; what the columns mean is the metric's.
        noun: What units are called, in plural.

    Raises:
        SpecError: If ids and values do not fit each other.
    """

    ids: Ids = attrs.field(converter=_as_ids)
    values: NDArray[np.float64] = attrs.field(converter=_as_values, validator=_is_table)
    noun: str = "samples"

    @property
    def count(self) -> int:
        """How many units there are."""
        return len(np.unique(self.ids))

    def leading(self, most_bytes: int) -> Units:
        """Return the first units, as many as take no more than this; a copy where that is not all of them."""
        rows = most_bytes // (self.ids.itemsize + 8 * self.values.shape[1])
        if rows >= len(self.ids):
            return self
        kept = np.flatnonzero(self.ids[:rows] != self.ids[rows])
        return attrs.evolve(self, ids=self.ids[kept], values=self.values[kept])

    @classmethod
    def of_samples(cls, values: npt.ArrayLike) -> Units:
        """Return samples in the order of the data, by one value each, [n]."""
        column = np.asarray(values, np.float64)[:, np.newaxis]
        return cls(ids=np.arange(len(column)), values=column)


@attrs.frozen(kw_only=True)
class Mean:
    """A figure that is the mean of one value of each unit.

    Attributes:
        column: Which of the values.
        scale: What the mean is multiplied by, 100 for percent; above 0.
        ends: The least and the largest value that a unit can have; None where it has no bound. With them a decision
            allows for units that differ and happen not to be among those that were seen.

    Example:
        >>> Mean(scale=100.0)(np.array([[1.0], [0.0]]))(np.array([[1.0, 1.0], [3.0, 1.0]])).tolist()
        [50.0, 75.0]
    """

    column: int = 0
    scale: float = 1.0
    ends: tuple[float, float] | None = None

    def __call__(self, values: NDArray[np.float64], /) -> Weighed:
        """Return how the mean of these rows, [rows, columns], follows from how often each counts."""
        column = self.scale * values[:, self.column]
        return lambda weights: weights @ column / weights.sum(axis=1)


@attrs.frozen
class OfSums:
    """A figure that is a smooth function of sums over units, such as errors over words, or exp(loss / tokens).

    Attributes:
        function: Takes the sums of all columns, float64[draws, columns], and gives the figures, float64[draws].

    Example:
        >>> rate = OfSums(lambda sums: sums[:, 0] / sums[:, 1])
        >>> rate(np.array([[1.0, 10.0], [0.0, 12.0]]))(np.array([[1.0, 0.0], [1.0, 1.0]])).round(3).tolist()
        [0.1, 0.045]
    """

    function: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def __call__(self, values: NDArray[np.float64], /) -> Weighed:
        """Return how the figure of these rows, [rows, columns], follows from how often each counts."""
        return lambda weights: self.function(weights @ values)
