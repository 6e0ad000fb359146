"""One timed series at a time on a device, across threads, processes and runs."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.evaluation import vendors
from tests.waves import ECHO, SLEEP, codes, evaluate, load

from bytemlperf import Limits
from bytemlperf.errors import CancelledError, DeviceBusyError
from bytemlperf.evaluation import EventKind
from bytemlperf.evaluation.devicelock import FOLDER, hold, shared_name
from bytemlperf.report import Status
from bytemlperf.report.files import read_trace
from bytemlperf.worker import Watch

ROOT = Path(__file__).parents[2]
CHIP = "tests.evaluation.vendors:Chip"


def _watch(**fields):
    return Watch(**fields)


def _is_busy(device):
    """Whether another holder cannot get a device at once."""
    try:
        with hold([device], _watch(ends_s=time.monotonic() - 1)):
            return False
    except DeviceBusyError:
        return True


def test_a_device_is_held_by_one_at_a_time_and_given_back():
    waited_for = []
    with hold(["chip:0"], _watch(), on_wait=waited_for.append):
        assert waited_for == []
        assert _is_busy("chip:0")
        assert not _is_busy("chip:1")
    assert not _is_busy("chip:0")


def test_every_name_of_the_cpu_is_the_one_cpu():
    assert {shared_name(each) for each in ("cpu", "CPU", "CPUExecutionProvider", "/device:CPU:0")} == {"cpu"}
    assert shared_name("cuda:0") != shared_name("cuda:1")
    with hold(["CPUExecutionProvider", "cpu"], _watch()):
        assert _is_busy("/device:CPU:0")


def test_several_devices_are_held_together_and_in_one_order():
    order = []

    def both(names):
        for _ in range(5):
            with hold(names, _watch()):
                order.append((names, "in"))
                time.sleep(0.005)
                order.append((names, "out"))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(both, [("a", "b"), ("b", "a")]))
    assert len(order) == 20
    assert all(came[1] == "in" and gone == (came[0], "out") for came, gone in zip(order[::2], order[1::2], strict=True))


def test_waiting_is_told_in_seconds():
    begun, over = threading.Event(), threading.Event()

    def keep():
        with hold(["chip:0"], _watch()):
            begun.set()
            over.wait(30)

    thread = threading.Thread(target=keep)
    thread.start()
    begun.wait(10)
    with hold(["chip:0"], _watch(), on_wait=lambda _: threading.Timer(0.3, over.set).start()) as waited_s:
        assert 0.3 <= waited_s < 10
    thread.join()


def test_who_waits_comes_before_who_begins_to_wait_later():
    order, begun, waits = [], threading.Event(), threading.Event()

    def again_and_again():
        for _ in range(6):
            with hold(["chip:0"], _watch()):
                order.append("holder")
                begun.set()
                waits.wait(30)
                time.sleep(0.15)

    thread = threading.Thread(target=again_and_again)
    thread.start()
    begun.wait(10)
    busy = []

    def told(device):
        busy.append(device)
        waits.set()

    with hold(["chip:0"], _watch(), on_wait=told):
        order.append("waiter")
    thread.join()
    assert order.index("waiter") <= 2, "the holder may have asked again before the waiter did"
    assert busy == ["chip:0"]


def test_a_holder_that_dies_gives_the_device_back():
    script = (
        "import os, sys, signal\n"
        "from bytemlperf.evaluation.devicelock import hold\n"
        "from bytemlperf.worker import Watch\n"
        "with hold(['chip:0'], Watch()):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ)
    ) as process:
        assert process.stdout.readline() == b"held\n"
        assert _is_busy("chip:0")
        process.kill()
        process.wait(10)
        assert not _is_busy("chip:0")


def test_waiting_ends_when_the_caller_wants_to_stop():
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with hold(["chip:0"], _watch()), pytest.raises(CancelledError), hold(["chip:0"], _watch(cancel=stop)):
        pass


def test_waiting_ends_with_the_jobs_time():
    with (
        hold(["chip:0"], _watch()),
        pytest.raises(DeviceBusyError) as caught,
        hold(["chip:0"], _watch(ends_s=time.monotonic() + 0.1)),
    ):
        pass
    assert (caught.value.limit, caught.value.retryable) == ("total_s", True)


def test_where_there_is_no_place_for_locks_runs_go_on(scratch, caplog):
    (scratch / FOLDER).write_text("a file where a folder should be")
    with hold(["chip:0"], _watch()), hold(["chip:0"], _watch()):
        pass
    assert "no lock for the device chip:0" in caplog.text


def test_a_link_that_somebody_has_laid_is_not_followed(scratch, tmp_path):
    with hold(["chip:0"], _watch()):
        locks = list((scratch / FOLDER).iterdir())
    for lock in locks:
        lock.unlink()
        lock.symlink_to(tmp_path / "precious")
    with hold(["chip:0"], _watch()):
        assert not (tmp_path / "precious").exists()


def _series(out):
    """First and last stamp of each series of a report's folder."""
    traces = [read_trace(path) for path in sorted((out / "traces").glob("*.npz"))]
    return [(trace.started_ns, int(trace.done_ns.max())) for trace in traces]


