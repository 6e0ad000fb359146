"""Run torch modules, eagerly or through torch's own compiler, and TorchScript files."""

from __future__ import annotations

import os
import platform
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.base import Backend
from bytemlperf.backends.checking import (
    BFLOAT16_BITS,
    InputCheck,
    model_file,
    one_device,
    one_line,
    operator_in,
    refuse_device,
    refuse_precision,
    released,
)
from bytemlperf.backends.compiled import CompiledModel, CompileInfo, CompileOptions, Device
from bytemlperf.conversion.examples import example_inputs
from bytemlperf.conversion.torch_layerwise import layered_module
from bytemlperf.conversion.torch_module import FLOAT_DTYPES, named_outputs, torch_artifact_module
from bytemlperf.errors import (
    BackendError,
    BenchmarkError,
    CompileError,
    OutOfDeviceMemoryError,
    PredictError,
    SpecError,
    UnsupportedOperatorError,
)
from bytemlperf.sample import Array, Batch, Outputs
from bytemlperf.spec import DType, Format, TensorSpec
from bytemlperf.spec.fields import at_least, choice, instance

_OPERATOR: Final = (
    re.compile(r"Could not run '([\w:.]+)' with arguments"),
    re.compile(r"[Uu]nknown builtin op: ([\w:]+(?:\.\w+)*)"),
    re.compile(r'"(\w+)" not implemented for'),
    re.compile(r"[Tt]he operator '([\w:.]+)' is not currently implemented"),
)
_IMAGES: Final = 4
"""Axes of a batch of images, the tensors that `channels_last` is about."""


class TorchMode(StrEnum):
    """How a module is run."""

    EAGER = "eager"
    COMPILE = "compile"


def _mode(value: str | TorchMode) -> TorchMode:
    return choice(TorchMode)(value)


@attrs.frozen(kw_only=True)
class TorchOptions(CompileOptions):
    """What torch can be asked beyond the common options.

    Attributes:
        threads: Threads of one operator on the CPU, for the whole process until release; 0 leaves torch's own choice.
        channels_last: Keep images and convolutions with the channels as innermost axis; the copy of the
            input into that order is part of each query.
        mode: `eager` runs operator by operator; `compile` goes through `torch.compile`, for one batch size
            where `batch_size` is given. Its files are kept in `work_dir`, but for precompiled C++ headers, which
            torch keeps for the whole machine.
        layers_at_a_time: Keep only one layer's weights in memory, read from the file at each call: slow, and takes
            models that do not fit. On the CPU, eagerly, of a recipe whose module has an `nn.ModuleList`.
    """

    threads: int = attrs.field(default=0, validator=at_least(0))
    channels_last: bool = False
    mode: TorchMode = attrs.field(default=TorchMode.EAGER, converter=_mode)
    layers_at_a_time: bool = attrs.field(default=False, validator=instance(bool))

    @layers_at_a_time.validator
    def _is_plain(self, _: attrs.Attribute[bool], value: bool) -> None:  # noqa: FBT001 - attrs' protocol
        if value and (self.channels_last or self.mode is not TorchMode.EAGER):
            raise SpecError(
                "layers are read one by one only for plain eager calls",
                where="$.layers_at_a_time",
                got=f"mode={self.mode}, channels_last={self.channels_last}",
                remedy="leave out mode and channels_last",
            )


@attrs.define(eq=False, kw_only=True)
class LoadedModule:
    """A module on its device; emptied by release.

    Attributes:
        call: The module; None once released.
        inputs: What a batch must be.
        outputs: What the module returns.
        device: Where it lives.
        floats: The type in which it takes floating-point inputs; None where each input has its own.
        channels_last: Whether images are turned into that order.
        weights: Where the memory of its weights and buffers begins; an output that lies there is copied.
        threads_before: What torch's thread count was, where it was changed.
    """

    call: Callable[..., object] | None
    inputs: InputCheck
    outputs: tuple[TensorSpec, ...]
    device: torch.device
    floats: torch.dtype | None
    channels_last: bool
    weights: frozenset[int]
    threads_before: int | None


