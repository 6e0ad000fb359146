"""Workers that are closed for certain, and a look at what is left of them."""

from __future__ import annotations

import os
import time
import uuid

import psutil
import pytest
from tests.worker.asking import ARTIFACT, watch

from bytemlperf.worker import ProcessTarget, Worker

GONE_WITHIN_S = 10


@pytest.fixture
def mark():
    """A variable by which a worker, and whatever it starts, is known."""
    return f"BYTEMLPERF_TEST_{uuid.uuid4().hex.upper()}"


def measured():
    """What lets the coverage of a worker be measured too."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


@pytest.fixture
def worker(mark):
    return Worker(env={mark: "1", **measured()})


@pytest.fixture
def start(tmp_path, worker):
    """Start workers by the name of a backend in `vendors`; none is left at the end of the test."""
    started = []

    def make(name="Doubling", *, command=(), looked_at_by=None, folder="worker", **env):
        chosen = Worker(command=command, env={**worker.env, **env})
        reference = name if ":" in name else f"tests.worker.vendors:{name}"
        target = ProcessTarget(
            reference, worker=chosen, folder=tmp_path / folder, watch=looked_at_by or watch(grace_s=20.0)
        )
        started.append(target)
        return target

    yield make
    for target in started:
        target.close()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """Compile in a worker that a module's tests share, one for each backend: for tests that leave it alive."""
    targets = {}

    def make(name="Doubling", **options):
        if name not in targets:
            targets[name] = ProcessTarget(
                f"tests.worker.vendors:{name}",
                worker=Worker(env=measured()),
                folder=tmp_path_factory.mktemp(name),
                watch=watch(grace_s=20.0),
            )
        targets[name].compile(ARTIFACT, options, watch())
        return targets[name]

    yield make
    for target in targets.values():
        target.close()


@pytest.fixture
def compiled(start):
    """Start a worker and have it compile with options."""

    def make(name="Doubling", *, looked_at_by=None, **options):
        target = start(name, looked_at_by=looked_at_by)
        target.compile(ARTIFACT, options, watch())
        return target

    return make


def processes_of(mark):
    found = []
    for process in psutil.process_iter():
        try:
            if mark in process.environ():
                found.append(process)
        except psutil.Error:  # another user's, or gone
            continue
    return found


def wait_until_gone(mark):
    until = time.monotonic() + GONE_WITHIN_S
    while (left := processes_of(mark)) and time.monotonic() < until:
        time.sleep(0.02)
    return left


@pytest.fixture
def nothing_left(mark):
    """Tell which processes are left of the test's workers: running ones by their mark, dead ones as our children."""

    def look():
        left = wait_until_gone(mark)
        zombies = [each for each in psutil.Process().children(recursive=True) if each.status() == psutil.STATUS_ZOMBIE]
        return [*left, *zombies]

    return look
