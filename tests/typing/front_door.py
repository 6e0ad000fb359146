"""What a type checker sees of the front door. Only type-checked, never run."""

from __future__ import annotations

from typing import assert_type

import attrs

import bytemlperf
from bytemlperf import Backend, Batch, CompiledModel, CompileOptions, ModelArtifact, Outputs, Report, run

bytemlperf.no_such_name  # type: ignore[attr-defined]  # noqa: B018 - an unknown name is an error, though names load lazily


@attrs.frozen(kw_only=True)
class ChipOptions(CompileOptions):
    """A vendor's own option."""

    cores: int = 1


class Session:
    """A vendor's handle."""


class BareBackend(Backend):
    """A backend that names neither its options nor its handle is legal in strict mode."""

    def compile(self, artifact: ModelArtifact, options: CompileOptions) -> CompiledModel:
        """Compile."""
        raise NotImplementedError

    def predict(self, compiled: CompiledModel, batch: Batch) -> Outputs:
        """Predict."""
        assert_type(compiled.handle, object)
        raise NotImplementedError


class ChipBackend(Backend[ChipOptions, Session]):
    """A backend with options and a handle of its own gets both back exactly."""

    def compile(self, artifact: ModelArtifact, options: ChipOptions) -> CompiledModel[Session]:
        """Compile."""
        assert_type(options.cores, int)
        raise NotImplementedError

    def predict(self, compiled: CompiledModel[Session], batch: Batch) -> Outputs:
        """Predict."""
        assert_type(compiled.handle, Session)
        raise NotImplementedError


def _every_kind_of_backend_is_taken() -> None:
    assert_type(run("digits-resnet-onnx-fp32", backend="onnxruntime"), Report)
    run("digits-resnet-onnx-fp32", backend=BareBackend)
    run("digits-resnet-onnx-fp32", backend=BareBackend())
    run("digits-resnet-onnx-fp32", backend=ChipBackend)
    run("digits-resnet-onnx-fp32", backend=ChipBackend())
