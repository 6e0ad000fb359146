"""What a choice of options takes, for backends that tune: standard library and numpy, syntax of Python 3.7."""

from __future__ import annotations

import json
import time

import numpy as np

from .answers import check
from .buffer import TraceBuffer
from .issue import Run
from .reply import ANSWERED
from .verbs import blocking_submit

if False:
    from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

WARM_UP: Mapping[str, Any] = {"max_queries": 9, "window": 3, "tolerance": 0.1, "max_seconds": 30.0}
QUERIES = 11
"""An odd number, so that the median is a query that there was."""


class StoppedError(Exception):
    """A measurement was ended, or not begun, because the caller asked to stop."""

    code = "cancelled"


class UnpreparedError(Exception):
    """The harness cannot make the inputs that a compiled model takes; `code` says why."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Measure:
    """`measure(options)` of `Backend.tune`: compile, warm up, ask a few queries, release; the median in ns.

    Args:
        seam: To the backend's classes.
        backend: That tunes.
        artifact: What is compiled.
        prepare: `prepare(inputs)` gives the batches, and the samples that count in each, for an engine that takes
            `inputs`: tensors as JSON data, None for the model's own.
        begin: `begin(run)` before each part of a measurement; raises where it must not be. The run is None before
            the compile.
        query_s: Seconds after which a query without an answer has failed.
    """

    def __init__(
        self,
        *,
        seam: Any,
        backend: Any,
        artifact: Any,
        prepare: Callable[[Any], Tuple[List[Any], List[int]]],
        begin: Callable[[Optional[Run]], None],
        query_s: Optional[float] = None,
    ) -> None:
        self._seam, self._backend, self._artifact = seam, backend, artifact
        self._prepare, self._begin, self._query_s = prepare, begin, query_s
        self._prepared: Dict[str, Tuple[List[Any], List[int]]] = {}
        self.count = 0
        """Choices that were measured."""
        self.waited_ns = 0
        """Time in which the harness prepared inputs: no part of what tuning takes."""

    def __call__(self, options: Any) -> int:
        """Return the median of sent to done, in ns; raises what went wrong."""
        self._begin(None)
        compiled = self._backend.compile(self._artifact, options)
        self._seam.check_compiled(compiled)
        try:
            median_ns = self._median_ns(compiled)
        finally:
            self._backend.release(compiled)
        self.count += 1
        return median_ns

    def _median_ns(self, compiled: Any) -> int:
        batches, sizes = self._batches(compiled)
        submit, flush = self._seam.submit_of(self._backend, blocking_submit)
        run = Run(
            submit=submit,
            flush=flush,
            compiled=compiled,
            batches=batches,
            sizes=sizes,
            max_in_flight=compiled.info.max_in_flight,
            query_s=self._query_s,
            check=check,
        )
        self._begin(run)
        order = [query % len(batches) for query in range(QUERIES)]
        buffer = TraceBuffer(QUERIES)
        run.warm_up(order, 1, **WARM_UP)
        if not run.failures:
            run.closed_loop(order, 1, buffer)
        if run.failures:
            raise run.failures[0][1]
        if run.stopped:
            raise StoppedError("the caller asked to stop")
        answered = np.asarray(buffer.status) == ANSWERED
        return int(np.median((np.asarray(buffer.done_ns) - np.asarray(buffer.sent_ns))[answered]))

    def _batches(self, compiled: Any) -> Tuple[List[Any], List[int]]:
        inputs = self._seam.info_to(compiled)["inputs"]
        key = json.dumps(inputs, sort_keys=True)
        if key not in self._prepared:
            started = time.perf_counter_ns()
            self._prepared[key] = self._prepare(inputs)
            self.waited_ns += time.perf_counter_ns() - started
        return self._prepared[key]
