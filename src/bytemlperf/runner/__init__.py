"""Issues the queries of a plan to a target and keeps what was stamped.

In scope: queries, clients, warm-up, time. Out of scope: it knows no model, no file format, no
data set and no metric.
"""

from bytemlperf.runner.runner import Runner
from bytemlperf.worker import Recording

__all__ = ["Recording", "Runner"]
