"""Several runs together, to one end: a load's limit, which of two backends is faster, a table of prefill and decode."""

from bytemlperf.studies.interleaving.blocks import Block
from bytemlperf.studies.interleaving.result import Contender, Interleaving
from bytemlperf.studies.interleaving.running import interleave
from bytemlperf.studies.limit.finding import find_limit
from bytemlperf.studies.limit.result import Limit
from bytemlperf.studies.limit.search import Found, Held, Point, Probe, Target, search
from bytemlperf.studies.phases.probing import MachineLimits, machine_limits
from bytemlperf.studies.phases.result import PhaseRow, PhaseTable
from bytemlperf.studies.phases.running import phase_table

__all__ = [
    "Block",
    "Contender",
    "Found",
    "Held",
    "Interleaving",
    "Limit",
    "MachineLimits",
    "PhaseRow",
    "PhaseTable",
    "Point",
    "Probe",
    "Target",
    "find_limit",
    "interleave",
    "machine_limits",
    "phase_table",
    "search",
]
