"""ByteMLPerf's own load pattern: clients x iterations x batch size, in a closed loop."""

from __future__ import annotations

from typing import ClassVar, Final

import attrs
import numpy as np

from bytemlperf.scenarios.base import Plan, Scenario, Seeds, Warmup, check_samples
from bytemlperf.spec.fields import at_least

MOST_CLIENTS: Final = 2**12
"""Threads beyond that measure the operating system."""
MOST_ITERATIONS: Final = 10**7
"""Stamps of a series are held in memory: 48 bytes a query."""


@attrs.frozen(kw_only=True)
class FixedBatch(Scenario):
    """Each of `clients` threads sends `iterations` queries of one batch, each after its last answer.

    Attributes:
        clients: Threads that send at the same time.
        iterations: Timed queries of each client.
        warmup: Untimed queries before them.

    Source: ByteMLPerf's workload fields `clients` and `iterations`, which its own runtimes ignore.

    Example:
        >>> plan = FixedBatch(clients=2, iterations=3).plan(4, Seeds())
        >>> len(plan), plan.clients, plan.batch.tolist()
        (6, 2, [0, 1, 2, 3, 0, 1])
    """

    kind_name: ClassVar[str] = "fixed_batch"

    clients: int = attrs.field(default=1, validator=at_least(1, most=MOST_CLIENTS))
    iterations: int = attrs.field(default=100, validator=at_least(1, most=MOST_ITERATIONS))
    warmup: Warmup = attrs.field(factory=Warmup)

    def plan(self, samples: int, seeds: Seeds) -> Plan:  # noqa: ARG002 - nothing here is random
        """Return clients x iterations queries that go round the prepared batches in order.

        Raises:
            SpecError: If there is no batch to ask for.
        """
        check_samples(samples)
        total = self.clients * self.iterations
        return Plan(batch=np.arange(total, dtype=np.int64) % samples, clients=self.clients, warmup=self.warmup)

    @property
    def key(self) -> str:
        """Short stable text for row keys."""
        return f"{self.kind_name}/clients={self.clients}"
