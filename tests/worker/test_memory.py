"""Memory of a process and all below it; pages that a fork shares count once."""

import subprocess
import sys
import time

import psutil
import pytest

from bytemlperf.worker.memory import ResidentMemory

MB = 1_000_000
HOLDS = """
import os, sys, time
held = bytearray(b"x") * {held}
for _ in range({children}):
    if not os.fork():
        {in_child}
        time.sleep(1000)
print("held", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def holding():
    """Start a process that holds memory, with children that share it or hold their own."""
    started = []

    def start(held, children=0, in_child="pass"):
        code = HOLDS.format(held=held, children=children, in_child=in_child)
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process.pid

    yield start
    for process in started:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait()
        process.stdout.close()


def seen_above(memory, limit, seconds=20):
    until = time.monotonic() + seconds
    while not (held := memory.above(limit)) and time.monotonic() < until:
        time.sleep(0.05)
    return held


def test_a_process_above_its_limit_is_seen(holding):
    memory = ResidentMemory(holding(100 * MB))
    assert memory.above(50 * MB) >= 100 * MB
    assert memory.above(500 * MB) == 0


def test_what_children_hold_themselves_counts(holding):
    pid = holding(10 * MB, children=2, in_child="own = bytearray(b'y') * (60 * 10**6)")
    assert seen_above(ResidentMemory(pid), 110 * MB) >= 110 * MB


def test_what_children_share_counts_once(holding):
    memory = ResidentMemory(holding(100 * MB, children=3))
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        assert memory.above(200 * MB) == 0
        time.sleep(0.05)
    assert sum(each.memory_info().rss for each in memory._processes) > 300 * MB


def test_a_process_that_is_gone_holds_nothing():
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    assert ResidentMemory(process.pid).above(1) == 0
