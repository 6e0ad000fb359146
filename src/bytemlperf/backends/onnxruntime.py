"""Run ONNX files on ONNX Runtime."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, ClassVar, Final

import attrs
import onnxruntime

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.base import Backend
from bytemlperf.backends.checking import (
    InputCheck,
    match_tensors,
    model_file,
    one_device,
    one_line,
    operator_in,
    own_precision,
    refuse_device,
    released,
)
from bytemlperf.backends.compiled import CompiledModel, CompileInfo, CompileOptions, Device, Segment
from bytemlperf.errors import (
    BackendError,
    BackendUnavailableError,
    BenchmarkError,
    CompileError,
    InputMismatchError,
    OutOfDeviceMemoryError,
    PredictError,
    UnsupportedOperatorError,
)
from bytemlperf.sample import Batch, Outputs
from bytemlperf.spec import DType, Format, TensorSpec
from bytemlperf.spec.fields import at_least, choice

CPU: Final = "CPUExecutionProvider"
_UNKNOWN_OPERATOR: Final = (
    re.compile(r"No Op registered for (\S+)"),
    re.compile(r"Fatal error: (\S+?)(?:\(-?\d+\))? is not a registered function/op"),
    re.compile(r"Could not find an implementation for (\w+)"),
)
_RUNNING: Final = (re.compile(r"while running (\S+) node"),)
_WRONG_SHAPE: Final = (re.compile(r"Got invalid dimensions for input: (\S+)"),)
_NO_MEMORY: Final = ("Failed to allocate memory", "bad_alloc", "bad allocation", "out of memory")
_DTYPES: Final[Mapping[str, DType]] = {
    "tensor(double)": DType.FLOAT64,
    "tensor(float)": DType.FLOAT32,
    "tensor(float16)": DType.FLOAT16,
    "tensor(bfloat16)": DType.BFLOAT16,
    "tensor(int64)": DType.INT64,
    "tensor(int32)": DType.INT32,
    "tensor(int16)": DType.INT16,
    "tensor(int8)": DType.INT8,
    "tensor(uint8)": DType.UINT8,
    "tensor(bool)": DType.BOOL,
    "tensor(string)": DType.STRING,
}


class GraphOptimization(StrEnum):
    """How far ONNX Runtime rewrites the graph, in its own levels."""

    DISABLE = "disable"
    BASIC = "basic"
    EXTENDED = "extended"
    ALL = "all"


def _level(value: str | GraphOptimization) -> GraphOptimization:
    return choice(GraphOptimization)(value)


@attrs.frozen(kw_only=True)
class OnnxRuntimeOptions(CompileOptions):
    """What ONNX Runtime can be asked beyond the common options.

    Attributes:
        threads: Threads of one operator; 0 leaves the runtime's choice, one for each core.
        parallel_threads: Threads that run independent parts of the graph side by side; 0 runs one operator at a time.
        graph_optimization: How far the graph is rewritten.
        spinning: Whether waiting threads keep a core busy; quicker for one model alone, slower for several.
        memory_arena: Whether memory is kept between queries.
    """

    threads: int = attrs.field(default=0, validator=at_least(0))
    parallel_threads: int = attrs.field(default=0, validator=at_least(0))
    graph_optimization: GraphOptimization = attrs.field(default=GraphOptimization.ALL, converter=_level)
    spinning: bool = True
    memory_arena: bool = True


@attrs.define(eq=False, kw_only=True)
class LoadedSession:
    """A session; emptied by release.

    Attributes:
        session: The runtime's own object; None once released.
        inputs: What a batch must be.
        input_names: The file's names of the inputs, in the order of the spec.
        output_names: The file's names of the outputs, in the order of the spec.
        outputs: Their canonical names.
        canonical: Canonical names of inputs by the file's.
    """

    session: Any  # an InferenceSession; the runtime ships no types
    inputs: InputCheck
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    outputs: tuple[str, ...]
    canonical: Mapping[str, str]


class OnnxRuntimeBackend(Backend[OnnxRuntimeOptions, LoadedSession]):
    """ONNX Runtime; its devices are its execution providers, `CPUExecutionProvider` by default.

    Operators that a provider does not take fall back to the CPU and are counted as such, where
    this version of the runtime can tell.
    """

    name: ClassVar[str] = "onnxruntime"
    formats: ClassVar[frozenset[Format]] = frozenset({Format.ONNX})
    options_type: ClassVar[type[CompileOptions]] = OnnxRuntimeOptions
    dynamic_batch: ClassVar[bool] = True
    tried_on: ClassVar[tuple[str, ...]] = (CPU,)

    def compile(self, artifact: ModelArtifact, options: OnnxRuntimeOptions) -> CompiledModel[LoadedSession]:
        """Open a session on the file.

        Raises:
            BackendUnavailableError: If the provider is not there, or gave the model back.
            CompileError: If another precision than the model's own is asked for, the file does not
                have the spec's inputs and outputs, or the runtime refuses it.
            UnsupportedOperatorError: If the runtime does not know an operator.
            OutOfDeviceMemoryError: If there is too little memory for it.
        """
        provider = _provider(one_device(options, CPU))
        precision = own_precision(artifact, options, self.name)
        path = model_file(artifact)
        with _told(f"ONNX Runtime cannot compile {artifact.name}", CompileError):
            session = onnxruntime.InferenceSession(str(path), _session_options(options), providers=[provider])
        if session.get_providers()[0] != provider:
            raise BackendUnavailableError(
                f"{provider} could not be started; ONNX Runtime went on without it", got=session.get_providers()
            )
        inputs = _engine_inputs(session, artifact)
        return CompiledModel(
            _loaded(session, inputs, artifact),
            CompileInfo(
                precision=precision,
                segments=_segments(session, provider),
                devices=(provider,),
                inputs=None if inputs == artifact.spec.inputs else inputs,
                max_in_flight=None if provider == CPU else 1,
                optimizations=_settings(options),
            ),
        )

    def predict(self, compiled: CompiledModel[LoadedSession], batch: Batch) -> Outputs:
        """Run the session on the batch.

        Raises:
            InputMismatchError: If the batch is not what the file takes.
            OutOfDeviceMemoryError: If there is too little memory for the batch.
            PredictError: If an operator fails (`operator` names it), or the session was released.
        """
        loaded = compiled.handle
        if loaded.session is None:
            raise released(self.name)
        feed = dict(zip(loaded.input_names, loaded.inputs.arrays(batch), strict=True))
        with _told("ONNX Runtime cannot run the model", PredictError, canonical=loaded.canonical):
            answers = loaded.session.run(loaded.output_names, feed)
        return dict(zip(loaded.outputs, answers, strict=True))

    def release(self, compiled: CompiledModel[LoadedSession]) -> None:
        """Let go of the session."""
        compiled.handle.session = None

    def version(self) -> str:
        """Return the runtime's version and how it was built."""
        return f"onnxruntime {onnxruntime.__version__} ({onnxruntime.get_build_info()})"

    def devices(self) -> tuple[Device, ...]:
        """Return the execution providers of this build; whether one starts is seen only by trying."""
        return tuple(Device(id=name, name=name) for name in onnxruntime.get_available_providers())


