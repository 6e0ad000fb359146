"""What the tests of evaluations share: the model of waves, and a look at what a run leaves behind."""

from __future__ import annotations

import time

import psutil
import pytest
from tests.waves import waves


@pytest.fixture(scope="session")
def artifact(tmp_path_factory):
    return waves(tmp_path_factory.mktemp("waves"))


@pytest.fixture(autouse=True)
def _alone(scratch):
    """Leave nothing, and wait for nobody."""


@pytest.fixture
def left(scratch):
    """Tell what a run has left: processes, and files in the folder of temporary ones."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}

    def look():
        until = time.monotonic() + 5
        while (alive := _new(before)) and time.monotonic() < until:
            time.sleep(0.02)
        return [*alive, *(path for path in scratch.glob("bytemlperf-*") if path.name != "bytemlperf-devices")]

    return look


def _new(before):
    return [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
