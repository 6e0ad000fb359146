"""When each sample of a run was due, sent and done: what MLPerf's figures and verdict are made of."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import SpecError
from bytemlperf.spec.fields import at_least
from bytemlperf.trace import Trace


@attrs.frozen(kw_only=True, eq=False)
class SampleTimes:
    """Times of the samples that were answered, in ns since the start of the run, in the order of issue.

    Attributes:
        scheduled_ns: int64[n], when the sample was due; in a closed loop, when it was its turn.
        sent_ns: int64[n], when it was issued.
        done_ns: int64[n], when its answer came.
        samples_per_query: So many samples in a row are one query.
        first_ns: int64[n], when its first token came; None where the answers are no tokens.
        tokens: int64[n], tokens of its answer; None where the answers are none.
        lost: Samples that failed or were not answered, which are not among these.

    Raises:
        SpecError: If the arrays differ in length, hold no whole queries, or `first_ns` and `tokens` are not both given.
    """

    scheduled_ns: NDArray[np.int64]
    sent_ns: NDArray[np.int64]
    done_ns: NDArray[np.int64]
    samples_per_query: int = attrs.field(default=1, validator=at_least(1))
    first_ns: NDArray[np.int64] | None = None
    tokens: NDArray[np.int64] | None = None
    lost: int = attrs.field(default=0, validator=at_least(0))

    def __attrs_post_init__(self) -> None:
        """Refuse arrays that do not fit one another."""
        if (self.first_ns is None) != (self.tokens is None):
            raise SpecError("times of first tokens and numbers of tokens come together")
        told = (self.scheduled_ns, self.sent_ns, self.done_ns, self.first_ns, self.tokens)
        sizes = {each.shape for each in told if each is not None}
        if len(sizes) > 1 or len(self.done_ns) % self.samples_per_query:
            raise SpecError(
                "times of samples do not fit one another",
                got=sorted(sizes),
                expected=f"arrays of one length, a multiple of {self.samples_per_query}",
            )

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.done_ns)

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len(self) // self.samples_per_query

    @property
    def latency_ns(self) -> NDArray[np.int64]:
        """int64[n], done less scheduled."""
        return self.done_ns - self.scheduled_ns

    @property
    def query_latency_ns(self) -> NDArray[np.int64]:
        """int64[queries], latency of the slowest sample of each query."""
        slowest: NDArray[np.int64] = self.latency_ns.reshape(-1, self.samples_per_query).max(axis=1)
        return slowest

    @property
    def ttft_ns(self) -> NDArray[np.int64] | None:
        """int64[n], time to first token: first token less scheduled; None without tokens."""
        return None if self.first_ns is None else self.first_ns - self.scheduled_ns

    @property
    def tpot_ns(self) -> NDArray[np.int64] | None:
        """int64[m], whole ns for each token after the first, of answers of more than one; None without tokens.

        Source: (latency - TTFT) // (tokens - 1): MLPerf LoadGen, logging.cc l.442-476 (mlcommons/inference at b66003e).
        """
        if self.first_ns is None or self.tokens is None:
            return None
        several = self.tokens > 1
        return (self.done_ns - self.first_ns)[several] // (self.tokens[several] - 1)


def sample_times(trace: Trace, *, samples_per_query: int | None = None) -> SampleTimes:
    """Take the times out of a trace; a query whose samples were not all answered is left out and counted as lost.

    The answers are tokens where any has more than one.

    Args:
        trace: Of the timed part of one run. A record of several samples counts as so many, done at the same time.
        samples_per_query: So many samples in a row are one query; None for what the trace says.

    Raises:
        SpecError: If the samples make no whole queries.
    """
    samples_per_query = samples_per_query or trace.samples_per_query
    record = np.repeat(np.arange(len(trace)), trace.size)
    if len(record) % samples_per_query:
        raise SpecError("samples make no whole queries", got=len(record), expected=f"a multiple of {samples_per_query}")
    whole = trace.answered[record].reshape(-1, samples_per_query).all(axis=1)
    record, lost = record[np.repeat(whole, samples_per_query)], int((~whole).sum()) * samples_per_query
    tokens = trace.tokens[record].astype(np.int64)
    streamed = bool((tokens > 1).any())  # an answer in one part counts as one token
    return SampleTimes(
        scheduled_ns=trace.scheduled_ns[record] - trace.started_ns,
        sent_ns=trace.sent_ns[record] - trace.started_ns,
        done_ns=trace.done_ns[record] - trace.started_ns,
        samples_per_query=samples_per_query,
        first_ns=trace.first_ns[record] - trace.started_ns if streamed else None,
        tokens=tokens if streamed else None,
        lost=lost,
    )
