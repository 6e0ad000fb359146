"""Let a backend choose among its options, before the first compile of a batch size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from bytemlperf.datasets import performance_set
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.workbench import refusals
from bytemlperf.sample import BatchSet
from bytemlperf.spec import TensorSpec

BATCHES: Final = 4
SET_BYTES: Final = 256 * 2**20
"""Bounds of what is asked while a choice is measured."""


def tune(subject: Subject, batch_size: int) -> None:
    """Have the backend choose, and compile with what it chose from now on.

    It does so in a process and a cache folder of its own, so that the compile that follows is a cold one.

    Raises:
        BenchmarkError: Typed by what went wrong; then the options stay as they were asked for.
    """
    watch, size = subject.session.watch, subject.compiled_size(batch_size)
    folder = subject.session.scratch / "tune-work"
    folder.mkdir(exist_ok=True)
    options = {**subject.options, "batch_size": size, "work_dir": str(folder)}
    asked = partial(_few_batches, subject, batch_size)
    with subject.bench() as bench, subject.session.hold(_devices(subject)), refusals():
        subject.tuned[size] = bench.target().tune(subject.artifact, options, asked, watch)


def _few_batches(subject: Subject, batch_size: int, engine_inputs: tuple[TensorSpec, ...] | None) -> BatchSet:
    return performance_set(
        subject.data.loader,
        subject.original.spec.inputs,
        batch_size=batch_size,
        max_bytes=SET_BYTES,
        max_samples=BATCHES * batch_size,
        engine_inputs=engine_inputs,
    )


def _devices(subject: Subject) -> tuple[str, ...]:
    """Return what no other run may time on meanwhile, as far as it is known before a compile."""
    first = tuple(device.id for device in subject.description.devices[:1])
    return subject.session.job.devices or first or (f"backend {subject.description.name}",)


def tuning_note(subject: Subject, batch_size: int) -> str:
    """Say what was chosen; empty where nothing was tuned."""
    found = subject.tuned.get(subject.compiled_size(batch_size))
    if found is None:
        return ""
    counted = f"{found.measurements} measurement{'' if found.measurements == 1 else 's'}"
    return f"tuned by {counted}: {_listed(found.changed) or 'the options stay as they were'}"


def _listed(changed: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in changed.items())
