"""Several runs together, to one end: the limit of a load, or which of two backends is faster."""

from bytemlperf.studies.interleaving.blocks import Block
from bytemlperf.studies.interleaving.result import Contender, Interleaving
from bytemlperf.studies.interleaving.running import interleave
from bytemlperf.studies.limit.finding import find_limit
from bytemlperf.studies.limit.result import Limit
from bytemlperf.studies.limit.search import Found, Held, Point, Probe, Target, search

__all__ = [
    "Block",
    "Contender",
    "Found",
    "Held",
    "Interleaving",
    "Limit",
    "Point",
    "Probe",
    "Target",
    "find_limit",
    "interleave",
    "search",
]
