"""An M/D/1 queue whose waiting times are known exactly, and a probe that simulates it."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np

SERVICE_S = 0.01


def share_within(time_in_system: float, *, load: float) -> float:
    """P(time in system <= t) with a service time of 1: Erlang's and Crommelin's formula, in 80 digits.

    P(W <= t) = (1 - rho) * sum over k <= t of (rho (k - t))^k / k! * exp(-rho (k - t)).
    """
    wait = time_in_system - 1
    if wait < 0:
        return 0.0
    with localcontext() as context:
        context.prec = 80
        rho, t = Decimal(load), Decimal(wait)
        total, factorial = Decimal(0), Decimal(1)
        for k in range(int(wait) + 1):
            factorial *= max(k, 1)
            base = rho * (Decimal(k) - t)
            power = Decimal(1) if k == 0 else base**k
            total += power / factorial * (-base).exp()
        return float((1 - rho) * total)


def limit_qps(*, bound_s: float, percentile: float = 0.99) -> float:
    """The rate at which the percentile of time in the system is the bound, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if share_within(bound_s / SERVICE_S, load=middle) >= percentile else (low, middle)
    return low / SERVICE_S


class QueueProbe:
    """Offers Poisson arrivals to one server of constant service time; remembers what it was asked."""

    def __init__(self, seed: int, service_s: float = SERVICE_S) -> None:
        self.rng, self.service_s = np.random.default_rng(seed), service_s
        self.asked: list[tuple[float, float]] = []

    def __call__(self, rate: float, seconds: float) -> np.ndarray:
        self.asked.append((rate, seconds))
        gaps = self.rng.exponential(1 / rate, max(math.ceil(rate * seconds), 1))
        return (waits_before(self.service_s, gaps) + self.service_s) * 1e9


def waits_before(service_s: float, gaps: np.ndarray) -> np.ndarray:
    """Lindley: W(n+1) = max(0, W(n) + service - gap(n+1)), W(1) = 0."""
    steps = service_s - gaps[1:]
    walk = np.concatenate([[0.0], np.cumsum(steps)])
    return walk - np.minimum.accumulate(walk)
