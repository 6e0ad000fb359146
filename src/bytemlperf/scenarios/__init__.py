"""Load patterns as pure plans: which batch is asked for when, by how many clients, until when."""

from bytemlperf.scenarios.base import Plan, Scenario, Seeds, Warmup
from bytemlperf.scenarios.fixed_batch import FixedBatch

__all__ = ["FixedBatch", "Plan", "Scenario", "Seeds", "Warmup"]
