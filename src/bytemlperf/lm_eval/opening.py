"""From arguments that may come from a command line to a request, and how long a text may be."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bytemlperf.backends.compiled import CONTEXT, LENGTH
from bytemlperf.errors import SpecError
from bytemlperf.spec import from_json
from bytemlperf.worker import Worker
from bytemlperf.workload import Limits
from bytemlperf.workload.jobfile import read_job_file

if TYPE_CHECKING:
    from bytemlperf.api import TaskLike
    from bytemlperf.evaluation.languagemodel import LanguageModel

logger = logging.getLogger(__name__)


def task_of(model: TaskLike) -> TaskLike:
    """Return what is evaluated; the path of a job's file is read.

    Raises:
        SpecError: If it cannot be read.
    """
    if not isinstance(model, str) or not model.endswith(".json"):
        return model
    workload, notes = read_job_file(Path(model).expanduser())
    for note in notes:
        logger.warning("%s: %s", model, note)
    return workload


def limits_of(limits: Limits | Mapping[str, Any] | None) -> Limits | None:
    """Return limits that may be given by their fields.

    Raises:
        SpecError: If a field is none of them.
    """
    return limits if isinstance(limits, Limits | None) else from_json(Limits, limits, where="limits")


def worker_of(worker: Worker | None, pass_env: str | Sequence[str]) -> Worker | None:
    """Return how workers are started where some environment variables are handed on to them.

    Raises:
        SpecError: If one of them is not set.
    """
    names = (pass_env,) if isinstance(pass_env, str) else tuple(pass_env)
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise SpecError("an environment variable is not set", where="pass_env", got=missing[0])
    if not names:
        return worker
    base = worker or Worker()
    return Worker(command=base.command, env={**base.env, **{name: os.environ[name] for name in names}})


def length_of(held: LanguageModel, asked: int | None) -> int:
    """Return how many tokens a text and its answer may have.

    Raises:
        SpecError: If it is not known, or the backend has room for less than the model's context or than was asked for.
        BenchmarkError: If the model cannot be compiled.
    """
    told = held.info.optimizations.get(LENGTH)
    wanted = held.info.optimizations.get(CONTEXT, told) if asked is None else asked
    if wanted is None:
        raise SpecError("how long a text the backend takes is not known", remedy="say it: max_length=...")
    if told is not None and int(told) < int(wanted):
        raise SpecError(
            "the backend has less room than a text may be long",
            where="max_length",
            got=f"room for {told} tokens",
            expected=f"{wanted} tokens",
            remedy="give it more by its options (of torch: raise cache_bytes, or lower slots); "
            "or say that contexts are to be cut to what there is: max_length=...",
        )
    return int(wanted)