class TorchBackend(Backend[TorchOptions, LoadedModule]):
    """PyTorch on the CPU or an accelerator that it knows.

    Devices are torch's own names (`cpu`, `cuda:0`); `cpu` is the default. Weights and floating-point
    inputs are cast to the precision; bfloat16 answers come as float32, since numpy has no such type.
    """

    name: ClassVar[str] = "torch"
    formats: ClassVar[frozenset[Format]] = frozenset({Format.TORCH, Format.TORCH_MODULE, Format.TORCHSCRIPT})
    options_type: ClassVar[type[CompileOptions]] = TorchOptions
    dynamic_batch: ClassVar[bool] = True
    tried_on: ClassVar[tuple[str, ...]] = ("cpu",)

    def compile(self, artifact: ModelArtifact, options: TorchOptions) -> CompiledModel[LoadedModule]:
        """Build or load the module, cast it, and bring it to its device.

        Raises:
            ArtifactError: If the recipe or the file cannot be read.
            BackendUnavailableError: If the device is not there.
            CompileError: If the precision cannot be had, or torch refuses the module.
            OutOfDeviceMemoryError: If the device has too little memory for it.
        """
        device = _device(one_device(options, "cpu"))
        precision = _precision(artifact, options)
        with _threads(options.threads) as before, _told(f"torch cannot compile {artifact.name}", CompileError):
            module = _built(artifact, precision, device, options)
            loaded = LoadedModule(
                call=module,
                inputs=InputCheck(_engine_inputs(artifact, precision)),
                outputs=artifact.spec.outputs,
                device=device,
                floats=FLOAT_DTYPES.get(precision),
                channels_last=options.channels_last,
                weights=_addresses(module),
                threads_before=before,
            )
            if options.mode is TorchMode.COMPILE:
                _compile(loaded, artifact, options)
        return CompiledModel(loaded, _info(artifact, options, precision, device))

    def predict(self, compiled: CompiledModel[LoadedModule], batch: Batch) -> Outputs:
        """Copy the batch to the device, run the module, copy the answer back.

        Raises:
            InputMismatchError: If the batch is not what `CompileInfo.inputs` says.
            UnsupportedOperatorError: If torch has no kernel for an operator.
            MalformedOutputError: If the module does not return what the spec declares.
            OutOfDeviceMemoryError: If the device has too little memory for the batch.
            PredictError: If the module raises, or was released.
        """
        loaded = compiled.handle
        if loaded.call is None:
            raise released(self.name)
        arrays = loaded.inputs.arrays(batch)
        with _told("torch cannot run the module", PredictError), torch.inference_mode():
            result = loaded.call(*[_to_device(array, loaded) for array in arrays])
            answer = {name: _to_host(each, loaded) for name, each in named_outputs(result, loaded.outputs).items()}
            if loaded.device.type != "cpu":
                torch.accelerator.synchronize(loaded.device)
        return answer

    def release(self, compiled: CompiledModel[LoadedModule]) -> None:
        """Let go of the module and put the thread count back."""
        loaded = compiled.handle
        loaded.call = None
        if loaded.threads_before is not None:
            torch.set_num_threads(loaded.threads_before)
            loaded.threads_before = None

    def version(self) -> str:
        """Return torch's version, and those of CUDA and cuDNN where it has them."""
        parts = [f"torch {torch.__version__}"]
        if torch.cuda.is_available():
            parts += [f"cuda {torch.version.cuda}", f"cudnn {torch.backends.cudnn.version()}"]  # type: ignore[no-untyped-call]  # torch's
        return ", ".join(parts)

    def devices(self) -> tuple[Device, ...]:
        """Return the CPU, and the accelerators of the one kind that this torch was built for."""
        return (_cpu(), *(_accelerator(index) for index in range(_accelerators())))


def _accelerators() -> int:
    return torch.accelerator.device_count() if torch.accelerator.is_available() else 0


def _cpu() -> Device:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    name = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return Device(id="cpu", name=name, memory_bytes=memory)


def _accelerator(index: int) -> Device:
    kind = torch.accelerator.current_accelerator()
    assert kind is not None
    if kind.type != "cuda":
        return Device(id=f"{kind.type}:{index}", name=kind.type)
    found = torch.cuda.get_device_properties(index)
    return Device(id=f"cuda:{index}", name=found.name, memory_bytes=found.total_memory)


def _device(asked: str) -> torch.device:
    known = ["cpu", *(_accelerator(index).id for index in range(_accelerators()))]
    try:
        device = torch.device(asked)
    except RuntimeError as error:  # no kind of device that torch has heard of
        raise refuse_device("torch", asked, known) from error
    if device.type != "cpu" and f"{device.type}:{device.index or 0}" not in known:
        raise refuse_device("torch", asked, known)
    return device


def _precision(artifact: ModelArtifact, options: TorchOptions) -> DType:
    own = artifact.spec.precision
    asked = options.precision or own
    if asked not in FLOAT_DTYPES and asked is not own:
        raise refuse_precision("torch", asked, tuple(dict.fromkeys((own, *FLOAT_DTYPES))))
    return asked


@contextmanager
def _threads(count: int) -> Iterator[int | None]:
    """Set the thread count and give the one before; put it back at once where compiling fails."""
    before = torch.get_num_threads() if count else None
    if count:
        torch.set_num_threads(count)
    try:
        yield before
    except BaseException:
        if before is not None:
            torch.set_num_threads(before)
        raise


def _built(artifact: ModelArtifact, precision: DType, device: torch.device, options: TorchOptions) -> nn.Module:
    if not options.layers_at_a_time:
        return _loaded(artifact, precision, device, channels_last=options.channels_last)
    if device.type != "cpu":
        raise CompileError("layers are read one by one only on the CPU", got=str(device), expected="cpu")
    return layered_module(artifact, FLOAT_DTYPES.get(precision))


