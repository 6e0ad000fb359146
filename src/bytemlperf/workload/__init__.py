"""What to evaluate, on which backend, within which limits: data that can be stored and compared."""

from bytemlperf.workload.acceptance import Acceptance
from bytemlperf.workload.bytemlperf import (
    ForeignModel,
    ForeignWorkload,
    read_model_info,
    read_workload,
    write_model_info,
    write_workload,
)
from bytemlperf.workload.job import Job
from bytemlperf.workload.limits import Limits
from bytemlperf.workload.prompts import Lengths
from bytemlperf.workload.workload import MEASURED, Check, DatasetRequest, Integrity, Workload

__all__ = [
    "MEASURED",
    "Acceptance",
    "Check",
    "DatasetRequest",
    "ForeignModel",
    "ForeignWorkload",
    "Integrity",
    "Job",
    "Lengths",
    "Limits",
    "Workload",
    "read_model_info",
    "read_workload",
    "write_model_info",
    "write_workload",
]
