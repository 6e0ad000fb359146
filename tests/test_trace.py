"""Traces: written by the issuer, read whole or in columns, finished or not; anything else is refused."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bytemlperf.errors import SpecError
from bytemlperf.issuer.buffer import MAGIC as WRITTEN_MAGIC
from bytemlperf.issuer.buffer import META, TraceBuffer
from bytemlperf.issuer.reply import ANSWERED
from bytemlperf.issuer.reply import FAILED as ISSUED_FAILED
from bytemlperf.issuer.reply import UNANSWERED as ISSUED_UNANSWERED
from bytemlperf.trace import FAILED, MAGIC, OK, UNANSWERED, empty, from_buffer, read, read_columns

COLUMNS = ("scheduled_ns", "sent_ns", "first_ns", "done_ns", "tokens", "batch", "size", "client", "status", "replica")


def filled(path=None, queries=5, chunks=7, used=3):
    buffer = TraceBuffer(queries, str(path) if path else None, chunks)
    for number, name in enumerate(COLUMNS):
        np.asarray(getattr(buffer, name))[:] = np.arange(queries) + 10 * number
    for slot in range(min(used, chunks)):
        buffer.chunk_ns[slot], buffer.chunk_tokens[slot], buffer.chunk_query[slot] = 100 + slot, slot, slot % queries
    buffer.meta[0], buffer.meta[1], buffer.meta[2], buffer.meta[4] = 123, 30, 1, 2
    return buffer


@pytest.mark.parametrize("in_file", [True, False])
def test_what_was_stamped_is_read(tmp_path, in_file):
    path = tmp_path / "trace.bin" if in_file else None
    buffer = filled(path)
    trace = read(path) if in_file else from_buffer(memoryview(buffer.map))
    for number, name in enumerate(COLUMNS):
        assert getattr(trace, name).tolist() == [i + 10 * number for i in range(5)], name
    assert trace.chunk_ns.tolist() == [100, 101, 102]
    assert trace.chunk_tokens.tolist() == [0, 1, 2]
    assert trace.chunk_query.tolist() == [0, 1, 2]
    assert (trace.started_ns, trace.warmup_queries, trace.warmup_stable, trace.chunks_lost) == (123, 30, True, 2)


def test_the_trace_is_a_copy():
    buffer = filled()
    trace = from_buffer(memoryview(buffer.map))
    buffer.done_ns[0] = 999
    assert trace.done_ns[0] != 999


@pytest.mark.parametrize(("queries", "chunks"), list(itertools.product([0, 1, 63, 64, 65], [0, 1, 33])))
def test_any_size_can_be_written_and_read(tmp_path, queries, chunks):
    filled(tmp_path / "trace.bin", queries, chunks, used=min(chunks, queries))
    trace = read(tmp_path / "trace.bin")
    assert len(trace) == queries
    assert len(trace.chunk_ns) == min(chunks, queries)


def test_columns_are_read_alone(tmp_path):
    filled(tmp_path / "trace.bin")
    found = read_columns(tmp_path / "trace.bin", ("status", "sent_ns"))
    assert {name: array.tolist() for name, array in found.items()} == {
        "status": [80, 81, 82, 83, 84],
        "sent_ns": [10, 11, 12, 13, 14],
    }


def test_both_sides_mean_the_same():
    assert WRITTEN_MAGIC == MAGIC
    assert (OK, FAILED, UNANSWERED) == (ANSWERED, ISSUED_FAILED, ISSUED_UNANSWERED)
    assert META[:3] == ("started_ns", "warmup_queries", "warmup_stable")
    assert META[4] == "chunks_lost"


def test_latency_is_that_of_answered_queries():
    buffer = TraceBuffer(3)
    buffer.scheduled_ns[0], buffer.done_ns[0], buffer.status[0] = 5, 12, OK
    buffer.scheduled_ns[1], buffer.done_ns[1], buffer.status[1] = 5, 100, FAILED
    trace = from_buffer(memoryview(buffer.map))
    assert trace.answered.tolist() == [True, False, False]
    assert trace.latency_ns.tolist() == [7]


def test_an_empty_trace_has_queries_that_were_not_sent():
    trace = empty(3)
    assert trace.status.tolist() == [UNANSWERED] * 3
    assert (trace.status.dtype, trace.client.dtype, trace.done_ns.dtype) == (np.uint8, np.uint16, np.int64)
    assert len(empty()) == 0


# ------------------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("reader", [read, lambda path: read_columns(path, COLUMNS)])
def test_a_file_that_was_cut_short_is_refused(tmp_path, reader):
    path = tmp_path / "trace.bin"
    filled(path, chunks=0)
    whole = path.read_bytes()
    last = 4096 + 10 * 64 + 5  # nothing is missing from there on: the rest only fills up the last column's 64 bytes
    for length in [0, 1, 7, 8, 15, 16, 17, 100, 4095, 4096, 4100, last - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(SpecError):
            reader(path)
    path.write_bytes(whole[:last])
    reader(path)


def test_zeros_are_no_trace(tmp_path):
    (tmp_path / "trace.bin").write_bytes(bytes(10_000))
    with pytest.raises(SpecError, match="not a trace file"):
        read(tmp_path / "trace.bin")


def with_header(header):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (MAGIC + len(text).to_bytes(8, "little") + text).ljust(8192, b"\0")


GOOD = json.loads(bytes(filled().map)[16:].split(b"\0")[0])


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"\xff\xfe",
        b"[" * 3000,
        b"3",
        b"[]",
        b"{}",
        {**GOOD, "status": None},
        {**GOOD, "status": ["B", 4160]},
        {**GOOD, "status": ["q", 4160, 5]},
        {**GOOD, "status": ["O", 4160, 5]},
        {**GOOD, "status": ["B", -8, 5]},
        {**GOOD, "status": ["B", 4160, -1]},
        {**GOOD, "status": ["B", 4160, 10**30]},
        {**GOOD, "status": ["B", 10**30, 5]},
        {**GOOD, "status": ["B", 4160, 4]},
        {**GOOD, "status": ["B", 4160, True]},
        {**GOOD, "meta": ["q", 4096, 2]},
        {**GOOD, "chunk_ns": ["q", 4160, 6]},
    ],
)
def test_a_header_that_lies_is_refused(tmp_path, header):
    data = with_header(header)
    with pytest.raises(SpecError):
        from_buffer(data)
    (tmp_path / "trace.bin").write_bytes(data)
    with pytest.raises(SpecError):
        read_columns(tmp_path / "trace.bin", ("sent_ns", "status"))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_garbage_is_refused_or_read_but_never_anything_else(data):
    whole = bytearray(filled().map)
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, len(whole)))]
    for _ in range(data.draw(st.integers(0, 5))):
        if whole:
            whole[data.draw(st.integers(0, min(len(whole), 700) - 1))] = data.draw(st.integers(0, 255))
    try:
        trace = from_buffer(bytes(whole))
    except SpecError:
        return
    assert len(trace.status) == len(trace.done_ns)
