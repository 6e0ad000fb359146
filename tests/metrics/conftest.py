"""Traces made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.trace import OK, Trace


def trace_of(*, scheduled, done, sent=None, size=1, status=OK, **fields):
    """A trace whose columns are given as lists of ns; queries are sent when they are due, unless said otherwise."""
    due = np.asarray(scheduled, np.int64)
    ended = np.asarray(done, np.int64)
    n = len(due)
    return Trace(
        scheduled_ns=due,
        sent_ns=due if sent is None else np.asarray(sent, np.int64),
        first_ns=ended,
        done_ns=ended,
        tokens=np.zeros(n, np.uint32),
        batch=np.arange(n, dtype=np.uint32),
        size=np.broadcast_to(np.asarray(size, np.uint32), n).copy(),
        client=np.zeros(n, np.uint16),
        status=np.broadcast_to(np.asarray(status, np.uint8), n).copy(),
        **fields,
    )


@pytest.fixture(scope="session")
def make_trace():
    return trace_of
