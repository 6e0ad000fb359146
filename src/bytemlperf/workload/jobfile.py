"""A job from a file: our own JSON, or a workload file of ByteMLPerf."""

from __future__ import annotations

import json
from pathlib import Path

from bytemlperf.errors import SpecError
from bytemlperf.spec import from_json
from bytemlperf.workload.bytemlperf import read_workload
from bytemlperf.workload.job import Job
from bytemlperf.workload.workload import Workload

FOREIGN_KEYS = {"test_perf", "test_accuracy", "test_numeric"}
"""What a workload file of ByteMLPerf always holds, and ours never does."""


def read_job_file(path: Path) -> tuple[Workload, tuple[str, ...]]:
    """Read a file and return what it asks for, and what a person should know of the reading.

    Raises:
        SpecError: If it cannot be read or holds something wrong; names the file and the place.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError("a job's file cannot be read", where=path.name, got=str(error)) from error
    if isinstance(data, dict) and "perf_config" in data:
        raise SpecError(
            "a language model's workload file of ByteMLPerf asks for several jobs",
            where=path.name,
            remedy="make them: workload.read_language_workload(path).workload.timed_jobs(), and run each",
        )
    if isinstance(data, dict) and FOREIGN_KEYS & set(data):
        foreign = read_workload(path)
        return foreign.workload, foreign.warnings
    return from_json(Job, data, where=f"{path.name}:$"), ()
