"""What to evaluate, on which backend, within which limits: data that can be stored and compared."""

from bytemlperf.workload.job import Job
from bytemlperf.workload.limits import Limits
from bytemlperf.workload.workload import Check, DatasetRequest, Workload

__all__ = ["Check", "DatasetRequest", "Job", "Limits", "Workload"]
