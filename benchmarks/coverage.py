"""How often each interval holds the truth: exact ones, bootstrap ones, and those of series with a memory.

Prints a table in Markdown. 10,000 repetitions of the exact intervals and 2,000 of the others take some minutes; a
smaller number may be given: `python benchmarks/coverage.py 500`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import signal, stats

from bytemlperf.statistics import (
    Interval,
    autocorrelated_mean_interval,
    autocorrelated_quantile_interval,
    binomial_interval,
    bootstrap_interval,
    drift,
    quantile_interval,
)

Floats = NDArray[np.float64]
LEVEL = 0.95
REPETITIONS = 10_000
DISTRIBUTIONS = {"normal": stats.norm(100, 5), "exponential": stats.expon(scale=100), "lognormal": stats.lognorm(1.0)}


def main(repetitions: int) -> None:
    """Print the coverage of every kind of interval."""
    rng = np.random.default_rng(20250711)
    print("| interval | data | n | held | nominal - 2 SE | falls short |\n| --- | --- | --- | --- | --- | --- |")
    few = max(repetitions // 5, 1)
    for rows, count in ((exact(rng, repetitions), repetitions), (bootstrapped(rng, few), few), (series(rng, few), few)):
        for interval, data, n, held in rows:
            least = LEVEL - 2 * math.sqrt(LEVEL * (1 - LEVEL) / count)
            short = "" if held >= least else f"by {100 * (LEVEL - held):.1f} points"
            print(f"| {interval} | {data} | {n} | {100 * held:.1f} % | {100 * least:.1f} % | {short} |", flush=True)
    print("\n| drift stated at 1 % in a steady series | n | share |\n| --- | --- | --- |")
    for memory, n in ((0.0, 100), (0.0, 1000), (0.5, 500), (0.9, 500), (0.9, 2000), (0.97, 500), (0.97, 2000)):
        alarms = np.mean([_alarm(100 + autoregressive(rng, n=n, memory=memory)) for _ in range(few)])
        print(f"| AR(1), {memory} | {n} | {100 * alarms:.1f} % |", flush=True)


def exact(rng: np.random.Generator, repetitions: int) -> Iterator[tuple[str, str, int, float]]:
    """Order statistics and Clopper-Pearson, on independent values."""
    for name, distribution in DISTRIBUTIONS.items():
        for p, n in ((0.5, 20), (0.5, 200), (0.9, 100), (0.99, 400), (0.99, 2000)):
            truth = float(distribution.ppf(p))
            draws = (distribution.rvs(n, random_state=rng) for _ in range(repetitions))
            held = np.mean([quantile_interval(each, p, level=LEVEL).contains(truth) for each in draws])
            yield f"quantile, p = {p:g}, exact", name, n, float(held)
    for p, n in ((0.5, 20), (0.98, 360)):
        counts = rng.binomial(n, p, repetitions).tolist()
        held = np.mean([binomial_interval(each, n, level=LEVEL).contains(p) for each in counts])
        yield f"share, p = {p:g}, exact", "binomial", n, float(held)


def bootstrapped(rng: np.random.Generator, repetitions: int) -> Iterator[tuple[str, str, int, float]]:
    """The bootstrap of a mean and of a standard deviation, where nothing exact exists."""
    figures: dict[str, tuple[Callable[[Floats], Floats], str]] = {
        "mean": (lambda rows: rows.mean(axis=-1), "mean"),
        "standard deviation": (lambda rows: rows.std(axis=-1), "std"),
    }
    for figure, (statistic, method) in figures.items():
        for name, distribution in DISTRIBUTIONS.items():
            truth = float(getattr(distribution, method)())
            for n in (20, 50, 200, 1000):
                held = np.mean(
                    [
                        _bootstrap(distribution.rvs(n, random_state=rng), statistic, number).contains(truth)
                        for number in range(repetitions)
                    ]
                )
                yield f"{figure}, bootstrap", name, n, float(held)


def _bootstrap(values: Floats, statistic: Callable[[Floats], Floats], seed: int) -> Interval:
    return bootstrap_interval(values, statistic, seed=seed, level=LEVEL)


def series(rng: np.random.Generator, repetitions: int) -> Iterator[tuple[str, str, int, float]]:
    """Means and quantiles of series with a memory: AR(1), and the times in an M/D/1 queue."""
    for memory, n in ((0.0, 500), (0.5, 500), (0.9, 500), (0.9, 2000), (0.97, 2000), (0.97, 10_000)):
        draws = [autoregressive(rng, n=n, memory=memory) for _ in range(repetitions)]
        held = np.mean([autocorrelated_mean_interval(each, level=LEVEL).contains(0.0) for each in draws])
        yield "mean of a series", f"AR(1), {memory}", n, float(held)
        for p in (0.5, 0.9, 0.99):
            truth = float(stats.norm.ppf(p))
            held = np.mean([autocorrelated_quantile_interval(each, p, level=LEVEL).contains(truth) for each in draws])
            yield f"quantile of a series, p = {p:g}", f"AR(1), {memory}", n, float(held)
    for load, n in ((0.5, 2000), (0.8, 5000), (0.9, 20_000)):
        long = queue(rng, n=4_000_000, load=load)
        draws = [queue(rng, n=n + 2000, load=load)[2000:] for _ in range(repetitions // 2)]
        for p in (0.5, 0.99):
            truth = float(np.quantile(long, p))
            held = np.mean([autocorrelated_quantile_interval(each, p, level=LEVEL).contains(truth) for each in draws])
            yield f"quantile of a series, p = {p:g}", f"M/D/1, load {load}", n, float(held)


def autoregressive(rng: np.random.Generator, *, n: int, memory: float) -> Floats:
    """Return a normal series of variance 1 and mean 0, in its steady state."""
    noise = rng.standard_normal(n) * math.sqrt(1 - memory**2)
    values: Floats = signal.lfilter([1], [1, -memory], noise, zi=memory * rng.standard_normal(1))[0]
    return values


def queue(rng: np.random.Generator, *, n: int, load: float) -> Floats:
    """Return the times in the system of an M/D/1 queue with a service time of 1 (Lindley's recursion)."""
    walk = np.cumsum(1 - rng.exponential(1 / load, n))
    waits: Floats = walk - np.minimum.accumulate(np.minimum(walk, 0)) + 1
    return waits


def _alarm(values: Floats) -> bool:
    found = drift(values)
    return found is not None and found.p <= 0.01  # noqa: PLR2004 - as the heading says


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else REPETITIONS)
