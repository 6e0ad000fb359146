"""A figure of two runs over the same units: what is drawn is a unit with both of its answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import SpecError
from bytemlperf.metrics.units import Figure, Ids, Mean, Units, Weighed
from bytemlperf.statistics import (
    Contrast,
    StudentContrast,
    bootstrap_contrast,
    bounded_mean_contrast,
    grown_mean_contrast,
    mcnemar_p_value,
    paired_share_contrast,
)

FEWEST_DRAWN: Final = 20
"""With fewer units the interval of a bootstrap is too narrow to decide by."""
_RESAMPLES: Final = 2_000
_FEWEST_RESAMPLES: Final = 200
_LEVEL: Final = 0.9
_T: Final = 1.6448536269514722
"""Of a normal, at that level: which more units would tell is only asked about."""
_ROWS_DRAWN: Final = 200_000_000
"""Rows that are drawn in all: of many fewer data sets are drawn, so that it takes seconds."""


@attrs.frozen(kw_only=True)
class Differing:
    """Units that one run has right and the other wrong, as McNemar counts them.

    Attributes:
        only_reference: Right by the reference alone.
        only_answers: Right by the answers alone.
    """

    only_reference: int
    only_answers: int

    @property
    def p(self) -> float:
        """Of the exact McNemar test against "either is right as often"."""
        return mcnemar_p_value(self.only_reference, self.only_answers)


@attrs.frozen(kw_only=True)
class Pairing:
    """One figure of some answers and of a reference, over the units that both have.

    Attributes:
        value: Of the answers.
        reference: Of the reference.
        n: Units.
        noun: What they are called, in plural.
        contrast: What the data say of value - times * reference, in the figure's unit.
        grown: About what so many units would say, if they differed as these do.
        differing: In how many units right and wrong answers differ; None where units are more than right or wrong.
    """

    value: float
    reference: float
    n: int
    noun: str
    contrast: Contrast
    grown: Callable[[int], Contrast]
    differing: Differing | None = None


def paired(answers: Units, reference: Units, figure: Figure, *, times: float = 1.0, seed: int = 0) -> Pairing | None:
    """Hold a figure of some answers against that of a reference on the same units.

    Of right and wrong answers the exact intervals of both cells in which the two differ bound the distance. Other means
    of bounded values are drawn in pairs, with one unseen unit more (`bounded_mean_contrast`), and any other figure in
    pairs as it is (`bootstrap_contrast`).

    Args:
        answers: What the units bring by the answers.
        reference: What they bring by the reference. Units that only one of the two has are left out.
        figure: What is made of them.
        times: What the reference's figure is multiplied by before it is taken off.
        seed: Of what is drawn.

    Returns:
        The pairing; None where there is no unit that both have, a figure has no value, or fewer than 20 units are more
        than right or wrong.

    Raises:
        SpecError: If a value lies beyond the ends that the figure states.
    """
    ids = _common(answers, reference)
    pair = _Pair(
        answers=_side(answers, ids),
        reference=_side(reference, ids),
        figure=figure,
        times=times,
        n=len(ids),
        noun=answers.noun,
    )
    if not pair.n or not all(map(math.isfinite, pair.figures)):
        return None
    means = pair.means()
    if means is not None and means.are_right_or_wrong:
        return _counted(pair, means)
    if pair.n < FEWEST_DRAWN:
        return None
    return _drawn(pair, seed) if means is None or means.of.ends is None else _bounded(pair, means, means.of.ends, seed)


def _common(answers: Units, reference: Units) -> Ids:
    if answers.ids.dtype.kind != reference.ids.dtype.kind:
        return np.empty(0, np.int64)
    return np.intersect1d(answers.ids, reference.ids)


@attrs.frozen(kw_only=True, eq=False)
class _Side:
    """What one run brings to the units that both have.

    Attributes:
        values: float64[rows, columns], in the order of the units.
        unit: int64[rows], which unit a row is of.
    """

    values: NDArray[np.float64]
    unit: NDArray[np.intp]


def _side(units: Units, ids: Ids) -> _Side:
    place = np.searchsorted(ids, units.ids)
    rows = np.flatnonzero(np.append(ids, ids[-1:])[place] == units.ids) if len(ids) else np.empty(0, np.intp)
    rows = rows[np.argsort(place[rows], kind="stable")]
    return _Side(values=units.values[rows], unit=place[rows])


@attrs.frozen(kw_only=True, eq=False)
class _Means:
    """A mean of one value of each unit, with the values of both sides, [n]."""

    of: Mean
    answers: NDArray[np.float64]
    reference: NDArray[np.float64]

    @property
    def are_right_or_wrong(self) -> bool:
        return bool(np.isin(self.answers, (0.0, 1.0)).all() and np.isin(self.reference, (0.0, 1.0)).all())


@attrs.frozen(kw_only=True, eq=False, slots=False)
class _Pair:
    answers: _Side
    reference: _Side
    figure: Figure
    times: float
    n: int
    noun: str

    @cached_property
    def _weighed(self) -> tuple[Weighed, Weighed]:
        return self.figure(self.answers.values), self.figure(self.reference.values)

    @cached_property
    def figures(self) -> tuple[float, float]:
        """The figure of the answers and that of the reference."""
        here, there = self._of(np.ones((1, self.n)))
        return float(here[0]), float(there[0])

    def distance(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return value - times * reference of data sets in which each unit occurs so often."""
        here, there = self._of(counts)
        return here - self.times * there

    def _of(self, counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        answers, reference = self._weighed
        with np.errstate(divide="ignore", invalid="ignore"):  # a data set that has no figure has NaN
            return answers(counts[:, self.answers.unit]), reference(counts[:, self.reference.unit])

    def means(self) -> _Means | None:
        sides = (self.answers, self.reference)
        if not isinstance(self.figure, Mean) or any(len(each.unit) != self.n for each in sides):
            return None
        here, there = (each.values[:, self.figure.column] for each in sides)
        return _Means(of=self.figure, answers=here, reference=there)

    def pairing(
        self, contrast: Contrast, grown: Callable[[int], Contrast], differing: Differing | None = None
    ) -> Pairing:
        value, reference = self.figures
        return Pairing(
            value=value,
            reference=reference,
            n=self.n,
            noun=self.noun,
            contrast=contrast,
            grown=grown,
            differing=differing,
        )


def _counted(pair: _Pair, means: _Means) -> Pairing:
    differing = Differing(
        only_reference=int((means.reference > means.answers).sum()),
        only_answers=int((means.answers > means.reference).sum()),
    )
    margin = (1.0 - pair.times) * pair.figures[1]

    def grown(n: int) -> Contrast:
        only = (round(each * n / pair.n) for each in (differing.only_reference, differing.only_answers))
        return paired_share_contrast(next(only), next(only), n).scaled(means.of.scale, plus=margin)

    return pair.pairing(grown(pair.n), grown, differing)


def _bounded(pair: _Pair, means: _Means, ends: tuple[float, float], seed: int) -> Pairing:
    least, most = ends
    both = np.concatenate([means.answers, means.reference])
    if both.min() < least or both.max() > most:
        raise SpecError(
            "a unit's value lies beyond the ends of its figure",
            got=f"{both.min()} to {both.max()}",
            expected=f"{least} to {most}",
        )
    values = means.answers - pair.times * means.reference
    lowest, highest = least - pair.times * most, most - pair.times * least
    contrast = bounded_mean_contrast(values, lowest=lowest, highest=highest, seed=seed, resamples=_resamples(pair.n))

    def grown(n: int) -> Contrast:
        found = grown_mean_contrast(values, n=n, lowest=lowest, highest=highest, seed=seed)
        return found.scaled(means.of.scale)

    return pair.pairing(contrast.scaled(means.of.scale), grown)


def _drawn(pair: _Pair, seed: int) -> Pairing:
    rows = max(len(pair.answers.unit), len(pair.reference.unit))
    contrast = bootstrap_contrast(pair.distance, pair.n, seed=seed, resamples=_resamples(rows), width=rows)
    known, distance = contrast.interval(level=_LEVEL), contrast.estimate

    def grown(n: int) -> Contrast:
        shrunk = math.sqrt(pair.n / n) / _T
        below, above = (max(0.0, side) * shrunk for side in (distance - known.low, known.high - distance))
        return StudentContrast(distance=distance, below=below, above=above, degrees=math.inf)

    return pair.pairing(contrast, grown)


def _resamples(rows: int) -> int:
    return max(_FEWEST_RESAMPLES, min(_RESAMPLES, _ROWS_DRAWN // rows))
