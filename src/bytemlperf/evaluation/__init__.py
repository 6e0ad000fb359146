"""The steps of one job in order, within its limits, whatever fails on the way; and what they would give."""

from bytemlperf.evaluation.evaluate import evaluate
from bytemlperf.evaluation.events import Event, EventKind
from bytemlperf.evaluation.jobplan import JobPlan, Needed, PlannedRow, Wish
from bytemlperf.evaluation.planning import plan_job
from bytemlperf.evaluation.request import Request

__all__ = ["Event", "EventKind", "JobPlan", "Needed", "PlannedRow", "Request", "Wish", "evaluate", "plan_job"]
