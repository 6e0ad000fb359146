"""The paths by which a job's timed queries reach the backend: outputs are checked on each of them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import BenchmarkError
from bytemlperf.scenarios import Batching, Plan, Scenario, Seeds, Warmup
from bytemlperf.worker import BackendDescription, replicas_of
from bytemlperf.workload import Asked, Check, Job

DEPTH: Final = 16
"""Calls that are brought under way at once where neither the backend nor its senders bound them."""


@attrs.frozen(kw_only=True)
class TimedPath:
    """One way from the harness to the backend, whatever the times at which queries come.

    Attributes:
        clients: Threads that send in a closed loop.
        at_once: Single samples that a query of a closed loop asks for at once; None where it asks for a whole batch.
        arrives: Whether queries come by themselves: checked with all of them due at once, the deepest that there is.
        joins: Whether queries that arrive ask for single samples, which are joined into calls.
        senders: Threads that send what arrives to a backend that blocks; None for as many as it takes at once.
        replica: The only one of several replicas that is asked; None for whichever is free.
    """

    clients: int = 1
    at_once: int | None = None
    arrives: bool = False
    joins: bool = False
    senders: int | None = None
    replica: int | None = None

    @property
    def name(self) -> str:
        """What a numeric row's key begins with, such as `numeric/clients=4`."""
        parts = {
            "queued": self.arrives,
            "batches": self.arrives and not self.joins,
            f"clients={self.clients}": self.clients > 1,
            f"samples_per_query={self.at_once}": self.at_once is not None,
            f"senders={self.senders}": self.senders is not None,
            f"replica={self.replica}": bool(self.replica),
        }
        return "/".join(["numeric", *(text for text, said in parts.items() if said)])

    def batching(self, batch_size: int) -> Batching | None:
        """Return how single samples are joined into calls; None where each query is a call."""
        return Batching(size=batch_size) if batch_size > 1 and self.is_of_samples else None

    @property
    def is_of_samples(self) -> bool:
        """Whether prepared batches are single samples, whatever the batch size."""
        return self.joins or self.at_once is not None

    def width(self, batch_size: int, most: int | None) -> int:
        """Return how many calls this path can have under way at once.

        Args:
            batch_size: Samples in a call.
            most: Calls that the backend takes at once; None for no bound.
        """
        if self.arrives:
            return min(each for each in (most or DEPTH, self.senders or DEPTH) if each)
        wanted = self.clients * (1 if self.at_once is None else -(-self.at_once // batch_size))
        return wanted if most is None else min(wanted, most)

    def plan(self, batch: NDArray[np.int64]) -> Plan:
        """Return a plan that asks for some prepared batches by this path, as many as whole queries hold."""
        each = self.at_once or 1
        return Plan(
            batch=batch[: len(batch) // each * each],
            clients=self.clients,
            warmup=Warmup(max_queries=0),
            samples_per_query=each,
            scheduled_ns=np.zeros(len(batch), np.int64) if self.arrives else None,
            senders=self.senders,
        )


def paths(job: Job, description: BackendDescription, batch_size: int) -> dict[str, TimedPath]:
    """Return every distinct path of a job at a batch size, by the name of its numeric row.

    The first is that of one client. Of several replicas each is asked alone: one client has the first.
    """
    if job.asked is not Asked.FORWARD:
        return {TimedPath().name: TimedPath()}
    replicas = replicas_of(description, job.devices)
    found = [TimedPath()] if replicas == 1 else [TimedPath(replica=number) for number in range(replicas)]
    named = {path.name: path for path in found}
    for scenario in _timed(job):
        path = path_of(scenario, batch_size)
        named.setdefault(path.name, path)
    return named


def most_clients(job: Job) -> int:
    """Return the most clients that time in a closed loop; 1 where none do."""
    return max([1, *(_shape(scenario).clients for scenario in _timed(job))])


def _timed(job: Job) -> tuple[Scenario, ...]:
    return job.scenarios if Check.PERFORMANCE in job.checks else ()


def path_of(scenario: Scenario, batch_size: int) -> TimedPath:
    """Return the path by which a scenario's queries go."""
    shape = _shape(scenario)
    if shape.arrives:
        return TimedPath(arrives=True, joins=scenario.by_sample or batch_size == 1, senders=shape.senders)
    if not scenario.by_sample or (batch_size == 1 and shape.samples_per_query == 1):
        return TimedPath(clients=shape.clients)
    return TimedPath(clients=shape.clients, at_once=shape.samples_per_query)


@attrs.frozen(kw_only=True)
class _Shape:
    """What a plan is besides its queries and their times."""

    clients: int = 1
    samples_per_query: int = 1
    arrives: bool = False
    senders: int | None = None


def _shape(scenario: Scenario) -> _Shape:
    """Return a scenario's shape: one that cannot be planned has that of one client, and whoever times it says why."""
    try:
        return _kept_shape(scenario)
    except TypeError:  # someone's own scenario with fields that have no hash
        return _planned_shape(scenario)
    except BenchmarkError:
        return _Shape()


def _planned_shape(scenario: Scenario) -> _Shape:
    plan = scenario.plan(1, Seeds())
    arrives = plan.scheduled_ns is not None
    return _Shape(
        clients=plan.clients,
        samples_per_query=1 if arrives else plan.samples_per_query,
        arrives=arrives,
        senders=plan.senders,
    )


_kept_shape: Final = lru_cache(maxsize=64)(_planned_shape)  # a plan may be long
