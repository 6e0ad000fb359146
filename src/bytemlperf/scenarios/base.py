"""What every scenario gives: a plan made of arrays, from which any issuer can work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.spec.fields import at_least, positive


@attrs.frozen(kw_only=True)
class Seeds:
    """One seed for each random stream, so that changing one leaves the others alone.

    Attributes:
        samples: Order in which loaded samples are asked for.
        schedule: Arrival times.
        weights: Random weights, where a job asks for them.
    """

    samples: int = 0
    schedule: int = 0
    weights: int = 0


@attrs.frozen(kw_only=True)
class Warmup:
    """How long to run before the clock counts.

    Windows of `window` queries by each client are run until the medians of two windows in a row differ by
    no more than `tolerance`, and at most `max_queries` in all.

    Attributes:
        max_queries: Upper bound of untimed queries; 0 for none at all.
        window: Queries of each client in a window.
        tolerance: Relative difference of medians at which the latency counts as stable.
        max_seconds: Upper bound of the time it takes, looked at between windows.
    """

    max_queries: int = attrs.field(default=30, validator=at_least(0))
    window: int = attrs.field(default=5, validator=at_least(1))
    tolerance: float = attrs.field(default=0.05, validator=positive())
    max_seconds: float = attrs.field(default=60.0, validator=positive())


@attrs.frozen(kw_only=True, eq=False)
class Plan:
    """Queries to issue, in order.

    Attributes:
        batch: int64[n], which prepared batch each query asks for.
        clients: Threads that send; each takes an equal share, one query after another, and sends
            its next when the last one is answered.
        warmup: What runs before the clock counts.
    """

    batch: NDArray[np.int64]
    clients: int = attrs.field(default=1, validator=at_least(1))
    warmup: Warmup = attrs.field(factory=Warmup)

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.batch)


class Scenario(ABC):
    """A load pattern. Subclasses are frozen attrs classes with only their own fields."""

    kind_name: ClassVar[str]

    @abstractmethod
    def plan(self, samples: int, seeds: Seeds) -> Plan:
        """Return the queries over `samples` prepared batches; pure, the same every time."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Short stable text for row keys, such as `fixed_batch/clients=2`."""
