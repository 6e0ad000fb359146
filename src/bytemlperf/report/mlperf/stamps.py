"""When each sample of a run was due, sent and answered, in the trace that LoadGen writes beside its logs.

Source: `AsyncTrace` in logging.cc and `SampleCompleteHelper` in loadgen.cc, mlcommons/inference at b66003e.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import SpecError
from bytemlperf.metrics import SampleTimes

_SAMPLE: Final = re.compile(
    r'"name":"Sample","cat":"default","ph":"b",.*?"ts":(-?\d+)\.(\d{3}),"args":\{"sample_seq":(\d+),"query_seq":(\d+),'
    r'"sample_idx":(\d+),"issue_start_ns":(\d+),"complete_ns":(\d+)'
)
_NS_PER_US: Final = 1000


@attrs.frozen(kw_only=True, eq=False)
class IssuedSamples:
    """What was asked, and when; in the order of issue.

    Attributes:
        times: In ns since the first sample was due.
        sample: int64[n], number of each sample in its data set.
    """

    times: SampleTimes
    sample: NDArray[np.int64]


def read_stamps(path: Path) -> IssuedSamples:
    """Read LoadGen's trace.

    Args:
        path: `mlperf_log_trace.json`.

    Raises:
        SpecError: If the file cannot be read, or lacks samples.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError("the trace cannot be read", where=path.name, got=type(error).__name__) from error
    found = [(_ns(us, ns), *map(int, rest)) for us, ns, *rest in _SAMPLE.findall(text)]
    if not found:
        raise SpecError("the trace tells of no sample", where=path.name)
    table = np.array(found, np.int64)
    due, number, query, sample, sent, done = table[np.argsort(table[:, 1], kind="stable")].T
    together = int(np.count_nonzero(query == query[0]))
    _check(path.name, number - number[0], query - query[0], together)
    start = due[0]
    times = SampleTimes(
        scheduled_ns=due - start, sent_ns=due - start + sent, done_ns=due - start + done, samples_per_query=together
    )
    return IssuedSamples(times=times, sample=sample)


def _ns(microseconds: str, fraction: str) -> int:
    sign = -1 if microseconds.startswith("-") else 1
    return int(microseconds) * _NS_PER_US + sign * int(fraction)


def _check(file: str, number: NDArray[np.int64], query: NDArray[np.int64], together: int) -> None:
    """Refuse a trace that lacks samples, or holds half a query."""
    whole = np.arange(len(number))
    if not (number == whole).all() or not (query == whole // together).all() or len(whole) % together:
        raise SpecError("the trace lacks samples", where=file, got=f"{len(number)}, {together} a query")


def written(issued: IssuedSamples) -> str:
    """Return the text of a trace with these samples, as `read_stamps` takes it."""
    times = issued.times
    query = np.arange(len(times)) // times.samples_per_query
    columns = (times.scheduled_ns, times.sent_ns, times.done_ns, query, issued.sample)
    lines = [
        f'{{"name":"Sample","cat":"default","ph":"b","pid":0,"id":{number},"ts":{due // _NS_PER_US}.'
        f'{due % _NS_PER_US:03d},"args":{{"sample_seq":{number},"query_seq":{group},"sample_idx":{sample},'
        f'"issue_start_ns":{sent - due},"complete_ns":{done - due}}}}},\n'
        f'{{"name":"Sample","cat":"default","ph":"e","pid":0,"id":{number},"ts":{done // _NS_PER_US}.'
        f"{done % _NS_PER_US:03d}}}"
        for number, (due, sent, done, group, sample) in enumerate(
            zip(*(each.tolist() for each in columns), strict=True)
        )
    ]
    return '{"traceEvents":[\n' + ",\n".join(lines) + "\n]}\n"
