"""What goes to a worker by files, and what is seen of a run from outside."""

import json
import os
import time

import ml_dtypes
import numpy as np
import pytest
from tests.worker.asking import batches, watch

from bytemlperf.issuer.buffer import TraceBuffer
from bytemlperf.sample import Generation
from bytemlperf.scenarios import Plan, Stop
from bytemlperf.worker.exchange import TraceLook, expected_records, write_batches


def written(folder):
    return json.loads((folder / "batches.json").read_text())


def test_batches_are_written_as_arrays_and_a_description(tmp_path):
    asked = batches(4, size=2)
    asked.padding[3] = 1
    write_batches(asked, tmp_path / "inputs")
    described = written(tmp_path / "inputs")
    assert (described["size"], described["padding"], described["ask"]) == (2, [0, 0, 0, 1], {"kind": "forward"})
    np.testing.assert_array_equal(np.load(tmp_path / "inputs" / described["inputs"]["x"]["file"]), asked.inputs["x"])


def test_an_input_that_all_share_is_written_once(tmp_path):
    shared = np.broadcast_to(np.arange(1000.0), (4, 1000))
    write_batches(batches(4, words=shared), tmp_path / "inputs")
    item = written(tmp_path / "inputs")["inputs"]["words"]
    assert item["shared"]
    assert np.load(tmp_path / "inputs" / item["file"]).shape == (1, 1000)


def test_one_batch_alone_shares_nothing(tmp_path):
    write_batches(batches(1, words=np.broadcast_to(np.arange(3.0), (1, 3))), tmp_path / "inputs")
    assert not written(tmp_path / "inputs")["inputs"]["words"]["shared"]


@pytest.mark.parametrize(("dtype", "stored"), [("bfloat16", "uint16"), ("int4", "uint8"), ("float8_e4m3fn", "uint8")])
def test_types_that_numpy_lacks_go_as_bytes_with_their_name(tmp_path, dtype, stored):
    values = np.arange(8).reshape(4, 2).astype(getattr(ml_dtypes, dtype))
    write_batches(batches(4, odd=values), tmp_path / "inputs")
    item = written(tmp_path / "inputs")["inputs"]["odd"]
    array = np.load(tmp_path / "inputs" / item["file"], allow_pickle=False)
    assert (item["dtype"], array.dtype.name) == (dtype, stored)
    np.testing.assert_array_equal(array.view(values.dtype), values)


def test_nothing_is_pickled(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write_batches(batches(2, bad=np.array([[object()], [object()]])), tmp_path / "inputs")


def test_what_is_asked_goes_along(tmp_path):
    import attrs

    asked = attrs.evolve(batches(2), ask=Generation(max_new_tokens=8, stop=(1, 2)))
    write_batches(asked, tmp_path / "inputs")
    ask = written(tmp_path / "inputs")["ask"]
    assert (ask["kind"], ask["max_new_tokens"], ask["stop"]) == ("generate", 8, [1, 2])


# ------------------------------------------------------------------------------------------------- looking at a trace


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trace.bin"


def look_of(path, **options):
    return TraceLook(path, watch(**options), Plan(batch=np.zeros(5, np.int64)))


def test_no_file_is_no_news(path):
    assert look_of(path, query_s=0.001)() is None


@pytest.mark.parametrize("content", [b"", b"BMLP", bytes(5000)])
def test_a_file_that_is_not_yet_a_trace_is_no_news(path, content):
    path.write_bytes(content)
    assert look_of(path, query_s=0.001)() is None


@pytest.mark.parametrize("which", ["trace.bin", "trace.bin.warmup"])
def test_a_query_that_is_out_for_too_long_is_seen(path, which):
    buffer = TraceBuffer(3, str(path.with_name(which)))
    assert look_of(path, query_s=10.0)() is None
    buffer.sent_ns[0] = time.perf_counter_ns() - 11 * 10**9
    assert look_of(path, query_s=10.0)() == "query_s"
    assert look_of(path, query_s=1000.0)() is None


@pytest.mark.parametrize("status", [1, 2])
def test_a_query_that_has_ended_is_not_waited_for(path, status):
    buffer = TraceBuffer(3, str(path))
    buffer.sent_ns[0], buffer.status[0] = 1, status
    assert look_of(path, query_s=0.001)() is None


def test_an_answer_that_came_and_is_being_kept_is_not_waited_for(path):
    buffer = TraceBuffer(3, str(path))
    buffer.sent_ns[0], buffer.done_ns[0] = 1, 2
    assert look_of(path, query_s=0.001)() is None


def test_progress_counts_answers(path):
    buffer = TraceBuffer(5, str(path))
    buffer.status[0] = buffer.status[3] = 1
    buffer.status[4] = 2
    heard = []
    look_of(path, progress=lambda done, total: heard.append((done, total)))()
    assert heard == [(2, 5)]


def test_it_does_not_look_each_time_it_is_asked(path):
    heard = []
    TraceBuffer(5, str(path))
    look = look_of(path, progress=lambda done, total: heard.append(done))
    for _ in range(50):
        look()
    assert len(heard) <= 2


def test_looking_at_a_file_that_shrinks_is_no_crash(path):
    TraceBuffer(100_000, str(path))
    os.truncate(path, 5000)
    assert look_of(path, query_s=0.001)() is None


@pytest.mark.parametrize(
    ("stop", "ended", "elapsed_ns", "expected"),
    [
        (Stop(), 10, 5, 1000),
        (Stop(when_enough=True, min_queries=100, min_duration_ns=10**9), 0, 0, 1000),
        (Stop(when_enough=True, min_queries=100, min_duration_ns=10**9), 50, 10**8, 500),
        (Stop(when_enough=True, min_queries=400, min_duration_ns=10**9), 50, 9 * 10**8, 400),
        (Stop(max_duration_ns=10**9), 50, 5 * 10**8, 100),
        (Stop(max_duration_ns=10**9), 990, 10**7, 1000),
    ],
)
def test_progress_counts_what_is_to_be_expected(stop, ended, elapsed_ns, expected):
    plan = Plan(batch=np.zeros(1000, np.int64), stop=stop)
    assert expected_records(plan, ended=ended, elapsed_ns=elapsed_ns) == expected
