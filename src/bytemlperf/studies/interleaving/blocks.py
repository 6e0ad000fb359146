"""Blocks of four measurements in turn, and what they say: the pure part."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

import attrs
import numpy as np

from bytemlperf.report import Decision
from bytemlperf.statistics import Contrast, Interval, StandardError, mean_error, student_contrast

Letter: TypeAlias = Literal["a", "b"]
Order: TypeAlias = tuple[Letter, Letter, Letter, Letter]
Measure: TypeAlias = Callable[[Letter], float]
"""Measures one side once; returns a time in ns."""

ABBA: Final[Order] = ("a", "b", "b", "a")
BAAB: Final[Order] = ("b", "a", "a", "b")


@attrs.frozen(kw_only=True)
class Block:
    """Two measurements of each side, in turn.

    Attributes:
        order: `abba` or `baab`.
        a_ns: Geometric mean of the times of a.
        b_ns: Geometric mean of the times of b.
        round: Number of the pair of processes that it was measured in, from 1.
    """

    order: str
    a_ns: float
    b_ns: float
    round: int = 1

    @property
    def log_speed(self) -> float:
        """Logarithm of how many times as fast b is as a."""
        return math.log(self.a_ns / self.b_ns)


def orders(seed: int) -> Iterator[Order]:
    """Yield orders of blocks without end: in every two, one of each, by chance which comes first."""
    rng = np.random.default_rng(seed)
    while True:
        pair = [ABBA, BAAB]
        yield from (pair[index] for index in rng.permutation(2))


def measured(order: Order, measure: Measure, *, number: int) -> Block:
    """Measure a block.

    In it each side has the same mean place, so that a trend over the block is on neither.

    Args:
        order: Of the sides.
        measure: Measures one side once.
        number: Of the pair of processes.
    """
    times: dict[Letter, list[float]] = {"a": [], "b": []}
    for letter in order:
        times[letter].append(math.log(measure(letter)))
    a_ns, b_ns = (math.exp(sum(times[letter]) / len(times[letter])) for letter in ("a", "b"))
    return Block(order="".join(order), a_ns=a_ns, b_ns=b_ns, round=number)


@attrs.frozen(kw_only=True, eq=False)
class Weighed:
    """What blocks say of b against a.

    Attributes:
        contrast: Of the logarithm of how many times as fast b is.
        units: Observations behind it.
        about: What they are, and so what the decision is about.
    """

    contrast: Contrast
    units: int
    about: str

    def interval(self, level: float) -> Interval:
        """Bound how many times as fast b is as a; infinite where the data do not."""
        found = self.contrast.interval(level=level)
        return Interval(low=_exp(found.low), high=_exp(found.high), level=level)

    def decision(self, *, level: float, equivalence: float) -> Decision:
        """Decide as a comparison of reports does: equivalence first, then a difference."""
        if self.contrast.p_equivalence(math.log1p(equivalence)) <= 1 - level:
            return Decision.EQUIVALENT
        if self.contrast.p_difference() <= 1 - level:
            return Decision.FASTER if self.contrast.estimate > 0 else Decision.SLOWER
        return Decision.UNDECIDED


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0)) if value < math.inf else math.inf


def weigh(blocks: Sequence[Block]) -> Weighed:
    """Weigh blocks: by pairs of processes where there are several, else by blocks with their memory allowed for.

    Args:
        blocks: In order of time, at least one.

    Raises:
        ValueError: If there is none.

    Source:
        Student's t of paired logarithms; several pairs of processes as the unit: Georges, Buytaert and Eeckhout,
        Statistically Rigorous Java Performance Evaluation, OOPSLA 2007; randomised balanced blocks: Box, Hunter and
        Hunter, Statistics for Experimenters, 2nd edition, Wiley 2005, chapter 4.
    """
    rounds = sorted({block.round for block in blocks})
    if len(rounds) > 1:
        values = [float(np.mean([each.log_speed for each in blocks if each.round == number])) for number in rounds]
        error = _independent(values)
        return Weighed(contrast=_from_zero(error), units=len(values), about="pairs of processes on this machine")
    values = [block.log_speed for block in blocks]
    return Weighed(contrast=_from_zero(mean_error(values)), units=len(values), about="these two processes")


def _independent(values: Sequence[float]) -> StandardError:
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return StandardError(value=float(np.mean(values)), below=error, above=error, degrees=len(values) - 1)


def _from_zero(error: StandardError) -> Contrast:
    return student_contrast(StandardError(value=0.0, below=0.0, above=0.0), error)
