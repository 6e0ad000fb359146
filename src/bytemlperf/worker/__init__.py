"""Where a backend runs: in this process, in a worker process, or in a vendor's own interpreter.

A target describes, compiles and issues; a crash, a hang or too much memory becomes a typed error.
"""

from bytemlperf.worker.description import BackendDescription, OptionField
from bytemlperf.worker.inline import InlineTarget, inline
from bytemlperf.worker.process import Worker
from bytemlperf.worker.recording import Answers, Recording
from bytemlperf.worker.remote import ProcessTarget
from bytemlperf.worker.target import (
    Compilation,
    Conversion,
    Isolation,
    Prepare,
    Series,
    Target,
    Tuning,
    VendorFigures,
    replicas_of,
)
from bytemlperf.worker.watch import Cancelled, Progress, Watch

__all__ = [
    "Answers",
    "BackendDescription",
    "Cancelled",
    "Compilation",
    "Conversion",
    "InlineTarget",
    "Isolation",
    "OptionField",
    "Prepare",
    "ProcessTarget",
    "Progress",
    "Recording",
    "Series",
    "Target",
    "Tuning",
    "VendorFigures",
    "Watch",
    "Worker",
    "inline",
    "replicas_of",
]
