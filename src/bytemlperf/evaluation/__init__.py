"""The steps of one job in order, within its limits, whatever fails on the way."""

from bytemlperf.evaluation.evaluate import evaluate
from bytemlperf.evaluation.events import Event, EventKind
from bytemlperf.evaluation.request import Request

__all__ = ["Event", "EventKind", "Request", "evaluate"]