def _loaded(artifact: ModelArtifact, precision: DType, device: torch.device, *, channels_last: bool) -> nn.Module:
    module = _script(model_file(artifact)) if artifact.format is Format.TORCHSCRIPT else torch_artifact_module(artifact)
    module = module.eval().to(device)
    if precision in FLOAT_DTYPES:
        module = module.to(FLOAT_DTYPES[precision])
    return module.to(memory_format=torch.channels_last) if channels_last else module  # type: ignore[call-overload]  # torch's stubs lack it


def _script(path: Path) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's remark that its own format is old
        module: nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]  # torch's
    return module


def _engine_inputs(artifact: ModelArtifact, precision: DType) -> tuple[TensorSpec, ...]:
    if precision not in FLOAT_DTYPES:
        return artifact.spec.inputs
    return tuple(
        attrs.evolve(tensor, dtype=precision) if tensor.dtype in FLOAT_DTYPES else tensor
        for tensor in artifact.spec.inputs
    )


def _addresses(module: nn.Module) -> frozenset[int]:
    return frozenset(each.untyped_storage().data_ptr() for each in (*module.parameters(), *module.buffers()))


def _compile(loaded: LoadedModule, artifact: ModelArtifact, options: TorchOptions) -> None:
    """Replace the module by what torch's compiler makes of it, here and not in the first query."""
    assert loaded.call is not None
    sizes = (2, 1) if options.batch_size is None else (options.batch_size,)  # a batch of 1 is always a case of its own
    with _compiler_files(options.work_dir / "torchinductor"), torch.inference_mode():
        loaded.call = torch.compile(loaded.call, dynamic=options.batch_size is None)
        for size in sizes:
            example = example_inputs(artifact.spec, size, seed=options.seed)
            loaded.call(*[_to_device(array, loaded) for array in example.values()])


_ENVIRONMENT: Final = threading.Lock()


@contextmanager
def _compiler_files(folder: Path) -> Iterator[None]:
    """Let torch's compiler keep its files in `folder`; it takes the place from the environment only."""
    with _ENVIRONMENT:
        before = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
        try:
            yield
        finally:
            os.environ.pop("TORCHINDUCTOR_CACHE_DIR")
            if before is not None:
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = before


def _to_device(array: Array, loaded: LoadedModule) -> Tensor:
    """Copy an input, so that a module that writes to its inputs leaves the caller's alone."""
    if array.dtype.name in BFLOAT16_BITS:
        tensor = torch.tensor(array.view(np.int16), device=loaded.device).view(torch.bfloat16)
    else:
        tensor = torch.tensor(array, device=loaded.device)
    if loaded.floats is not None and tensor.is_floating_point():
        tensor = tensor.to(loaded.floats)
    if loaded.channels_last and tensor.dim() == _IMAGES:
        tensor = tensor.contiguous(memory_format=torch.channels_last)
    return tensor


def _to_host(tensor: Tensor, loaded: LoadedModule) -> Array:
    """Copy an answer to host memory, in numpy's order of axes, apart from the module's own memory."""
    answer = tensor.float() if tensor.dtype is torch.bfloat16 else tensor
    answer = answer.cpu().contiguous()
    if answer.untyped_storage().data_ptr() in loaded.weights:
        answer = answer.clone()
    array: Array = answer.numpy()
    return array


def _info(artifact: ModelArtifact, options: TorchOptions, precision: DType, device: torch.device) -> CompileInfo:
    inputs = _engine_inputs(artifact, precision)
    is_free = device.type == "cpu" and options.mode is TorchMode.EAGER and not options.layers_at_a_time
    return CompileInfo(
        precision=precision,
        devices=(str(device),),
        inputs=None if inputs == artifact.spec.inputs else inputs,
        max_in_flight=None if is_free else 1,
        optimizations=_settings(options, device),
    )


def _settings(options: TorchOptions, device: torch.device) -> dict[str, str | int | float | bool]:
    settings: dict[str, str | int | float | bool] = {
        "mode": options.mode.value,
        "channels_last": options.channels_last,
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":  # float32 there may mean 19 bits
        settings["tf32_convolutions"] = torch.backends.cudnn.allow_tf32
    return settings


@contextmanager
def _told(what: str, kind: type[BackendError]) -> Iterator[None]:
    """Turn what torch and the module raise into the typed errors of a backend."""
    try:
        yield
    except BenchmarkError:
        raise
    except Exception as error:  # a module's own code runs here and may raise anything
        raise _translated(error, what, kind) from error


def _translated(error: Exception, what: str, kind: type[BackendError]) -> BackendError:
    text = one_line(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in text:
        return OutOfDeviceMemoryError(what, got=text, remedy="use a smaller batch size")
    operator = operator_in(text, _OPERATOR)
    leaf = kind if operator is None else UnsupportedOperatorError
    made = leaf(what, got=text)
    made.operator = operator
    return made
