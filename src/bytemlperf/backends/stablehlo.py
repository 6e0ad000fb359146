"""Run StableHLO modules on XLA, by the client that ships with jaxlib."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Final

import attrs
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.base import Backend
from bytemlperf.backends.checking import (
    InputCheck,
    model_file,
    one_device,
    one_line,
    own_precision,
    refuse_device,
    released,
)
from bytemlperf.backends.compiled import CompiledModel, CompileInfo, CompileOptions, Device
from bytemlperf.errors import (
    ArtifactError,
    BackendError,
    BackendUnavailableError,
    BenchmarkError,
    CompileError,
    PredictError,
)
from bytemlperf.sample import Array, Batch, Outputs
from bytemlperf.spec import Format

try:
    from jax.core import ShapedArray
    from jaxlib import xla_client
except ImportError as error:
    raise BackendUnavailableError(
        "the backend 'stablehlo' needs jax and jaxlib, an extra of bytemlperf",
        got=f"{type(error).__name__}: {error}",
        remedy="pip install 'bytemlperf[stablehlo]'",
    ) from error

CPU: Final = "cpu"


@attrs.define(eq=False, kw_only=True)
class LoadedExecutable:
    """A compiled module and the weights that it is called with; emptied by release.

    Attributes:
        executable: XLA's own object; None once released.
        weights: Its first arguments, on the device.
        inputs: What a batch must be.
        outputs: Canonical names, in the order of the results.
    """

    executable: Any  # the client ships no types
    weights: tuple[Any, ...]
    inputs: InputCheck
    outputs: tuple[str, ...]


class StableHloBackend(Backend[CompileOptions, LoadedExecutable]):
    """XLA on the CPU. A module is of one batch size; its weights are arguments and no part of the text.

    What it takes is an index as the conversion from torch writes it, or a plain `.mlir` file whose `main` takes
    the model's inputs in the order of its spec, at the batch size that is asked for.
    """

    name: ClassVar[str] = "stablehlo"
    formats: ClassVar[frozenset[Format]] = frozenset({Format.STABLEHLO})
    options_type: ClassVar[type[CompileOptions]] = CompileOptions
    tried_on: ClassVar[tuple[str, ...]] = (CPU,)

    def compile(self, artifact: ModelArtifact, options: CompileOptions) -> CompiledModel[LoadedExecutable]:
        """Compile the module of a batch size and bring the weights to the device.

        Raises:
            BackendUnavailableError: If another device than `cpu` is asked for.
            CompileError: If another precision than the model's own is asked for, there is no module of the
                batch size, or XLA refuses it.
            ArtifactError: If a file is missing or cannot be read.
        """
        device = one_device(options, CPU)
        if device != CPU:
            raise refuse_device(self.name, device, (CPU,))
        precision = own_precision(artifact, options, self.name)
        text, weights = _read(artifact, options.batch_size or 1)
        with _told(f"XLA cannot compile {artifact.name}", CompileError):
            devices = xla_client.DeviceList(tuple(_client().local_devices()[:1]))
            executable = _client().compile_and_load(text, devices, xla_client.CompileOptions())
            arguments = _on_device(weights)
        loaded = LoadedExecutable(
            executable=executable,
            weights=arguments,
            inputs=InputCheck(artifact.spec.inputs),
            outputs=tuple(tensor.name for tensor in artifact.spec.outputs),
        )
        return CompiledModel(loaded, CompileInfo(precision=precision, devices=(CPU,)))

    def predict(self, compiled: CompiledModel[LoadedExecutable], batch: Batch) -> Outputs:
        """Run the module on the batch.

        Raises:
            InputMismatchError: If the batch is not what the module takes.
            PredictError: If XLA fails, or the module was released.
        """
        loaded = compiled.handle
        if loaded.executable is None:
            raise released(self.name)
        arrays = loaded.inputs.arrays(batch)
        with _told("XLA cannot run the model", PredictError):
            answers = loaded.executable.execute([*loaded.weights, *_on_device(arrays)])
            return {name: np.array(answer) for name, answer in zip(loaded.outputs, answers, strict=True)}

    def release(self, compiled: CompiledModel[LoadedExecutable]) -> None:
        """Let go of the executable and the weights."""
        compiled.handle.executable = None
        compiled.handle.weights = ()

    def version(self) -> str:
        """Return jaxlib's version."""
        return f"jaxlib {version('jaxlib')}"

    def devices(self) -> tuple[Device, ...]:
        """Return the CPU."""
        return (Device(id=CPU, name="XLA's CPU"),)


@cache
def _client() -> Any:  # noqa: ANN401 - the client ships no types
    return xla_client.make_cpu_client()


def _on_device(arrays: Sequence[Array]) -> tuple[Any, ...]:
    device = _client().local_devices()[0]
    sharding = xla_client.SingleDeviceSharding(device)
    # Without enable_x64 ids of 64 bits would be cut to 32.
    return tuple(
        xla_client.batched_device_put(
            ShapedArray(array.shape, array.dtype),
            sharding,
            [array],
            [device],
            committed=True,
            enable_x64=True,
        )
        for array in arrays
    )


def _read(artifact: ModelArtifact, batch_size: int) -> tuple[str, tuple[Array, ...]]:
    """Return the text of a batch size and the weights in the order of its arguments."""
    path = model_file(artifact)
    try:
        if path.suffix == ".mlir":
            return path.read_text(encoding="utf-8"), ()
        index = json.loads(path.read_text(encoding="utf-8"))
        modules: Mapping[str, str] = index["modules"]
        if str(batch_size) not in modules:
            raise CompileError(
                f"{artifact.name} has no module of this batch size",
                got=batch_size,
                expected=f"one of {', '.join(modules)}",
                remedy="name it in the spec's batch_sizes and resolve the model again",
            )
        weights = load_file(_beside(path, index["weights"]))
        text = _beside(path, modules[str(batch_size)]).read_text(encoding="utf-8")
        return text, tuple(weights[name] for name in index["arguments"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ArtifactError(
            f"the files of {artifact.name} cannot be read as StableHLO",
            where=path.name,
            got=f"{type(error).__name__}: {error}",
            expected="an index with its modules and weights beside it, or a .mlir file",
        ) from error


def _beside(path: Path, name: str) -> Path:
    """Refuse names that lead elsewhere: an index may come from anyone."""
    if Path(name).name != name:
        raise ValueError(f"{name!r} is no plain file name")
    return path.with_name(name)


@contextmanager
def _told(what: str, kind: type[BackendError]) -> Iterator[None]:
    """Turn what XLA raises into the typed errors of a backend."""
    try:
        yield
    except BenchmarkError:
        raise
    except Exception as error:  # the client's exceptions share no base but this
        raise kind(what, got=one_line(error)) from error