def _overlap(intervals):
    ordered = sorted(intervals)
    return [(one, two) for one, two in itertools.pairwise(ordered) if one[1] > two[0]]


def _jobs(artifact, folders, **fields):
    def job(out):
        return evaluate(artifact, CHIP, out=out, options={"latency_s": 0.01}, scenarios=[load(iterations=30)], **fields)

    with ThreadPoolExecutor(len(folders)) as pool:
        return list(pool.map(job, folders))


SCRIPT = """
import sys
from tests.waves import evaluate, load
from bytemlperf import zoo
evaluate(
    zoo.from_onnx(sys.argv[1]), "tests.evaluation.vendors:Chip", out=sys.argv[2], options={"latency_s": 0.01},
    scenarios=[load(iterations=30)], batch_sizes=[1, 2],
)
"""


def test_timed_series_of_threads_and_processes_do_not_overlap(artifact, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(artifact.path), str(tmp_path / "process")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        reports = _jobs(artifact, [tmp_path / "one", tmp_path / "two"], batch_sizes=[1, 2])
        assert process.wait(60) == 0
    assert [report.status for report in reports] == [Status.COMPLETE] * 2
    intervals = [each for name in ("one", "two", "process") for each in _series(tmp_path / name)]
    assert len(intervals) == 6
    assert min(end - begin for begin, end in intervals) > 30 * 10_000_000
    assert _overlap(intervals) == []


def test_other_devices_are_not_waited_for(artifact, tmp_path):
    """A device that is held all the time keeps only those away who want it."""
    with hold(["chip:0"], _watch()):
        report = evaluate(artifact, CHIP, devices=["chip:1"], batch_sizes=[1], limits=Limits(total_s=60))
    assert (report.status, report.rows[0].devices) == (Status.COMPLETE, ("chip:1",))


def test_a_device_that_stays_busy_is_nobodys_fault_here(artifact, tmp_path):
    with hold(["chip:0"], _watch()):
        inline = vendors.Chip()  # no worker has to be started within the time
        report = evaluate(artifact, inline, batch_sizes=[1], limits=Limits(total_s=5.0))
    (failure,) = report.failures
    assert (str(failure.code), str(failure.blame), failure.retryable) == ("device_busy", "environment", True)
    assert (failure.step, report.rows) == ("performance/fixed_batch/clients=1/batch=1/fp32/devices=1", ())


class Stop(threading.Event):
    """Asks to stop shortly after a series was to begin."""

    def __call__(self, event):
        if event.kind is EventKind.STEP_STARTED and event.step.startswith("performance"):
            threading.Timer(0.5, self.set).start()


def test_waiting_for_a_device_is_cancelled(artifact):
    stop = Stop()
    with hold(["chip:0"], _watch()):
        report = evaluate(artifact, CHIP, batch_sizes=[1], cancel=stop, on_event=stop)
    assert (codes(report), report.status, report.rows) == (["cancelled"], Status.CANCELLED, ())


def test_a_long_wait_is_a_warning(artifact):
    begun, heard = threading.Event(), []

    def listen(event):
        heard.append(event)
        if event.kind is EventKind.STEP_STARTED and event.step.startswith("performance"):
            begun.set()

    def keep():
        with hold(["chip:0"], _watch()):
            begun.wait(30)
            time.sleep(1.5)

    thread = threading.Thread(target=keep)
    thread.start()
    report = evaluate(artifact, CHIP, batch_sizes=[1], on_event=listen)
    thread.join()
    told = [warning for warning in report.warnings if warning.code == "device_waited"]
    assert [warning.step for warning in told] == [report.rows[0].key]
    assert [event.message for event in heard if event.message] == ["waiting for another run on chip:0", "complete"]
    assert report.metrics["latency/max"].value < 1_500_000_000


def test_a_backend_that_tells_no_device_excludes_only_itself(artifact):
    stop = Stop()
    with hold(["backend sleep"], _watch()):
        other = evaluate(artifact, ECHO, batch_sizes=[1], limits=Limits(total_s=60))
        waiting = evaluate(artifact, SLEEP, batch_sizes=[1], cancel=stop, on_event=stop)
    assert other.status is Status.COMPLETE
    assert (codes(waiting), waiting.rows) == (["cancelled"], ())
