"""How often decisions in pairs are right: intervals of the distance of two runs on the same units.

Two runs are drawn from a large population in which the distance is known, and the target is put exactly where the
truth is: whatever is decided then is wrong, and may be so in 5 of 100 tries. Prints a table in Markdown. 1,000
repetitions take an hour; another number may be given: `python benchmarks/paired_coverage.py 200`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.metrics import (
    Auc,
    DetectionMap,
    Figure,
    LogLoss,
    Perplexity,
    Requirement,
    Squad,
    Units,
    figures_in_pairs,
    paired,
)

Floats = NDArray[np.float64]
POPULATION = 100_000
REPETITIONS = 1_000
SIZES = (50, 200, 512)


@attrs.frozen(kw_only=True, eq=False)
class Population:
    """Two runs on many units.

    Attributes:
        figure: Name of the figure.
        data: How the runs differ.
        how: How the figure is made of units.
        answers: float64[rows, columns].
        reference: float64[rows, columns].
        rows: Of each unit, where its rows begin in the answers and in the reference; None for one row each.
    """

    figure: str
    data: str
    how: Figure
    answers: Floats
    reference: Floats
    starts: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    @property
    def times(self) -> float:
        """The share at which the target is met exactly."""
        here, there = (float(self.how(each)(np.ones((1, len(each))))[0]) for each in (self.answers, self.reference))
        return here / there

    def drawn(self, rng: np.random.Generator, n: int) -> tuple[Units, Units]:
        """Return n units of both runs."""
        if self.starts is None:
            chosen = rng.integers(len(self.answers), size=n)
            return (
                Units(ids=np.arange(n), values=self.answers[chosen]),
                Units(ids=np.arange(n), values=self.reference[chosen]),
            )
        chosen = rng.integers(len(self.starts[0]) - 1, size=n)
        return _cut(self.answers, self.starts[0], chosen), _cut(self.reference, self.starts[1], chosen)


def _cut(values: Floats, starts: NDArray[np.int64], chosen: NDArray[np.int64]) -> Units:
    rows = [np.arange(starts[each], starts[each + 1]) for each in chosen]
    return Units(
        ids=np.repeat(np.arange(len(chosen)), [len(each) for each in rows]), values=values[np.concatenate(rows)]
    )


def main(repetitions: int) -> None:
    """Print how often intervals hold the truth, and how often the target is passed or failed; (!) beyond two errors."""
    rng = np.random.default_rng(20261130)
    print(
        "| figure | how the runs differ | units | tries | held at 95 % | passed at the target | failed at the target |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for population in populations(rng):
        tries = repetitions if population.starts is None else repetitions // 2
        error = 2 * math.sqrt(0.05 * 0.95 / tries)
        for n in SIZES:
            held, passed, failed = decided(population, rng, n, tries)
            marks = (held < 0.95 - error, passed > 0.05 + error, failed > 0.05 + error)
            shares = [
                f"{100 * each:.1f} %{' (!)' if mark else ''}"
                for each, mark in zip((held, passed, failed), marks, strict=True)
            ]
            print(f"| `{population.figure}` | {population.data} | {n} | {tries} | {' | '.join(shares)} |", flush=True)


def decided(
    population: Population, rng: np.random.Generator, n: int, repetitions: int, *, level: float = 0.95
) -> tuple[float, float, float]:
    """Return how often the 95 % interval holds the truth, and how often the target is passed and failed at a level."""
    held, passed, failed, times = 0, 0, 0, population.times
    higher = population.figure not in {"perplexity", "log_loss"}
    target = Requirement(share=1.0, higher_is_better=higher, level=level)
    for seed in range(repetitions):
        answers, reference = population.drawn(rng, n)
        found = paired(answers, reference, population.how, times=times, seed=seed)
        if found is None:
            held += 1  # nothing is claimed
            continue
        two, one = (found.contrast.interval(level=each) for each in (0.95, target.two_sided))
        held += two.contains(0.0)
        outcome = target.decide(one.low, one.high)
        passed += outcome is True
        failed += outcome is False
    return held / repetitions, passed / repetitions, failed / repetitions


def populations(rng: np.random.Generator) -> Iterator[Population]:
    """Yield a population of every kind of figure, with few and with many differences."""
    yield from questions(rng)
    yield from windows(rng)
    yield from clicks(rng)
    yield from photographs(rng)


def questions(rng: np.random.Generator) -> Iterator[Population]:
    """Exact match and F1 of questions, of which some are answered otherwise."""
    for differing, told in ((0.02, "2 % of the answers are lost"), (0.1, "10 % are others"), (0.6, "60 % are shorter")):
        reference, other = (_f1(rng, POPULATION) for _ in range(2))
        if "lost" in told:
            other = np.zeros(POPULATION)
        if "shorter" in told:
            other = reference * rng.choice([0.8, 0.9, 1.0], POPULATION)
        answers = np.where(rng.random(POPULATION) < differing, other, reference)
        values = [np.stack([each == 1.0, each], axis=1).astype(np.float64) for each in (answers, reference)]
        for name, how in Squad.figures.items():
            yield Population(
                figure=name.removeprefix("accuracy/"), data=told, how=how, answers=values[0], reference=values[1]
            )


def _f1(rng: np.random.Generator, n: int) -> Floats:
    """Return scores of which 80 % are 1, 10 % are 0 and the rest lies between."""
    return np.choose(rng.choice(3, n, p=[0.1, 0.8, 0.1]), [np.zeros(n), np.ones(n), rng.beta(2, 2, n)])


def windows(rng: np.random.Generator) -> Iterator[Population]:
    """Perplexity of windows, of which the last tokens are missing here and there."""
    (how,) = Perplexity.figures.values()
    tokens = rng.integers(100, 513, POPULATION).astype(np.float64)
    loss = tokens * rng.gamma(20, 2.5 / 20, POPULATION)
    for noise, failing, told in ((0.01, 0.0, "every window by 1 %"), (0.001, 0.02, "2 % of the windows by a third")):
        other = loss * (1 + noise * rng.standard_normal(POPULATION)) * (1 + 0.33 * (rng.random(POPULATION) < failing))
        here, there = (np.stack([each, tokens], axis=1) for each in (other, loss))
        yield Population(figure="perplexity", data=told, how=how, answers=here, reference=there)


def clicks(rng: np.random.Generator) -> Iterator[Population]:
    """Log loss and area of clicks: logits with some noise."""
    for rate in (0.25, 0.05):
        clicked = rng.random(POPULATION) < rate
        logit = rng.normal(2.0 * clicked) + math.log(rate / (1 - rate)) - 1.0
        other = logit + 0.3 * rng.standard_normal(POPULATION)
        (area,), (loss,) = Auc.figures.values(), figures_in_pairs(LogLoss()).values()
        told = f"noise in the logits, {100 * rate:g} % clicks"
        pairs = [np.stack([each, clicked], axis=1) for each in (other, logit)]
        yield Population(figure="auc", data=told, how=area, answers=pairs[0], reference=pairs[1])
        losses = [np.logaddexp(0.0, np.where(clicked, -each, each))[:, np.newaxis] for each in (other, logit)]
        yield Population(figure="log_loss", data=told, how=loss, answers=losses[0], reference=losses[1])


def photographs(rng: np.random.Generator) -> Iterator[Population]:
    """Average precision of photographs with objects of five classes, the boxes of one run somewhat off."""
    count = 20_000
    objects = rng.poisson(3.0, count)
    of = np.repeat(np.arange(count), objects)
    latent = [
        rng.integers(0, 5, len(of)).astype(np.float64),
        rng.beta(8, 2, len(of)),
        rng.binomial(1, 0.85, len(of)).astype(np.float64),
        rng.beta(5, 2, len(of)),
    ]
    ghosts = np.repeat(np.arange(count), rng.poisson(2.0, count))
    false = [rng.integers(0, 5, len(ghosts)).astype(np.float64), rng.beta(2, 4, len(ghosts))]
    runs = [_boxes(rng, count, of, latent, ghosts, false, noise) for noise in (0.05, 0.0)]
    for name, how in DetectionMap.figures.items():
        yield Population(
            figure=name.removeprefix("accuracy/"),
            data="boxes and scores by some 5 %",
            how=how,
            answers=runs[0][0],
            reference=runs[1][0],
            starts=(runs[0][1], runs[1][1]),
        )


def _boxes(  # noqa: PLR0917 - what both runs share, and how far this one is off
    rng: np.random.Generator,
    count: int,
    of: NDArray[np.int64],
    latent: list[Floats],
    ghosts: NDArray[np.int64],
    false: list[Floats],
    noise: float,
) -> tuple[Floats, NDArray[np.int64]]:
    """Return rows as `bytemlperf.metrics.coco_units` has them, and where each photograph's begin."""
    category, overlap, found, score = latent
    seen = (found > 0) & (rng.random(len(of)) >= noise)
    overlap = np.clip(overlap + noise * rng.standard_normal(len(of)), 0, 1)
    least = np.linspace(0.5, 0.95, 10)[:, np.newaxis]
    bits = (1 << np.arange(10)) @ (overlap >= least)
    hits = np.stack([
        category,
        np.where(seen, score + noise * rng.standard_normal(len(of)), -np.inf),
        np.where(seen, bits, 0),
        np.where(seen, 0, 1023),
        np.ones(len(of)),
    ], axis=1)  # fmt: skip
    zero = np.zeros(len(ghosts))
    others = np.stack([false[0], false[1] + noise * rng.standard_normal(len(ghosts)), zero, zero, zero], axis=1)
    none = np.tile([-1.0, -np.inf, 0.0, 1023.0, 0.0], (count, 1))
    rows, places = np.concatenate([none, hits, others]), np.concatenate([np.arange(count), of, ghosts])
    order = np.argsort(places, kind="stable")
    return rows[order], np.searchsorted(places[order], np.arange(count + 1))


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else REPETITIONS)
