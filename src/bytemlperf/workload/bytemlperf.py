"""ByteMLPerf's own workload and model files: read into our values, written back as they were.

What a file holds beyond our values is kept in its document, so nothing is lost. Unknown keys are
told as warnings; a member that is missing or wrong is a SpecError with the file and the path.

Source: ByteMLPerf at a30b4f9, byte_infer_perf/general_perf, folders workloads and model_zoo.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.scenarios import FixedBatch
from bytemlperf.scenarios.fixed_batch import MOST_CLIENTS, MOST_ITERATIONS
from bytemlperf.spec import ModelSpec
from bytemlperf.spec.reading import Json
from bytemlperf.workload.bytemlperf_model import (
    FRAMEWORKS,
    MODEL_KEYS,
    dataset_name,
    format_name,
    input_shapes,
    input_types,
    model_of,
)
from bytemlperf.workload.foreign import Document, ForeignSource
from bytemlperf.workload.workload import Check, Workload

WORKLOAD_KEYS: Final = (
    "model",
    "test_perf",
    "test_accuracy",
    "test_numeric",
    "clients",
    "iterations",
    "batch_sizes",
    "data_percent",
    "compile_only",
)
"""What a workload file holds; all of them are required."""

T = TypeVar("T")

_TESTS: Final = {
    "test_accuracy": Check.ACCURACY,
    "test_numeric": Check.NUMERIC,
    "test_perf": Check.PERFORMANCE,
}
_WHOLE: Final = 100


@attrs.frozen(kw_only=True)
class ForeignWorkload:
    """A workload file of ByteMLPerf.

    Attributes:
        workload: What it asks for, in our words.
        document: The file as it was read.
        warnings: What a person should know of the reading.
    """

    workload: Workload
    document: Document
    warnings: tuple[str, ...] = ()

    @property
    def extras(self) -> Mapping[str, Json]:
        """Members that neither the original nor we know."""
        return self.document.unknown(WORKLOAD_KEYS)

    @property
    def data_percent(self) -> int:
        """Share of the data set that accuracy is measured on, 1 to 100; the original takes none for all."""
        value = self.document.fields.get("data_percent")
        return value if isinstance(value, int) and value else _WHOLE


@attrs.frozen(kw_only=True)
class ForeignModel:
    """A model file of ByteMLPerf.

    Attributes:
        spec: The model in our words. Its outputs are empty, because the file tells neither their
            shapes nor their types; `output_names` has what it tells.
        document: The file as it was read.
        warnings: What a person should know of the reading.
    """

    spec: ModelSpec
    document: Document
    warnings: tuple[str, ...] = ()

    @property
    def extras(self) -> Mapping[str, Json]:
        """Members that neither the original nor we know."""
        return self.document.unknown(MODEL_KEYS)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs in the model's file, in order; empty where the file tells none."""
        return () if self.document.fields["outputs"] is None else self.document.names("outputs")

    @property
    def model_path(self) -> str:
        """Where the original keeps the model, relative to its own folder."""
        return self.document.text("model_path")

    @property
    def max_batch_size(self) -> int | None:
        """Largest batch size that the file allows; None where it tells none."""
        return None if self.document.fields["max_batch_size"] is None else self.document.whole("max_batch_size")


def read_workload(source: ForeignSource) -> ForeignWorkload:
    """Read a workload file of ByteMLPerf.

    Its clients, iterations and batch sizes become one fixed-batch scenario; its flags become
    checks. Compilation is always a check, since the original always times it.

    Args:
        source: The file, or what it holds.

    Raises:
        SpecError: If something is missing or wrong; the message names the file and the path.

    Example:
        >>> read = read_workload({"model": "resnet50-torch-fp32", "test_perf": True, "test_accuracy": False,
        ...     "test_numeric": False, "clients": 3, "iterations": 100, "batch_sizes": [4, 8], "data_percent": 100,
        ...     "compile_only": False})
        >>> read.workload.batch_sizes, read.workload.scenarios[0].key
        ((4, 8), 'fixed_batch/clients=3')
    """
    document = Document.load(source)
    workload = Workload(
        task=document.task_name("model"),
        checks=_checks(document),
        batch_sizes=document.wholes("batch_sizes"),
        scenarios=(
            FixedBatch(
                clients=document.whole("clients", high=MOST_CLIENTS),
                iterations=document.whole("iterations", high=MOST_ITERATIONS),
            ),
        ),
    )
    if document.value("data_percent") is not None:
        document.whole("data_percent", low=0, high=_WHOLE)
    read = ForeignWorkload(workload=workload, document=document)
    return attrs.evolve(read, warnings=_workload_warnings(read))


def write_workload(foreign: ForeignWorkload) -> dict[str, Json]:
    """Return what the file would hold: as it was read, but for what was changed in `workload` since.

    Raises:
        SpecError: If the workload was changed to something that the original's format cannot say.
    """
    before = read_workload(foreign.document.fields).workload
    return _rewritten(foreign.document, _WORKLOAD_WRITERS, before, foreign.workload)


