"""The reference: each model in its own framework on the CPU."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar, Final

import attrs

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.base import AnyBackend, Backend
from bytemlperf.backends.checking import one_device, refuse_device
from bytemlperf.backends.compiled import CompiledModel, CompileInfo, CompileOptions, Device
from bytemlperf.errors import CompileError
from bytemlperf.registry import backends
from bytemlperf.sample import Batch, Outputs
from bytemlperf.spec import Format
from bytemlperf.spec.fields import at_least

ENGINES: Final[Mapping[Format, str]] = {
    Format.TORCH: "torch",
    Format.TORCH_MODULE: "torch",
    Format.TORCHSCRIPT: "torch",
    Format.ONNX: "onnxruntime",
    Format.SAVED_MODEL: "tensorflow",
    Format.STABLEHLO: "stablehlo",
}
"""The backend of each format's own framework. Written down, so that one can be asked for without loading them all."""

_DISTRIBUTIONS: Final[Mapping[str, str]] = {"stablehlo": "jaxlib"}
"""Whose version counts, where it is not called like the backend."""


@attrs.frozen(kw_only=True)
class CpuOptions(CompileOptions):
    """What the reference can be asked beyond the common options.

    Attributes:
        threads: Threads of one operator; 0 leaves the framework's choice.
    """

    threads: int = attrs.field(default=0, validator=at_least(0))


@attrs.frozen(eq=False, kw_only=True)
class Delegated:
    """A model compiled by its own framework's backend.

    Attributes:
        backend: The framework's backend.
        compiled: What it made.
    """

    backend: AnyBackend
    compiled: CompiledModel[object]


class CpuBackend(Backend[CpuOptions, Delegated]):
    """Whatever framework a model comes from, on the CPU: the backend to compare others with.

    The framework's backend is reached through the registry; `CompileInfo.optimizations` names it. StableHLO has none of
    its own, and goes to XLA, which is an extra (`bytemlperf[stablehlo]`) and compiles each batch size by itself.
    """

    name: ClassVar[str] = "cpu"
    formats: ClassVar[frozenset[Format]] = frozenset(ENGINES)
    options_type: ClassVar[type[CompileOptions]] = CpuOptions
    dynamic_batch: ClassVar[bool] = True
    fixed_batch_formats: ClassVar[frozenset[Format]] = frozenset({Format.STABLEHLO})
    tried_on: ClassVar[tuple[str, ...]] = ("cpu",)

    def compile(self, artifact: ModelArtifact, options: CpuOptions) -> CompiledModel[Delegated]:
        """Let the model's own framework compile it.

        Raises:
            BackendUnavailableError: If that framework is not installed, or another device than `cpu` is asked for.
            CompileError: If the framework refuses the model or threads, or no framework has its format.
        """
        device = one_device(options, "cpu")
        if device != "cpu":
            raise refuse_device(self.name, device, ("cpu",))
        if artifact.format not in ENGINES:
            raise CompileError(
                f"no framework here runs {artifact.format}", got=artifact.name, expected=f"one of {', '.join(ENGINES)}"
            )
        name = ENGINES[artifact.format]
        engine: AnyBackend = backends.get(name)()
        compiled = engine.compile(artifact, _options_of(engine, options))
        return CompiledModel(Delegated(backend=engine, compiled=compiled), _told_by(name, compiled.info))

    def predict(self, compiled: CompiledModel[Delegated], batch: Batch) -> Outputs:
        """Let the framework answer; what it raises passes as it is."""
        delegated = compiled.handle
        return delegated.backend.predict(delegated.compiled, batch)

    def release(self, compiled: CompiledModel[Delegated]) -> None:
        """Let the framework give back what it holds."""
        compiled.handle.backend.release(compiled.handle.compiled)

    def version(self) -> str:
        """Return the versions of the frameworks that are installed; loads none of them."""
        distributions = sorted({_DISTRIBUTIONS.get(name, name) for name in ENGINES.values()})
        found = ((name, _version(name)) for name in distributions)
        return ", ".join(f"{name} {installed}" for name, installed in found if installed)

    def devices(self) -> tuple[Device, ...]:
        """Return the CPU."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return (Device(id="cpu", name=platform.machine(), memory_bytes=memory),)


def _options_of(engine: AnyBackend, options: CpuOptions) -> CompileOptions:
    common = {field.name: getattr(options, field.name) for field in attrs.fields(CompileOptions)}
    has_threads = any(field.name == "threads" for field in attrs.fields(engine.options_type))
    if options.threads and not has_threads:
        raise CompileError(
            f"the backend {engine.name!r} cannot be told how many threads to use",
            got=options.threads,
            remedy="leave out the option threads",
        )
    threads = {"threads": options.threads} if has_threads else {}
    made: CompileOptions = engine.options_type(**{**common, "devices": (), **threads})
    return made


def _told_by(engine: str, info: CompileInfo) -> CompileInfo:
    return attrs.evolve(info, optimizations={**info.optimizations, "engine": engine})


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
