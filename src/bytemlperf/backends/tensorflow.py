"""Run SavedModels on TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import attrs
import tensorflow as tf

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.base import Backend
from bytemlperf.backends.checking import (
    InputCheck,
    model_file,
    one_device,
    one_line,
    operator_in,
    own_precision,
    owned,
    refuse_device,
    released,
)
from bytemlperf.backends.compiled import CompiledModel, CompileInfo, CompileOptions, Device
from bytemlperf.conversion.tf_saved_model import signature_of
from bytemlperf.errors import (
    ArtifactError,
    BackendError,
    BenchmarkError,
    CompileError,
    OutOfDeviceMemoryError,
    PredictError,
    SpecError,
    UnsupportedOperatorError,
)
from bytemlperf.sample import Batch, Outputs
from bytemlperf.spec import DType, Format, TensorSpec
from bytemlperf.spec.fields import at_least

SIGNATURE: Final = "serving_default"
CPU: Final = "/device:CPU:0"
_UNKNOWN_OPERATOR: Final = (
    re.compile(r"Op type not registered '(\w+)'"),
    re.compile(r"No OpKernel was registered to support Op '(\w+)'"),
    re.compile(r"Could not find device for node: .* = (\w+)\["),
)
_RUNNING: Final = (re.compile(r"Detected at node (\S+) defined"), re.compile(r"\{\{node ([^}]+)\}\}"))


@attrs.frozen(kw_only=True)
class TensorFlowOptions(CompileOptions):
    """What TensorFlow can be asked beyond the common options.

    Attributes:
        threads: Threads of one operator, for the whole process; 0 leaves TensorFlow's choice. It can
            only be chosen before TensorFlow runs anything in the process.
    """

    threads: int = attrs.field(default=0, validator=at_least(0))


@attrs.define(eq=False, kw_only=True)
class LoadedSignature:
    """A SavedModel's signature on its device; emptied by release.

    Attributes:
        function: The signature; None once released.
        model: What holds the function's variables.
        device: Where it runs, in TensorFlow's full name.
        inputs: What a batch must be.
        input_names: The signature's argument names, in the order of the spec.
        outputs: The signature's output names by canonical name.
    """

    function: Any  # a ConcreteFunction; TensorFlow ships no types
    model: Any
    device: str
    inputs: InputCheck
    input_names: tuple[str, ...]
    outputs: Mapping[str, str]


class TensorFlowBackend(Backend[TensorFlowOptions, LoadedSignature]):
    """TensorFlow on SavedModels, by the signature whose names are the spec's; `serving_default` comes first.

    Arguments and outputs are matched by name: the spec's original name, with or without the `:0`
    of a graph's tensor. Devices are TensorFlow's own names (`CPU:0`, `/GPU:1`), the CPU by default.
    """

    name: ClassVar[str] = "tensorflow"
    formats: ClassVar[frozenset[Format]] = frozenset({Format.SAVED_MODEL})
    options_type: ClassVar[type[CompileOptions]] = TensorFlowOptions
    dynamic_batch: ClassVar[bool] = True
    tried_on: ClassVar[tuple[str, ...]] = (CPU,)

    def compile(self, artifact: ModelArtifact, options: TensorFlowOptions) -> CompiledModel[LoadedSignature]:
        """Load the SavedModel on its device and find its signature.

        Raises:
            BackendUnavailableError: If the device is not there.
            CompileError: If another precision than the model's own is asked for, threads can no
                longer be chosen, the signature does not fit the spec, or the model cannot be loaded.
            UnsupportedOperatorError: If TensorFlow does not know an operator.
        """
        _set_threads(options.threads)
        device = _device(one_device(options, CPU))
        precision = own_precision(artifact, options, self.name)
        path = model_file(artifact)
        with _told(f"TensorFlow cannot load {artifact.name}", CompileError), tf.device(device):
            model = tf.saved_model.load(str(path))
        loaded, inputs = _signature(model, artifact, device)
        return CompiledModel(
            loaded,
            CompileInfo(
                precision=precision,
                devices=(device,),
                inputs=None if inputs == artifact.spec.inputs else inputs,
                max_in_flight=None if "CPU" in device else 1,
                optimizations={"threads": tf.config.threading.get_intra_op_parallelism_threads()},
            ),
        )

    def predict(self, compiled: CompiledModel[LoadedSignature], batch: Batch) -> Outputs:
        """Call the signature and copy its answer to host memory.

        Raises:
            InputMismatchError: If the batch is not what the signature takes.
            UnsupportedOperatorError: If the device has no kernel for an operator.
            OutOfDeviceMemoryError: If there is too little memory for the batch.
            PredictError: If an operator fails (`operator` names it), or the model was released.
        """
        loaded = compiled.handle
        if loaded.function is None:
            raise released(self.name)
        arrays = loaded.inputs.arrays(batch)
        with _told("TensorFlow cannot run the model", PredictError), tf.device(loaded.device):
            tensors = [tf.convert_to_tensor(array) for array in arrays]
            answer = loaded.function(**dict(zip(loaded.input_names, tensors, strict=True)))
            return {name: owned(answer[found].numpy()) for name, found in loaded.outputs.items()}

    def release(self, compiled: CompiledModel[LoadedSignature]) -> None:
        """Let go of the model."""
        compiled.handle.function = compiled.handle.model = None

    def version(self) -> str:
        """Return TensorFlow's version, and those of CUDA and cuDNN where it sees a GPU."""
        parts = [f"tensorflow {tf.__version__}"]
        if tf.config.list_physical_devices("GPU"):
            build = tf.sysconfig.get_build_info()
            parts += [f"cuda {build.get('cuda_version')}", f"cudnn {build.get('cudnn_version')}"]
        return ", ".join(parts)

    def devices(self) -> tuple[Device, ...]:
        """Return the devices that TensorFlow sees, without starting them."""
        return tuple(
            Device(id=_logical(each.name), name=str(_details(each).get("device_name", each.device_type)))
            for each in tf.config.list_physical_devices()
        )