def read_model_info(source: ForeignSource) -> ForeignModel:
    """Read a model file of ByteMLPerf.

    The first number of a shape counts samples, so `[1, 384]` is `[batch, 384]` and `[26, 2]` is
    `[26*batch, 2]`; an input called `text` is the same for every batch size, as the original has it.
    Lengths may be expressions over the file's numbers. Names get a canonical form beside their own.

    Args:
        source: The file, or what it holds.

    Raises:
        SpecError: If something is missing or wrong; the message names the file and the path.

    Example:
        >>> read = read_model_info({"model": "bert-torch-fp32", "model_path": "model_zoo/regular/bert.pt",
        ...     "framework": "Pytorch", "framework_version": "1.9.1", "model_format": "pt", "model_precision": "FP32",
        ...     "inputs": "input_ids.1", "outputs": "logits", "input_shape": {"input_ids.1": [1, 384]},
        ...     "input_type": "LONG", "dataset_name": "open_squad", "max_batch_size": 64})
        >>> read.spec.inputs[0].name, read.spec.inputs[0].sized(2)
        ('input_ids', (2, 384))
    """
    document = Document.load(source)
    spec, warnings = model_of(document)
    return ForeignModel(spec=spec, document=document, warnings=(*document.unknown_warnings(MODEL_KEYS), *warnings))


def write_model_info(foreign: ForeignModel) -> dict[str, Json]:
    """Return what the file would hold: as it was read, but for what was changed in `spec` since.

    Raises:
        SpecError: If the spec was changed to something that the original's format cannot say.
    """
    before = read_model_info(foreign.document.fields).spec
    return _rewritten(foreign.document, _MODEL_WRITERS, before, foreign.spec)


def _rewritten(document: Document, writers: Mapping[str, Callable[[T], Json]], before: T, now: T) -> dict[str, Json]:
    written = copy.deepcopy(dict(document.fields))
    if now != before:
        changed = {key: write(now) for key, write in writers.items() if write(now) != write(before)}
        written |= changed
    return written


def _checks(document: Document) -> tuple[Check, ...]:
    asked = tuple(check for key, check in _TESTS.items() if document.flag(key))
    return (Check.COMPILE,) if document.flag("compile_only") else (Check.COMPILE, *asked)


def _workload_warnings(read: ForeignWorkload) -> tuple[str, ...]:
    document = read.document
    told = list(document.unknown_warnings(WORKLOAD_KEYS))
    if read.data_percent != _WHOLE:
        part = f"accuracy is asked for on {read.data_percent} % of the data set: set the data set's `samples`"
        told.append(f"{part} (at {document.place('$.data_percent')})")
    skipped = [key for key in _TESTS if document.flag(key)]
    if document.flag("compile_only") and skipped:
        told.append(f"{', '.join(skipped)} count for nothing (at {document.place('$.compile_only')})")
    return tuple(told)


def _fixed_batch(workload: Workload) -> FixedBatch:
    scenarios = workload.scenarios
    if len(scenarios) != 1 or not isinstance(scenarios[0], FixedBatch):
        raise SpecError(
            "ByteMLPerf's workload has one fixed-batch scenario",
            got=[each.key for each in scenarios],
            where="$.clients",
        )
    return scenarios[0]


def _batch_sizes(workload: Workload) -> Json:
    if workload.batch_sizes is None:
        raise SpecError("ByteMLPerf's workload names its batch sizes", where="$.batch_sizes")
    return list(workload.batch_sizes)


_WORKLOAD_WRITERS: Final[Mapping[str, Callable[[Workload], Json]]] = {
    "model": lambda workload: workload.task,
    "test_perf": lambda workload: Check.PERFORMANCE in workload.checks,
    "test_accuracy": lambda workload: Check.ACCURACY in workload.checks,
    "test_numeric": lambda workload: Check.NUMERIC in workload.checks,
    "clients": lambda workload: _fixed_batch(workload).clients,
    "iterations": lambda workload: _fixed_batch(workload).iterations,
    "batch_sizes": _batch_sizes,
    "compile_only": lambda workload: workload.checks == (Check.COMPILE,),
}

_MODEL_WRITERS: Final[Mapping[str, Callable[[ModelSpec], Json]]] = {
    "model": lambda spec: spec.name,
    "framework": lambda spec: next(name for name, kind in FRAMEWORKS.items() if kind is spec.framework),
    "model_format": format_name,
    "model_precision": lambda spec: spec.precision.short.upper(),
    "inputs": lambda spec: ",".join(tensor.file_name for tensor in spec.inputs),
    "input_shape": input_shapes,
    "input_type": input_types,
    "dataset_name": dataset_name,
}
