"""Kept answers call by call: what each is about, and how many others were on their way with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.evaluation.answers import check_answer, over_batch
from bytemlperf.sample import Array
from bytemlperf.spec import DType, TensorSpec
from bytemlperf.trace import Trace
from bytemlperf.worker import Recording, Series


@attrs.frozen(kw_only=True, eq=False)
class Call:
    """One answer and what it is about.

    Attributes:
        first: The first record of the call.
        outputs: Without padding.
        samples: int64[n], the samples in it.
    """

    first: int
    outputs: Mapping[str, Array]
    samples: NDArray[np.int64]


def call_at(
    series: Series,
    recording: Recording,
    first: int,
    specs: Sequence[TensorSpec],
    *,
    pads: bool,
    precision: DType | None = None,
) -> Call:
    """Return the call that begins at a record, its answer checked.

    Args:
        series: What was issued.
        recording: What came of it.
        first: The record.
        specs: Of the model's outputs.
        pads: Whether calls of joined samples that are not full are filled up.
        precision: What the backend says that it computes in, as `check_answer` takes it.

    Raises:
        MalformedOutputError: If the answer is none of the model's.
    """
    batches, outputs = series.batches, tuple(specs)
    if series.batching is None:
        size, samples = batches.size, batches.samples[series.plan.batch[first]]
    else:
        last = _end_of_call(recording.trace, first, most=series.batching.size)
        samples = batches.samples[series.plan.batch[first:last], 0]
        size = series.batching.size if pads else len(samples)
    answer = recording.answers.get(first, {})  # one without any output is not kept
    check_answer(answer, outputs, size, precision=precision)
    samples = samples[samples >= 0]
    return Call(first=first, outputs=over_batch(answer, outputs, size, len(samples)), samples=samples)


def every_call(
    series: Series, recording: Recording, specs: Sequence[TensorSpec], *, pads: bool, precision: DType | None = None
) -> Iterator[Call]:
    """Go through all calls of a series whose answers were kept, in the order of records, as `call_at` returns them.

    Raises:
        MalformedOutputError: If an answer is none of the model's, or missing.
    """
    first, total = 0, len(series.plan.batch)
    while first < total:
        yield call_at(series, recording, first, specs, pads=pads, precision=precision)
        most = 1 if series.batching is None else series.batching.size
        first = _end_of_call(recording.trace, first, most=most)


def _end_of_call(trace: Trace, first: int, *, most: int) -> int:
    """Return the record after the last one of a call: all of them have the stamps of the first."""
    last = first + 1
    while (
        last < min(len(trace.status), first + most)
        and trace.sent_ns[last] == trace.sent_ns[first]
        and trace.done_ns[last] == trace.done_ns[first]
    ):
        last += 1
    return last


@attrs.frozen(kw_only=True, eq=False)
class Flight:
    """How many calls of a run were on their way at once.

    Attributes:
        sent_ns: int64[n], when each call was sent, in order of time.
        depth: int64[n], how many were on their way just then, itself counted.
    """

    sent_ns: NDArray[np.int64]
    depth: NDArray[np.int64]

    @classmethod
    def of(cls, trace: Trace) -> Flight:
        """Count from stamps; records that were sent and answered together are one call.

        Example:
            >>> from bytemlperf.trace import empty
            >>> Flight.of(empty(3)).most
            0
        """
        begins = (trace.sent_ns > 0) & (trace.done_ns > 0)
        begins[1:] &= (np.diff(trace.sent_ns) != 0) | (np.diff(trace.done_ns) != 0)
        sent, done = np.sort(trace.sent_ns[begins]), np.sort(trace.done_ns[begins])
        ended = np.searchsorted(done, sent, side="right")
        return cls(sent_ns=sent, depth=np.arange(1, len(sent) + 1) - ended)

    @property
    def most(self) -> int:
        """The most at any time."""
        return int(self.depth.max(initial=0))

    def during(self, trace: Trace, records: NDArray[np.int64]) -> int:
        """Return the most at any time at which one of some records was on its way.

        Args:
            trace: That of the run.
            records: int64[k].
        """
        begin = np.searchsorted(self.sent_ns, trace.sent_ns[records], side="left")
        end = np.searchsorted(self.sent_ns, trace.done_ns[records], side="left")
        return max((int(self.depth[one:two].max(initial=0)) for one, two in zip(begin, end, strict=True)), default=0)

    def beyond(self, depth: int) -> float:
        """Return the share of calls that were sent when more than so many were on their way."""
        return float((self.depth > depth).mean()) if len(self.depth) else 0.0
