"""What to evaluate, on which backend, within which limits: data that can be stored and compared."""

from bytemlperf.workload.acceptance import Acceptance
from bytemlperf.workload.bounds import TokenBounds
from bytemlperf.workload.bytemlperf import (
    ForeignModel,
    ForeignWorkload,
    read_model_info,
    read_workload,
    write_model_info,
    write_workload,
)
from bytemlperf.workload.bytemlperf_llm import (
    ForeignLanguageWorkload,
    LanguageWorkload,
    read_language_workload,
    write_language_workload,
)
from bytemlperf.workload.job import Job
from bytemlperf.workload.limits import Limits
from bytemlperf.workload.prompts import Lengths
from bytemlperf.workload.sampling import Sampling
from bytemlperf.workload.workload import MEASURED, Asked, Check, DatasetRequest, Integrity, Workload

__all__ = [
    "MEASURED",
    "Acceptance",
    "Asked",
    "Check",
    "DatasetRequest",
    "ForeignLanguageWorkload",
    "ForeignModel",
    "ForeignWorkload",
    "Integrity",
    "Job",
    "LanguageWorkload",
    "Lengths",
    "Limits",
    "Sampling",
    "TokenBounds",
    "Workload",
    "read_language_workload",
    "read_model_info",
    "read_workload",
    "write_language_workload",
    "write_model_info",
    "write_workload",
]