def _provider(asked: str) -> str:
    known = onnxruntime.get_available_providers()
    if asked not in known:
        raise refuse_device("onnxruntime", asked, known)
    return asked


def _session_options(options: OnnxRuntimeOptions) -> Any:  # noqa: ANN401 - the runtime ships no types
    made = onnxruntime.SessionOptions()
    made.log_severity_level = 4  # what goes wrong is raised; the log would only repeat it
    made.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel,
        "ORT_DISABLE_ALL"
        if options.graph_optimization is GraphOptimization.DISABLE
        else f"ORT_ENABLE_{options.graph_optimization.upper()}",
    )
    made.intra_op_num_threads = options.threads
    if options.parallel_threads:
        made.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
        made.inter_op_num_threads = options.parallel_threads
    made.enable_cpu_mem_arena = options.memory_arena
    made.add_session_config_entry("session.intra_op.allow_spinning", str(int(options.spinning)))
    made.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return made


def _settings(options: OnnxRuntimeOptions) -> dict[str, str | int | float | bool]:
    return {
        "graph_optimization": options.graph_optimization.value,
        "threads": options.threads,
        "parallel_threads": options.parallel_threads,
        "spinning": options.spinning,
        "memory_arena": options.memory_arena,
    }


def _engine_inputs(session: Any, artifact: ModelArtifact) -> tuple[TensorSpec, ...]:  # noqa: ANN401 - an InferenceSession
    """Return the spec's inputs with the types that the file has them in."""
    types = {each.name: each.type for each in session.get_inputs()}
    match_tensors(artifact, "inputs", artifact.spec.inputs, types, all_of_them=True)
    match_tensors(artifact, "outputs", artifact.spec.outputs, [each.name for each in session.get_outputs()])
    return tuple(
        attrs.evolve(tensor, dtype=_DTYPES.get(types[tensor.file_name], tensor.dtype))
        for tensor in artifact.spec.inputs
    )


def _loaded(session: Any, inputs: tuple[TensorSpec, ...], artifact: ModelArtifact) -> LoadedSession:  # noqa: ANN401 - an InferenceSession
    outputs = artifact.spec.outputs
    return LoadedSession(
        session=session,
        inputs=InputCheck(inputs),
        input_names=tuple(tensor.file_name for tensor in inputs),
        output_names=tuple(tensor.file_name for tensor in outputs),
        outputs=tuple(tensor.name for tensor in outputs),
        canonical={tensor.file_name: tensor.name for tensor in inputs},
    )


def _segments(session: Any, provider: str) -> tuple[Segment, ...] | None:  # noqa: ANN401 - an InferenceSession
    """Count the operators of each provider, as the runtime itself assigned them; None where it cannot tell."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    return tuple(
        Segment(name=name, device=name, operators=operators, fallback=name != provider)
        for name, operators in sorted(counts.items())
    )


@contextmanager
def _told(what: str, kind: type[BackendError], canonical: Mapping[str, str] | None = None) -> Iterator[None]:
    """Turn what the runtime raises into the typed errors of a backend."""
    try:
        yield
    except BenchmarkError:
        raise
    except Exception as error:  # the runtime's exceptions share no base but this
        raise _translated(error, what, kind, canonical or {}) from error


def _translated(error: Exception, what: str, kind: type[BackendError], canonical: Mapping[str, str]) -> BackendError:
    text = one_line(error)
    unknown, tensor = operator_in(text, _UNKNOWN_OPERATOR), operator_in(text, _WRONG_SHAPE)
    leaf = kind
    if isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY):
        leaf = OutOfDeviceMemoryError
    elif unknown:
        leaf = UnsupportedOperatorError
    elif tensor:
        leaf = InputMismatchError
    made = leaf(what, got=text)
    made.operator = unknown or operator_in(text, _RUNNING)
    made.tensor = canonical.get(tensor, tensor) if tensor else None
    return made