def _details(device: Any) -> Mapping[str, Any]:  # noqa: ANN401 - a PhysicalDevice
    details: Mapping[str, Any] = tf.config.experimental.get_device_details(device)
    return details


def _logical(name: str) -> str:
    return name.replace("/physical_device:", "/device:")


def _device(asked: str) -> str:
    known = [_logical(each.name) for each in tf.config.list_physical_devices()]
    kind, _, index = asked.removeprefix("/").removeprefix("device:").upper().partition(":")
    device = f"/device:{kind}:{index or 0}"
    if device not in known:
        raise refuse_device("tensorflow", asked, known)
    return device


def _set_threads(count: int) -> None:
    if count in (0, tf.config.threading.get_intra_op_parallelism_threads()):
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
    except RuntimeError as error:
        raise CompileError(
            "TensorFlow's threads can no longer be chosen: it has run in this process",
            got=count,
            expected=f"0, or {tf.config.threading.get_intra_op_parallelism_threads()} as chosen before",
            remedy="run the backend in a worker of its own",
        ) from error


def _chosen(signatures: Sequence[str], artifact: ModelArtifact) -> str:
    """Take the only signature there is where it is the usual one, else the one that fits the spec by its names."""
    if list(signatures) == [SIGNATURE] or artifact.path is None:
        return SIGNATURE
    try:
        return signature_of(artifact.path, artifact.spec)
    except ArtifactError as error:
        raise CompileError(error.what, where=error.where, got=error.got, expected=error.expected) from error


def _signature(
    model: Any,  # noqa: ANN401 - what a SavedModel holds
    artifact: ModelArtifact,
    device: str,
) -> tuple[LoadedSignature, tuple[TensorSpec, ...]]:
    signatures = sorted(getattr(model, "signatures", ()))
    if not signatures:
        raise CompileError(f"the SavedModel of {artifact.name} has no signature", where=str(artifact.path))
    function = model.signatures[_chosen(signatures, artifact)]
    arguments = function.structured_input_signature[1]
    spec = artifact.spec
    names = _matched(artifact, "inputs", spec.inputs, arguments)
    _refuse_unfed(artifact, set(arguments) - set(names.values()))
    inputs = tuple(attrs.evolve(each, dtype=_dtype(arguments[names[each.name]], each)) for each in spec.inputs)
    loaded = LoadedSignature(
        function=function,
        model=model,
        device=device,
        inputs=InputCheck(inputs),
        input_names=tuple(names.values()),
        outputs=_matched(artifact, "outputs", spec.outputs, function.structured_outputs),
    )
    return loaded, inputs


def _matched(
    artifact: ModelArtifact, kind: str, tensors: tuple[TensorSpec, ...], found: Iterable[str]
) -> dict[str, str]:
    """Return the signature's names by canonical name."""
    known = set(found)
    names = {tensor.name: _name(tensor, known) for tensor in tensors}
    missing = [name for name, in_file in names.items() if in_file not in known]
    if missing:
        error = CompileError(
            f"the signature of {artifact.name} lacks {kind} of the spec",
            where=str(artifact.path),
            got=sorted(known),
            expected=", ".join(sorted(names.values())),
            remedy="the spec's original_name is the name in the signature",
        )
        error.tensor = missing[0]
        raise error
    return names


def _name(tensor: TensorSpec, known: set[str]) -> str:
    return tensor.file_name if tensor.file_name in known else tensor.file_name.removesuffix(":0")


def _refuse_unfed(artifact: ModelArtifact, unfed: set[str]) -> None:
    if not unfed:
        return
    error = CompileError(
        f"the signature of {artifact.name} takes inputs that the spec does not have",
        where=str(artifact.path),
        got=sorted(unfed),
    )
    error.tensor = min(unfed)
    raise error


def _dtype(argument: Any, tensor: TensorSpec) -> DType:  # noqa: ANN401 - a tf.TensorSpec
    try:
        return DType.of(argument.dtype.name)
    except SpecError:  # a type that only TensorFlow has: it will say so itself
        return tensor.dtype


@contextmanager
def _told(what: str, kind: type[BackendError]) -> Iterator[None]:
    """Turn what TensorFlow raises into the typed errors of a backend."""
    try:
        yield
    except BenchmarkError:
        raise
    except Exception as error:  # besides its own, TensorFlow raises OSError, RuntimeError, TypeError and more
        raise _translated(error, what, kind) from error


def _translated(error: Exception, what: str, kind: type[BackendError]) -> BackendError:
    text = one_line(error)
    if isinstance(error, tf.errors.ResourceExhaustedError | MemoryError):
        return OutOfDeviceMemoryError(what, got=text, remedy="use a smaller batch size")
    unknown = operator_in(text, _UNKNOWN_OPERATOR)
    leaf = kind if unknown is None else UnsupportedOperatorError
    made = leaf(what, got=text)
    made.operator = unknown or operator_in(text, _RUNNING)
    return made
